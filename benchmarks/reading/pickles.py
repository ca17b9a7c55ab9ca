"""Pickles from outside: read for what they would do before anything is loaded, and then loaded as plain data alone.

A pickle is a program. `scan` reads one without running it and admits what plain containers and numbers need; the
loaders admit the same few names again while loading, so that a scan that was misled still runs nothing.
"""

from __future__ import annotations

import bz2
import io
import pickle
import pickletools
import struct
import threading
import tokenize
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from benchmarks.reading.unpickling import GETS, PUTS, STRINGS, TUPLES, Followed

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first of the five pickles in a file of torch.save before 1.6
LEGACY_PICKLES = 5
NUMBERS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "u1": "B", "b1": "?"}

# What damaged or hostile bytes make the readers of pickles, zip files, bz2 streams and numpy's arrays raise.
MALFORMED = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError),
    *(
        SyntaxError,
        tokenize.TokenError,
        EOFError,
        MemoryError,
        struct.error,
        zlib.error,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ),
)


class NumpyDtype:
    """Stands in for numpy.dtype in a pickle of numpy scalars: none of numpy's own unpickling is run."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def numpy_scalar(dtype: NumpyDtype, data: bytes) -> float:
    """The number that numpy.core.multiarray.scalar would make. Raises KeyError or struct.error for anything else."""
    number: float = struct.unpack(dtype.order + NUMBERS[dtype.code], data)[0]
    return number


def latin1(text: str, encoding: str) -> bytes:
    """What protocol 2 writes bytes as: _codecs.encode(text, "latin1")."""
    if encoding != "latin1":  # not named in the message: of a list of lists a small pickle can make an endless text
        raise pickle.UnpicklingError("_codecs.encode is admitted for latin1 alone")
    return text.encode("latin1")


ADMITTED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "_codecs.encode": latin1,
    "numpy.dtype": NumpyDtype,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy._core.multiarray.scalar": numpy_scalar,
}
OF_NUMPY: list[Any] = [(one, name) for name, one in ADMITTED.items() if name.startswith("numpy")]  # as torch has them
PLAIN = {  # what pickles of plain data are made of
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG",
    "LONG1", "FLOAT", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT",
    "EMPTY_SET", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
    *TUPLES, *PUTS, *GETS, *STRINGS,
}  # fmt: skip


def scan(
    file: BinaryIO, where: str, advance: Callable[[int], None] = lambda _: None, *, weights: bool = False
) -> object:
    """Read one pickle without running it; its first argument. Raises ValueError at the first thing that is not plain.

    `advance` is told how many bytes are read, from time to time. Of `weights` names and opcodes are left to torch.
    """
    first: object = None
    told = start = file.tell()
    followed = Followed()
    try:
        for opcode, argument, position in pickletools.genops(file):
            name = opcode.name
            if name not in PLAIN and not weights:
                raise ValueError(f"{where}: holds a {name}, which plain data has no use for; nothing was loaded")
            taken = followed.step(name, argument)
            if name == "GLOBAL" and not weights:
                _admit(str(argument).replace(" ", "."), where)
            elif name == "STACK_GLOBAL" and not weights:
                _admit(".".join(str(part)[:100] for part in taken), where)
            if first is None and name != "PROTO":
                first = argument
            if position is not None and position - told > 1 << 20:
                advance(position - told)
                told = position
    except MALFORMED as error:
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where}: a damaged pickle ({short(error)}); nothing was loaded") from None
    advance(max(0, file.tell() - max(told, start)))
    return first


def _admit(name: str, where: str) -> None:
    if name not in ADMITTED:
        raise ValueError(f"{where}: would call {name[:100]!r}, which plain data has no use for; nothing was loaded")


class PlainUnpickler(pickle.Unpickler):
    """Loads containers and numbers; every other name in the pickle is an error."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """One of the admitted names."""
        if f"{module}.{name}" not in ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}"[:100] + " is not admitted")
        return ADMITTED[f"{module}.{name}"]


def loads(content: bytes, where: str, *, trust: bool = False) -> object:
    """The plain data in a pickle. Raises ValueError for anything else; `trust` loads it whatever it does."""
    if not trust:
        scan(io.BytesIO(content), where)
    try:
        return pickle.loads(content) if trust else PlainUnpickler(io.BytesIO(content)).load()
    except MALFORMED as error:
        raise ValueError(f"{where}: a damaged pickle ({short(error)})") from None


def decompress(content: bytes, limit: int, where: str) -> bytes:
    """A bz2 stream's content. Raises ValueError where it is none, or larger than the limit in bytes."""
    try:
        stream = bz2.BZ2Decompressor()
        plain = stream.decompress(content, max_length=limit + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: no bz2 file ({short(error)})") from None
    if len(plain) > limit:
        raise ValueError(f"{where}: unpacks to more than {limit >> 20} MiB")
    if not stream.eof:
        raise ValueError(f"{where}: ends too early")
    return plain


def is_zip(path: Path) -> bool:
    """Whether a file begins as torch.save's do since torch 1.6."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def check_stored(path: Path) -> zipfile.ZipInfo:
    """The one pickle in a file of torch.save that is a zip. Raises ValueError for another zip, or a compressed one."""
    try:
        with zipfile.ZipFile(path) as content:
            entries = content.infolist()
    except (OSError, *MALFORMED) as error:
        raise ValueError(f"{path}: a damaged file ({short(error)})") from None
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ValueError(f"{path}: a zip file, but none that torch.save wrote")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise ValueError(f"{path}: has compressed parts, which torch.save never writes")
    return pickles[0]


def scan_torch(path: Path, advance: Callable[[int], None] = lambda _: None, *, weights: bool = False) -> None:
    """Scan every pickle in a file of torch.save, of today's format or of that before 1.6. Raises ValueError."""
    if is_zip(path):
        entry = check_stored(path)
        try:
            with zipfile.ZipFile(path) as content, content.open(entry) as file:
                scan(file, str(path), advance, weights=weights)  # type: ignore[arg-type]
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: a damaged file ({short(error)})") from None
        return
    with path.open("rb") as plain:
        if scan(plain, str(path), advance, weights=weights) != TORCH_MAGIC:
            raise ValueError(f"{path}: no file that torch.save wrote")
        for _ in range(LEGACY_PICKLES - 1):
            scan(plain, str(path), advance, weights=weights)


def load_torch(path: Path, advance: Callable[[int], None] = lambda _: None, *, trust: bool = False) -> object:
    """What a file of torch.save holds, by weights_only=True unless it is to be trusted. Raises ValueError.

    `advance` is told from time to time how many bytes are read; of today's format nothing before the end, since torch
    reads the whole pickle first.
    """
    try:
        with torch.serialization.safe_globals(OF_NUMPY):
            if is_zip(path):
                content: object = torch.load(path, map_location="cpu", weights_only=not trust)
                advance(path.stat().st_size)
                return content
            with path.open("rb") as file, _watched(file, advance):
                return torch.load(file, map_location="cpu", weights_only=not trust)
    except (OSError, *MALFORMED) as error:
        raise ValueError(f"{path}: does not load ({short(error)})") from None


@contextmanager
def _watched(file: BinaryIO, advance: Callable[[int], None]) -> Iterator[None]:
    """Tells how far a file is read while another reads it, and that it is read to its end when that is done."""
    done = threading.Event()

    def watch() -> None:
        told = 0
        while not done.wait(0.5):
            position = file.tell()
            advance(position - told)
            told = position
        advance(file.seek(0, 2) - told)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def short(error: BaseException) -> str:
    """A library's message in one sentence; torch begins, and goes on, with advice to load the file unsafely."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return (text.split("\n")[0].split(". ")[0] or type(error).__name__)[:200]
