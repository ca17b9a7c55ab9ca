"""What to score, and under which conditions: the contract between commands, engines and workers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from benchmarks.conditions import chosen, teachers
from benchmarks.conditions.batches import Batch, Source
from benchmarks.conditions.chosen import Chosen
from benchmarks.conditions.drawing import AsIs, Init, Mode
from benchmarks.conditions.normalisation import Normalisation
from benchmarks.spaces import Space
from proxies import Proxy

Precision = Literal["float32", "bf16", "float64"]

ROOT = Path(__file__).resolve().parent.parent.parent
# The source that a score depends on, from there.
SCORED_BY = (
    *("proxies/**/*.py", "benchmarks/spaces/*.py", "benchmarks/conditions/*.py", "benchmarks/scoring/worker.py"),
    "benchmarks/reading/statedicts.py",  # which entries of a file are a teacher's weights
)


@dataclass(frozen=True)
class Conditions:
    """Everything but candidate, proxy and seed that a score depends on."""

    dataset: str
    batch_size: int = 64
    draw: Mode = "shared"
    init: Init | AsIs = "kaiming"
    teacher: str = "resnet56"
    teacher_weights: Path | None = None
    teacher_resolution: int | None = None  # of the images as the teacher sees them; None: as the candidates do
    precision: Precision = "float32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def trained(self) -> str | None:
        """Digest of the teacher's weights; None for random ones."""
        return None if self.teacher_weights is None else teachers.digest(self.teacher_weights)

    @property
    def teacher_inputs(self) -> Normalisation | None:
        """The input normalisation that goes with the teacher's weights, where something says it."""
        return None if self.teacher_weights is None else chosen.inputs(self.teacher, self.teacher_weights)

    def weights(self, digits: int | None = None) -> str:
        """Which weights the teacher has, by so many digits of their digest, or by all."""
        trained = self.trained
        return "random by seed" if trained is None else f"sha256 {trained[:digits]}"

    @property
    def told_teacher(self) -> str:
        """The teacher's name, and at which resolution it sees the images where that is its own."""
        side = self.teacher_resolution
        return self.teacher if side is None else f"{self.teacher} at {side}x{side}"

    def columns(self, source: Source) -> dict[str, object]:
        """What tables say in each row, so that a row can be quoted alone."""
        own = {"draw": self.draw, "init": self.init, "teacher": self.told_teacher, "teacher_weights": self.weights(12)}
        return own | {"batch": source.name, "batch_size": self.batch_size, "precision": self.precision}

    def told(self) -> str:
        """What people read under a table."""
        trained = "" if self.teacher_weights is None else f" trained ({self.teacher_weights.name})"
        device = str(self.device) + ("" if self.precision == "float32" else f", {self.precision}")
        return f"draw {self.draw}; init {self.init}; teacher {self.told_teacher}{trained}; {device}"

    def content(self, batch: Batch) -> dict[str, object]:
        """The key under which scores are stored, the batch and the code by their digests."""
        content = asdict(self)
        content.update(device=self.device.type, teacher_weights=self.trained, batch=batch.digest, code=code_digest())
        if (inputs := self.teacher_inputs) is not None:
            content["teacher_inputs"] = inputs.text
        return {**content, "torch": torch.__version__}


@dataclass(frozen=True)
class Job:
    """What to score: every candidate with every proxy under every seed."""

    space: Space
    archs: Sequence[str]
    proxies: Sequence[Proxy]
    seeds: Sequence[int]
    source: Source
    conditions: Conditions
    teacher: Chosen | None = None  # one that teachers.py does not name
    stack: int | None = None  # candidates run together; None chooses by device

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on CUDA."""
        return self.conditions.device.type == "cuda"

    def __len__(self) -> int:
        return len(self.archs) * len(self.seeds)

    @property
    def teacher_inputs(self) -> Normalisation | None:
        """The input normalisation that the teacher's weights bring, where the images are ones that have another."""
        wanted = self.conditions.teacher_inputs
        return None if wanted is None or self.source.normalisation in (None, wanted) else wanted

    def told(self) -> str:
        """What people read under a table of the conditions, the teacher's inputs among them."""
        inputs = self.teacher_inputs
        return self.conditions.told() + ("" if inputs is None else f"; teacher's inputs {inputs.text}")


def find_device(name: str, *, elsewhere: bool = False) -> torch.device:
    """The device that auto, cpu, cuda or cuda:i names. Raises ValueError where there is none.

    `elsewhere`: other machines compute, and which of their GPUs is not for us to say.
    """
    if elsewhere and name.startswith("cuda"):
        if name != "cuda":
            raise ValueError(f"--device {name}: Ray chooses among the GPUs of its nodes; say cuda")
        return torch.device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device(name)
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ValueError(f"no device is called {name!r}; there are: auto, cpu, cuda, cuda:i")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= there:
        raise ValueError(f"--device {name}: this machine has {there} CUDA devices that torch can use")
    return torch.device(name)


@cache
def code_digest(root: Path = ROOT) -> str:
    """Digest of the source that scores depend on: scores of another version of it are not taken for these."""
    summary = hashlib.sha256()
    for file in sorted(file for pattern in SCORED_BY for file in root.glob(pattern)):
        summary.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return summary.hexdigest()[:16]
