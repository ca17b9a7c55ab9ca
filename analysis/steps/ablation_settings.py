"""What each ablation varies: its settings, its proxies, and what becomes of the scores. Not how they are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from analysis.stats import ablations
from analysis.stats.ablations import Rows, Scores
from analysis.steps.options import AblateOptions
from analysis.validation import controls
from benchmarks import spaces, truth
from benchmarks.conditions.drawing import INITS, MODES
from benchmarks.conditions.teachers import IMAGENET_DEPTHS, NASBENCH201_BEST, RESNET_DEPTHS

CONTROL = f"{controls.__file__}:fc_weights"
FORMS = f"diswot_semantic,diswot_relation,diswot,diswot_fcgrad_semantic,diswot_gram_relation,diswot_released,{CONTROL}"
LOSSES = "kd,dkd,fitnets,at,sp,rkd,cc,pkt,nst,ickd,kdsvd,cka,dist"
SIZES = "params,macs"
BATCHES = (8, 16, 32, 64, 128, 256)
AVERAGED = (1, 2, 4, 8)  # seeds whose ranks are averaged
BLOCKS = f"{controls.__file__}:blocks_relation"
OTHERS = ("resnet20", "resnet110")  # teachers to change to: smaller, larger;
OTHERS_LARGE = ("resnet20", "torchvision:resnet50", "torchvision:swin_t")  # for large images a transformer too


@dataclass(frozen=True)
class Setting:
    """A line of an ablation: its label, and the options that differ from the command's."""

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None


@dataclass(frozen=True)
class Ablation:
    """Which settings, which proxies, and what becomes of the scores under one setting."""

    settings: Callable[[AblateOptions], list[Setting]]
    proxies: str
    rows: Callable[[str, Scores], Rows] | None = None  # by default a row per proxy


def rows_of(ablation: Ablation, setting: Setting) -> Callable[[str, Scores], Rows]:
    """What makes a setting's scores into rows."""
    if ablation.rows is not None:
        return ablation.rows
    if setting.seeds is not None:
        return partial(ablations.averaged, counts=AVERAGED)
    return ablations.correlated


def without_size(label: str, scores: Scores) -> Rows:
    """Rows with and without size."""
    return ablations.without_size(scores)


def as_asked(options: AblateOptions) -> list[Setting]:
    """The command's own conditions."""
    return [Setting(f"{options.draw}, {options.init}, {options.teacher}")]


def draws(options: AblateOptions) -> list[Setting]:
    """Who shares weights, by how they are drawn."""
    return [Setting(f"{draw}, {init}", {"draw": draw, "init": init}) for draw in MODES for init in INITS]


def inits(options: AblateOptions) -> list[Setting]:
    """How weights are drawn, whoever shares them."""
    return [Setting(init, {"init": init}) for init in INITS]


def conditions(options: AblateOptions) -> list[Setting]:
    """The command's own conditions, and each of them changed alone: draw, init, teacher, and noise for `images`."""
    others = OTHERS if spaces.find(options.space).resolution is None else OTHERS_LARGE
    found = [Setting("as asked")]
    found += [Setting(f"draw {draw}", {"draw": draw}) for draw in MODES if draw != options.draw]
    found += [Setting(f"init {init}", {"init": init}) for init in INITS if init != options.init]
    found += [
        Setting(f"teacher {one}", {"teacher": one, "teacher_weights": None}) for one in others if one != options.teacher
    ]
    return found + (
        [Setting(f"batch {Path(options.images).stem}", {"batch": options.images})] if options.images else []
    )


def teachers(options: AblateOptions) -> list[Setting]:
    """All teachers for small images with random weights, each beside its trained self where weights are given.

    Candidates for large images have those for large images too.
    """
    known = [*RESNET_DEPTHS, *(["nasbench201-best"] if options.dataset in NASBENCH201_BEST else [])]
    if spaces.find(options.space).resolution is not None:
        known = [*RESNET_DEPTHS, *IMAGENET_DEPTHS]
    given = trained_teachers(options, known)
    found = []
    for name in known:
        found.append(Setting(f"{name}, random", {"teacher": name, "teacher_weights": None}))
        if name in given:
            found.append(Setting(f"{name}, trained", {"teacher": name, "teacher_weights": given[name]}))
    return found


def trained_teachers(options: AblateOptions, known: Sequence[str]) -> dict[str, str]:
    """Files of weights by teacher, of --trained and --teacher-weights. Raises ValueError for what names none."""
    given = {options.teacher: options.teacher_weights} if options.teacher_weights else {}
    for text in (options.trained or "").split():
        name, equals, path = text.partition("=")
        if name not in known or not equals or not path:
            raise ValueError(f"--trained {text}: NAME=FILE is expected, NAME one of {', '.join(known)}")
        given[name] = path
    return given


def batches(options: AblateOptions) -> list[Setting]:
    """Noise and images by size of the batch, and noise with the ranks of several seeds averaged."""
    sources = ["noise", *([options.images] if options.images else [])]
    found = [
        Setting(f"{Path(source).stem} {size}", {"batch": source, "batch_size": size})
        for source in sources
        for size in BATCHES
    ]
    return [*found, Setting(f"{Path(options.batch).stem} {options.batch_size}", {}, seeds=max(AVERAGED))]


def targets(options: AblateOptions) -> list[Setting]:
    """Every target that there are accuracies of; the command's own in any case, so that none at all is an error."""
    space, found = spaces.find(options.space), [options.target]
    for target in truth.TARGETS:
        with suppress(ValueError):
            truth.load(options.truth, space, options.dataset, target)
            found.append(target)
    return [Setting(target, {"target": target}) for target in truth.TARGETS if target in found]


ABLATIONS = {
    "metrics": Ablation(as_asked, f"{FORMS},{LOSSES},{SIZES}"),
    "draw": Ablation(draws, FORMS),
    "init": Ablation(inits, f"{FORMS},{LOSSES},{SIZES}"),
    "teacher": Ablation(teachers, FORMS),
    "conditions": Ablation(conditions, f"{FORMS},{BLOCKS},sp,at,kd,{SIZES}"),
    "batch": Ablation(batches, FORMS),
    "target": Ablation(targets, f"{FORMS},{LOSSES},{SIZES}"),
    "size": Ablation(as_asked, f"{FORMS},{LOSSES},{SIZES}", without_size),
}
