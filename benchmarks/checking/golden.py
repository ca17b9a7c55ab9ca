"""Whether proxies compute on this machine what they compute elsewhere: scores of some cells beside golden ones.

On a machine like that which made them they are equal to the last digit, on another they differ by rounding.
"""

from __future__ import annotations

import csv
import json
import math
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

import proxies
from benchmarks import spaces
from benchmarks.checking.doctor import Finding
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.output.naming import said
from benchmarks.scoring import jobs, scorer
from benchmarks.scoring.store import Score, Store

GOLDEN = Path(__file__).parent.parent / "results" / "golden.csv"
GOLDEN_CELLS = (1462, 1651, *range(0, 15_600, 325))  # 50 official indices: all 3x3, all without operation, 48 others
GOLDEN_DATASET = "ImageNet16-120"  # the smallest images
GOLDEN_BATCH = 8
TOLERANCE = 5e-2  # over the largest score of a proxy; what float32 rounds for the most delicate at so small a batch
CPU = ("model name", "cpu family", "model", "stepping", "cache size")  # of /proc/cpuinfo: names alone stand for several
SECONDS = 20.0  # that a self-test takes


def golden_cells(device: torch.device) -> Iterator[list[Score]]:
    """Every proxy on one golden cell after another, computed with one thread as all scores are."""
    space = spaces.find("nasbench201")
    archs = [space.arch(index) for index in GOLDEN_CELLS]
    job = jobs.Job(
        space=space,
        archs=archs,
        proxies=proxies.registered(),
        seeds=[0],
        source=batches.open_source("noise", GOLDEN_DATASET),
        conditions=jobs.Conditions(GOLDEN_DATASET, batch_size=GOLDEN_BATCH, teacher="resnet20", device=device),
    )
    with Store(Path(":memory:")) as store:
        golden = scorer.Scorer(job, store)
        for arch in archs:
            yield golden.rows([arch])


def self_test(device: torch.device, seconds: float = SECONDS) -> Finding:
    """Golden scores computed again on a device, cell by cell while the seconds last, and the largest difference."""
    name = f"self-test {device.type}"
    golden = read_golden()
    names = {proxy.name for proxy in proxies.registered()}
    if {proxy for proxy, _ in golden} != names:
        renew = said("python benchmarks/data.py doctor --renew")
        return Finding(name, False, f"the golden scores are not of these proxies: {renew}")
    found = {(row.proxy, row.arch): row.score for rows in _while(seconds, golden_cells(device)) for row in rows}
    compared = compare(found, golden)
    worst = max(compared, key=lambda key: compared[key])
    off = sorted({proxy for (proxy, _), difference in compared.items() if difference > TOLERANCE})
    text = f"{len(found) // len(names)} of {len(GOLDEN_CELLS)} golden cells x {len(names)} proxies: "
    if compared[worst] == 0:
        return Finding(name, True, text + "equal to the last digit")
    text += f"largest relative difference {compared[worst]:.1e} ({worst[0]})"
    if device.type == "cpu" and machine() == made_on():
        text += "; golden scores made on a machine like this one: what is computed has changed"
    return Finding(name, not off, text + (f"; beyond {TOLERANCE:g}: {', '.join(off)}" if off else ""))


def _while(seconds: float, cells: Iterator[list[Score]]) -> Iterator[list[Score]]:
    """The first cell, and others as long as one more is likely to fit into the seconds."""
    began = time.monotonic()
    for number, rows in enumerate(cells, 1):
        yield rows
        took = time.monotonic() - began
        if took * (number + 1) / number > seconds:
            return


def read_golden() -> dict[tuple[str, str], float]:
    """The golden scores, by proxy and arch."""
    space = spaces.find("nasbench201")
    with GOLDEN.open(newline="", encoding="utf-8") as file:
        return {(row["proxy"], space.arch(int(row["index"]))): float(row["score"]) for row in csv.DictReader(file)}


def made_on() -> dict[str, str]:
    """The machine that the golden scores were made on."""
    found: dict[str, str] = json.loads(GOLDEN.with_suffix(".json").read_text(encoding="utf-8"))["machine"]
    return found


def machine() -> dict[str, str]:
    """What decides the last digits of a score on a CPU."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().split("\n\n")[0].splitlines() if described.is_file() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    cpu = ", ".join(entries[key] for key in CPU if key in entries) or platform.processor()
    return {"torch": torch.__version__, "cpu": cpu, "instructions": torch.backends.cpu.get_cpu_capability()}


def compare(
    found: Mapping[tuple[str, str], float], golden: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """By proxy and arch of what was found: the difference from the golden score, over the proxy's largest one."""
    scale = {proxy: max(_sizes(golden, proxy), default=0.0) for proxy in {proxy for proxy, _ in found}}
    return {key: _difference(score, golden[key], scale[key[0]]) for key, score in found.items()}


def _sizes(golden: Mapping[tuple[str, str], float], proxy: str) -> list[float]:
    """The magnitudes of a proxy's finite golden scores."""
    return [abs(score) for (name, _), score in golden.items() if name == proxy and math.isfinite(score)]


def _difference(found: float, golden: float, scale: float) -> float:
    """How far apart two scores are, over the largest of the proxy's; infinite where only one is a number."""
    if found == golden or (math.isnan(found) and math.isnan(golden)):
        return 0.0
    if not (math.isfinite(found) and math.isfinite(golden)):
        return math.inf
    return abs(found - golden) / scale if scale else math.inf


def renew() -> None:
    """Write the golden scores anew, computed on this machine's CPU, with all their digits, and what machine that is."""
    space = spaces.find("nasbench201")
    rows = [row for rows in golden_cells(torch.device("cpu")) for row in rows]
    with GOLDEN.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["proxy", "index", "score"])
        writer.writerows((row.proxy, space.index(row.arch), repr(row.score)) for row in rows)
    note = {"command": "python benchmarks/data.py doctor --renew", "machine": machine()}
    record.write_json(note, GOLDEN.with_suffix(".json"))
