"""What a user may choose of a distillation run, in groups. Light: no torch here, so that --help answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.output.command import option
from benchmarks.output.options import EngineOptions

PROG = "distill.py"
AUTOMATIC = "[by position and size]"


@dataclass
class NetworkOptions:
    """Who is trained, by what, and who teaches."""

    student: str = option(
        "s0:111",
        "students, separated by blanks: SPACE:CODE, FILE.py:NETWORKS:NAME, torchvision:NAME, a search's best.csv or "
        "winner.json, a teacher's name",
    )
    space: str | None = option(
        None, "path/to/file.py:Name, where students in a search's file are of such a space of your own; it is run"
    )
    teacher: str = option("resnet20", "teacher: a name of rank.py --list, or any network that --student can name")
    teacher_weights: str | None = option(
        None, "its state dict, or torchvision for those that it publishes; without either it is trained here first"
    )
    finetune_teacher: int | None = option(
        None, "epochs to train these weights on, with a new head where they are of other classes"
    )
    assistant: str = option("", "networks between teacher and student, separated by blanks, each taught by the last")
    teacher_normalisation: str | None = option(
        None, "its inputs: imagenet, or MEAN/STD of pixels from 0 to 1 [what stands beside its weights, or the data's]"
    )
    teacher_resolution: int | None = option(None, "the size at which the teacher sees the images [the student's]")
    stages: str = option("", f"stages to compare, 'STUDENT=TEACHER ...', of names of submodules or numbers {AUTOMATIC}")
    train_teacher: str | None = option(None, "only train this network, for --teacher-weights, and end")
    method: str = option(
        "ce kd", "methods, separated by blanks, each a sum such as 'kd(T=2):0.9,diswot'; --list names them"
    )


@dataclass
class ImageOptions:
    """On which images."""

    data: str = option("digits", "digits, cifar10, cifar100, a .npz file, or a folder with train/ and val/")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    download: bool = option(False, "let torchvision download images, and weights that it publishes")
    resolution: int | None = option(None, "scale the images to this size [their own; folders 224]")
    stream: Literal["auto", "yes", "no"] = option(
        "auto", "whether a folder's pictures are read when they are wanted, not held [where they are many]"
    )
    skip_corrupt: bool = option(False, "leave out pictures of a folder that can't be read, and count them")
    loaders: int | None = option(None, "processes that read a folder's pictures, 0 for none [cores, 8 at most]")


@dataclass
class RecipeOptions:
    """How; what is not given is the recipe's."""

    recipe: Literal["cifar", "imagenet", "deit"] = option("cifar", "all of the following at once, by name")
    epochs: int | None = option(None, "epochs; the schedule scales with them [cifar 240, digits 10]")
    teacher_epochs: int | None = option(None, "epochs of a teacher that is trained here [--epochs]")
    batch_size: int | None = option(None, "images in a batch [cifar 64]")
    optimizer: Literal["sgd", "adamw"] | None = option(None, "SGD, or AdamW [cifar sgd]")
    learning_rate: float | None = option(None, "learning rate before the schedule lowers it [cifar 0.05]")
    schedule: Literal["step", "cosine"] | None = option(None, "three steps down, or a cosine [cifar step]")
    warmup: int | None = option(None, "epochs in which the rate rises from almost nothing [cifar 0]")
    momentum: float | None = option(None, "momentum of SGD [0.9]")
    weight_decay: float | None = option(None, "weight decay [cifar 5e-4]")
    label_smoothing: float | None = option(None, "share of the labels that all classes have alike [cifar 0]")
    mixup: float | None = option(None, "alpha of mixup, 0 for none [cifar 0]")
    cutmix: float | None = option(None, "alpha of cutmix, 0 for none [cifar 0]")
    erasing: float | None = option(None, "probability that a part of an image is erased [cifar 0]")
    crop: Literal["border", "resized"] | None = option(None, "crops of a border, or random parts scaled [cifar border]")
    clip: float | None = option(None, "the most that the gradient's norm may be, 0 for no limit [0]")
    accumulate: int | None = option(None, "parts that a batch is run in, their gradients added up [1]")
    precision: Literal["float32", "bf16", "fp16"] = option("float32", "of the networks' passes: mixed below float32")
    ema: float | None = option(None, "decay of an average of the weights that is evaluated in their place; 0 for none")
    init: Literal["kaiming", "normal", "default"] = option(
        "kaiming", "how weights are drawn; a module's are its constructor's"
    )
    seed: int = option(0, "seed of weights, order and augmentation")
    seeds: int = option(1, "number of seeds, counted up from --seed")


@dataclass
class SampleOptions:
    """NAS-Bench-201 cells in place of named students."""

    sample: int = option(0, "train so many NAS-Bench-201 cells, stratified by size, in place of --student")
    sample_best: int | None = option(None, "how many of them are the best by the embedded CIFAR-10 accuracies [20]")
    sample_disconnected: int | None = option(None, "how many of them have no path from input to output [5]")


@dataclass
class OutputOptions:
    """What becomes of it."""

    table: str | None = option(None, "where the table for rank.py --truth goes [table.csv in --out]")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    export: Literal["none", "onnx", "torchscript"] = option("none", "also write every student for other programs")
    tracker: Literal["none", "tensorboard"] = option("none", "also write curves for TensorBoard")
    out: str | None = option(None, "folder for all of it [runs/distill_DATA]")


@dataclass
class DistillOptions(OutputOptions, SampleOptions, RecipeOptions, ImageOptions, NetworkOptions, EngineOptions):
    """All that a run of distill.py depends on."""
