"""The file of a score table: a .npz of plain arrays and a JSON header, digest over all. No pickle, nothing is run.

    header          uint8, JSON: format, version, space, conditions, batches, and each proxy's key, seconds and maker
    index           int64 [n], the candidates
    score_000 ...   float64 or float32 [S, n], a proxy each, in the header's order
    status_000 ...  uint8 [S, n], places in STATUSES; 255 where there is no score
    reason_000 ...  uint32 [S, n], places in the header's reasons; left out where there are none
    digest          uint8 [32], sha256 over the names, types, shapes and bytes of all others

Sizes are known before anything is read: a part's from its own head, which has to agree with the archive's list.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy

from analysis.rows.files import replacing
from benchmarks.reading.limits import LARGEST, MEBIBYTE, check_size, shown
from benchmarks.reading.pickles import MALFORMED
from benchmarks.scoretables.table import ABSENT, OK, Column, Made, ScoreTable
from benchmarks.scoring.store import STATUSES

FORMAT, VERSION = "diswot-bench scores", 1
SUFFIX = ".npz"
TYPES = {"header": "u1", "index": "i8", "score": "f4 f8", "status": "u1", "reason": "u4", "digest": "u1"}
PART = re.compile(r"(header|index|digest|(?:score|status|reason)_[0-9]{3,6})\.npy")
LARGEST_HEADER = 16 * MEBIBYTE
NUMBERS = ("batch_size", "teacher_resolution")  # of the conditions; the others are texts
Kind = Literal["auto", "float32", "float64"]


def write(table: ScoreTable, path: Path, kind: Kind = "auto") -> str:
    """Write a table; its digest. The same table gives the same bytes.

    Scores are float32 where that changes none of a proxy's (auto), or wherever `float32` is asked for.
    Raises ValueError where they are too large for that.
    """
    parts = {"header": _header(table), "index": table.index.astype("<i8")}
    for number, (key, column) in enumerate(table.columns.items()):
        parts[f"score_{number:03d}"] = _narrowed(key, column, kind)
        parts[f"status_{number:03d}"] = column.status.astype("u1")
        if column.reason.any():
            parts[f"reason_{number:03d}"] = column.reason.astype("<u4")
    parts = {
        name: np.ascontiguousarray(part) for name, part in parts.items()
    }  # of several seeds the store gives columns
    digest = _digest(parts)
    parts["digest"] = np.frombuffer(bytes.fromhex(digest), dtype="u1")
    with replacing(path) as meanwhile, meanwhile.open("wb") as file:
        np.savez_compressed(file, **parts)  # type: ignore[arg-type]
    return digest


def _header(table: ScoreTable) -> np.ndarray:
    proxies = [
        {
            "key": key,
            "seconds": [None if one != one else one for one in column.seconds.tolist()],
            **column.made._asdict(),
        }
        for key, column in table.columns.items()
    ]
    content = {"format": FORMAT, "version": VERSION, "space": table.space, "space_version": table.space_version}
    content |= {"size": table.size, "conditions": dict(table.conditions), "source": table.source}
    content |= {"batches": [[seed, digest] for seed, digest in table.batches.items()]}
    content |= {"statuses": list(STATUSES), "reasons": list(table.reasons), "proxies": proxies}
    return np.frombuffer(json.dumps(content).encode(), dtype="u1")


def _narrowed(key: str, column: Column, kind: Kind) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = column.scores.astype("<f4")
    if kind == "float64" or (kind == "auto" and not np.array_equal(narrow, column.scores, equal_nan=True)):
        return column.scores.astype("<f8")
    if not np.isfinite(narrow[column.ok]).all():
        raise ValueError(
            f"{key}: its scores do not fit into float32 (largest {np.abs(column.scores[column.ok]).max():g})"
        )
    return narrow


def _digest(parts: Mapping[str, np.ndarray]) -> str:
    summary = hashlib.sha256()
    for name in sorted(parts):
        summary.update(f"{name}/{parts[name].dtype.str}/{parts[name].shape}/".encode())
        summary.update(parts[name].data)
    return summary.hexdigest()


def read(path: Path) -> ScoreTable:
    """The table in a file, verified. Raises ValueError for what is none, damaged, or of another version."""
    try:
        if path.is_dir():
            raise ValueError("a folder; of what rank.py left there data.py export makes a score table")
        check_size(path, "scores")
        if not zipfile.is_zipfile(path):
            raise ValueError("no score table, or cut short; of a store or a run's folder data.py export makes one")
        with zipfile.ZipFile(path) as archive:
            parts = _parts(archive)
        table = _table(parts, str(path))
    except OSError as error:
        raise ValueError(f"score table {path}: {error.strerror or error}") from None
    except MALFORMED as error:
        told = str(error) if isinstance(error, ValueError) else f"damaged ({type(error).__name__})"
        raise ValueError(f"score table {path}: {shown(told)}") from None
    return replace(table, digest=parts["digest"].tobytes().hex(), where=path.name)


def _parts(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays by name, their digest verified. Nothing larger than it may be is read."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if strange := [name for name in names if not PART.fullmatch(name)]:
        raise ValueError(f"no score table: it holds {strange[0]!r:.80}")
    if lacking := [name for name in ("header", "index", "digest") if f"{name}.npy" not in names]:
        raise ValueError(f"no score table: it has no {lacking[0]}")
    if len(set(names)) < len(names):
        raise ValueError("damaged: a part stands there twice")
    if sum(entry.file_size for entry in entries) > LARGEST["scores"]:
        raise ValueError(f"unpacks to more than {LARGEST['scores'] // MEBIBYTE:,} MiB")
    parts = {entry.filename.removesuffix(".npy"): _part(archive, entry) for entry in entries}
    digest = parts.pop("digest")
    if digest.tobytes().hex() != _digest(parts):
        raise ValueError("damaged: its content is not what its digest says")
    return {**parts, "digest": digest}


def _part(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array; its size by its own head has to be what the archive says."""
    kind = entry.filename.removesuffix(".npy").partition("_")[0]
    if kind == "header" and entry.file_size > LARGEST_HEADER:
        raise ValueError("damaged: its header is too large")
    with archive.open(entry) as file:
        try:
            npy.read_magic(file)
            shape, fortran, dtype = npy.read_array_header_1_0(file, max_header_size=1000)
        except ValueError:
            raise ValueError(f"damaged: {entry.filename} has no head that can be read") from None
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if fortran or dtype.hasobject or dtype.str[1:] not in TYPES[kind].split() or dtype.str[0] == ">":
            order = " by columns" if fortran else ""
            raise ValueError(f"damaged: {entry.filename} holds {dtype}{order}")
        if size != entry.file_size - file.tell():
            raise ValueError(f"damaged: {entry.filename} is not of the size that it says")
        return np.frombuffer(file.read(), dtype=dtype).reshape(shape)


def _table(parts: Mapping[str, np.ndarray], where: str) -> ScoreTable:
    """The table that verified arrays make. Raises ValueError where they do not go together."""
    header = json.loads(parts["header"].tobytes().decode())
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError("no score table: its header says otherwise")
    if header.get("version") != VERSION:
        raise ValueError(f"of version {shown(str(header.get('version')))}; this program reads {VERSION}")
    _check_header(header)
    batches = dict(header["batches"])
    index = parts["index"]
    shape = (len(batches), len(index))
    if index.ndim != 1 or len(np.unique(index)) < len(index) or not ((index >= 0) & (index < header["size"])).all():
        raise ValueError("damaged: its indices are no candidates of the space")
    columns = {}
    for number, one in enumerate(header["proxies"]):
        columns[one["key"]] = _column(parts, number, one, shape, len(header["reasons"]))
    head = (header["space"], header["space_version"], header["size"], header["conditions"], header["source"], batches)
    return ScoreTable(*head, index.astype(np.int64), columns, [shown(reason) for reason in header["reasons"]])


def _column(
    parts: Mapping[str, np.ndarray], number: int, one: Mapping[str, Any], shape: tuple[int, int], reasons: int
) -> Column:
    scores, status = (parts[f"{kind}_{number:03d}"] for kind in ("score", "status"))
    reason = parts.get(f"reason_{number:03d}", np.zeros(shape, dtype=np.uint32))
    if not scores.shape == status.shape == reason.shape == shape:
        raise ValueError(f"damaged: {one['key']:.80} has not a score for each candidate")
    if not ((status < len(STATUSES)) | (status == ABSENT)).all() or (reason.size and reason.max() >= reasons):
        raise ValueError(f"damaged: {one['key']:.80} has a status or a reason that is none")
    if not np.isfinite(scores[status == OK]).all():
        raise ValueError(f"damaged: a score of {one['key']:.80} is ok and no number")
    seconds = np.array([np.nan if value is None else value for value in one["seconds"]], dtype=float)
    made = Made(*(one[name] for name in Made._fields))
    return Column(scores.astype(np.float64), status, reason, seconds, made)


def _check_header(header: Mapping[str, Any]) -> None:
    """Raises ValueError where something is missing, or of another kind than this program writes.

    Texts are printed where the table is used, so that they may hold nothing that commands a terminal.
    """
    kinds = {"space": str, "space_version": str, "size": int, "conditions": dict, "source": str, "batches": list}
    kinds |= {"statuses": list, "reasons": list, "proxies": list}
    for name, kind in kinds.items():
        if not isinstance(header.get(name), kind):
            raise ValueError(f"damaged: its header says no {name}")
    sound = header["statuses"] == list(STATUSES) and all(isinstance(one, str) for one in header["reasons"])
    sound &= all(isinstance(one, list) and [type(part) for part in one] == [int, str] for one in header["batches"])
    sound &= len(header["reasons"]) > 0 and len(header["batches"]) > 0
    sound &= all(_printable(header[name]) for name in ("space", "space_version", "source"))
    sound &= _printable(header["conditions"].get("dataset"))
    for name, value in header["conditions"].items():
        right = value is None or (type(value) is int if name in NUMBERS else _printable(value))
        sound &= right and _printable(name)
    for one in header["proxies"]:
        texts = [one.get(name) for name in ("key", *Made._fields)] if isinstance(one, dict) else [None]
        sound &= all(_printable(text) for text in texts)
        sound &= sound and isinstance(one["seconds"], list) and len(one["seconds"]) == len(header["batches"])
        sound &= sound and all(value is None or type(value) in (int, float) for value in one["seconds"])
    keys = [one["key"] for one in header["proxies"]] if sound else []
    if not sound or len(set(keys)) < len(keys):
        raise ValueError("damaged: its header is not what this program writes")


def _printable(text: object) -> bool:
    return isinstance(text, str) and text.isprintable()
