"""NAS-Bench-201's own files into one small table, imported.py's: whatever they hold is read here, and nowhere else.

`install` reads NAS-Bench-201-v1_0 or v1_1 (.pth) or NATS-Bench's topology files ("simple": a folder or .tar of
.pickle.pbz2) through nas_201_api. Nothing in them is run, unless the user says so.
"""

from __future__ import annotations

import hashlib
import math
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from nas_201_api.api_utils import ArchResults, ResultsCount

from analysis.rows.tables import write_csv
from benchmarks.output.record import write_json
from benchmarks.reading import pickles
from benchmarks.reading.limits import check_size, file_digest, shown
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth.imported import NOTE, SPLITS, TRAINED_ON, Installed, tables

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

LARGEST_CELL = 64 << 20  # bytes that one cell of NATS-Bench may unpack to
EPOCHS = {"less": "12", "full": "200", "12": "12", "200": "200"}
DIGEST_IN_NAME = re.compile(r"-v1_[01]-([0-9a-f]{5,64})\.pth$")
BENCHMARK_DATASETS = {name for splits in TRAINED_ON.values() for name in splits.values()}

# Peak memory of an import over the size of the file, by tests/memory.py: torch's new format takes 7.0, its old one 6.0.
MEMORY_PER_BYTE = 7.0


def install(
    path: Path, folder: Path, progress: Progress, *, trust_pickle: bool = False, any_digest: bool = False
) -> Installed:
    """Import a benchmark file into a folder; an earlier import is replaced.

    Raises ValueError where the file is not what its name says, is no such file, or holds more than plain data;
    nothing of it is run unless `trust_pickle`.
    """
    if path.is_dir() or path.suffix == ".tar":
        rows, digest = _from_simple(path, progress, trust_pickle)
    else:
        rows, digest = _from_pth(path, progress, trust_pickle, any_digest)
    if not rows:
        raise ValueError(f"{path}: holds no cells")
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index()
    table = table[sorted(table.columns)]
    space = NasBench201()
    table.insert(0, "index", table.index)
    table.insert(1, "arch", [space.arch(int(index)) for index in table.index])
    folder.mkdir(parents=True, exist_ok=True)
    waiting = folder / "nasbench201-new.csv"
    write_csv(table, waiting)
    sha256 = file_digest(waiting)
    name = f"nasbench201-{sha256[:12]}.csv"
    made = Installed(name, sha256, len(table), shown(path.name), digest, trust_pickle)
    before = tables(folder)
    waiting.replace(folder / name)
    write_json(asdict(made), folder / NOTE)
    for old in before:
        if old.name != name:
            old.unlink()
    return made


def memory_needed(path: Path) -> int:
    """About how many bytes of memory the import of a file takes at its peak."""
    return int(path.stat().st_size * MEMORY_PER_BYTE) if path.is_file() and path.suffix != ".tar" else LARGEST_CELL * 4


def _digests(path: Path, advance: Callable[[int], None]) -> dict[str, str]:
    summaries = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", "sha1", "md5")}
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for summary in summaries.values():
                summary.update(block)
            advance(len(block))
    return {name: summary.hexdigest() for name, summary in summaries.items()}


def _from_pth(path: Path, progress: Progress, trust: bool, any_digest: bool) -> tuple[dict[int, dict[str, float]], str]:
    """The cells of a NAS-Bench-201 file, by index, and the file's sha256."""
    _check_file(path)
    size = path.stat().st_size
    with progress(f"{path.name}: digest", size) as advance:
        digests = _digests(path, advance)
    if not any_digest:
        check_name(path, digests)
    if not trust:
        with progress(f"{path.name}: scan", size) as advance:
            pickles.scan_torch(path, advance)
    with progress(f"{path.name}: load", size) as advance:
        content = pickles.load_torch(path, advance, trust=trust)
    cells, archs = _entry(content, "arch2infos", path), _entry(content, "meta_archs", path)
    _check_archs(archs, path)
    if not isinstance(cells, dict):
        raise ValueError(f"{path}: arch2infos is a {type(cells).__name__}, not a dict")
    rows = {}
    with progress(f"{path.name}: cells", len(cells)) as advance:
        for index in list(cells):
            where = f"{path}, cell {_index(index, path)}"
            rows[index] = row(index, cells.pop(index), where)  # each cell is let go when its row is made
            advance(1)
    return rows, digests["sha256"]


def check_name(path: Path, digests: Mapping[str, str]) -> None:
    """Raises ValueError where the digest in a benchmark file's name is not that of its content.

    The authors do not say which digest it is: either end of sha256, sha1 or md5 will do.
    """
    found = DIGEST_IN_NAME.search(path.name)
    if found is None:
        raise ValueError(
            f"{path.name}: has no digest in its name, as NAS-Bench-201-v1_1-096897.pth has; --any-digest imports it"
        )
    if not any(digest.startswith(found[1]) or digest.endswith(found[1]) for digest in digests.values()):
        raise ValueError(
            f"{path.name}: {found[1]} is not its digest (sha256 {digests['sha256'][:12]}..., md5 {digests['md5']}): "
            "damaged or another file; --any-digest imports it all the same"
        )


def _from_simple(path: Path, progress: Progress, trust: bool) -> tuple[dict[int, dict[str, float]], str]:
    """The cells of NATS-Bench's topology files, by index, and a sha256 over all of them in order of their names."""
    rows = {}
    summary = hashlib.sha256()
    with progress(f"{path.name}: cells", len(NasBench201())) as advance:
        for name, content in _members(path):
            summary.update(f"{name}\0{len(content)}\0".encode() + content)
            where = f"{path}, {name}"
            cell = pickles.loads(pickles.decompress(content, LARGEST_CELL, where), where, trust=trust)
            if name.startswith("meta."):
                _check_archs(_entry(cell, "meta_archs", path), path)
                continue
            index = _index(int(name.split(".")[0]), path)
            if index in rows:
                raise ValueError(f"{where}: cell {index} stands there twice")
            rows[index] = row(index, cell, where)
            advance(1)
    return rows, summary.hexdigest()


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the cells' files in a folder or a .tar; nothing is unpacked onto the disk."""
    wanted = re.compile(r"(?:meta|[0-9]{1,6})\.pickle\.pbz2")
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if wanted.fullmatch(file.name):
                yield file.name, _bounded(file)
        return
    _check_file(path)
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isreg() and wanted.fullmatch(name):
                    if member.size > LARGEST_CELL:
                        raise ValueError(f"{path}, {name}: larger than {LARGEST_CELL >> 20} MiB")
                    opened = archive.extractfile(member)
                    assert opened is not None
                    yield name, opened.read()
    except (tarfile.TarError, *pickles.MALFORMED) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: a damaged tar file ({pickles.short(error)})") from None


def _check_file(path: Path) -> None:
    try:
        check_size(path, "benchmark")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _bounded(path: Path) -> bytes:
    _check_file(path)
    if path.stat().st_size > LARGEST_CELL:
        raise ValueError(f"{path}: larger than {LARGEST_CELL >> 20} MiB")
    return path.read_bytes()


def _entry(content: object, key: str, path: Path) -> object:
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{path}: no NAS-Bench-201 file: it holds no {key}")
    return content[key]


def _index(index: object, path: Path) -> int:
    if type(index) is not int or not 0 <= index < len(NasBench201()):
        raise ValueError(f"{path}: {_named(index)} is no cell index, 0 to {len(NasBench201()) - 1}")
    return index


def _check_archs(archs: object, path: Path) -> None:
    space = NasBench201()
    expected = [space.arch(index) for index in range(len(space))]
    if not isinstance(archs, list) or archs != expected:
        raise ValueError(f"{path}: meta_archs is not the official list of {len(space):,} cells")


def row(index: int, cell: object, where: str) -> dict[str, float]:
    """One cell's row of the table: its columns, and their values. Raises ValueError naming what is wrong.

    Columns are data set:split:epochs:seed (percent), data set:params and :flops (millions), data
    set:seconds:epochs:seed (training).
    """
    found: dict[str, float] = {}
    try:
        if not isinstance(cell, dict):
            raise ValueError(f"a {type(cell).__name__}, not a dict")
        for key, state in cell.items():
            epochs = EPOCHS[key]
            if not isinstance(state, dict):  # of a text nas_201_api would load the file that it names
                raise ValueError(f"the entry of {epochs} epochs is a {type(state).__name__}, not a dict")
            results = ArchResults.create_from_state_dict(state)
            if results.arch_str != NasBench201().arch(_index(index, Path(where))):
                raise ValueError("arch_str is not the cell of this index")
            for (dataset, seed), training in results.all_results.items():
                found |= _training(dataset, seed, epochs, training)
        if not found:
            raise ValueError("no trainings")
    except pickles.MALFORMED as error:
        raise ValueError(
            f"{where}: not the layout of NAS-Bench-201 ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    return found


def _training(dataset: str, seed: int, epochs: str, training: ResultsCount) -> dict[str, float]:
    """The columns of one training."""
    if dataset not in BENCHMARK_DATASETS or type(seed) is not int or not 0 <= seed < 10**9:
        raise ValueError(f"a training on {_named(dataset)} with seed {_named(seed)}")
    if training.epochs != int(epochs):
        raise ValueError(f"a training of {_named(training.epochs)} epochs under {epochs}")
    found = {f"{dataset}:params": _number(training.params), f"{dataset}:flops": _number(training.flop)}
    seconds = training.get_train()["all_time"]
    if seconds is not None:
        found[f"{dataset}:seconds:{epochs}:{seed}"] = _number(seconds)
    for split in training.get_eval_set():
        if split not in SPLITS:
            raise ValueError(f"an accuracy on {_named(split)}")
        accuracy = _number(training.eval_acc1es[f"{split}@{training.epochs - 1}"])
        if accuracy > 100:
            raise ValueError(f"an accuracy of {accuracy}")
        found[f"{dataset}:{split}:{epochs}:{seed}"] = accuracy
    return found


def _named(value: object) -> str:
    """A value for a message: only its type where it is no text or number, since a small pickle can print endlessly."""
    return repr(value)[:40] if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _number(value: object) -> float:
    """A finite number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"a {type(value).__name__} that is no number from 0 up")
    return float(value)
