"""Memory that the import of a NAS-Bench-201 file takes, measured on files of the official layout. No part of the tests.

    python tests/memory.py [--cells 300]

Writes a file of so many cells through nas_201_api's own classes, each trained with three seeds on all data sets, in
torch's old format and in the new one; then prints, each from a process of its own: what the file holds once it is
loaded, the peak of importing it, and what both come to for the official file, since both grow with the file.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.reading import pickles  # noqa: E402
from benchmarks.truth import importing  # noqa: E402
from tests import official  # noqa: E402

OFFICIAL = 4.7e9  # bytes of NAS-Bench-201-v1_1-096897.pth
MOST = 8 * 2**30  # bytes that an import may take beyond what the file holds
EACH_SEED = [index for index in range(3, len(official.SPACE)) if index % 3 == 2]  # official.content's three seeds


def resident() -> int:
    """Bytes of memory that this process holds, what is free given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most bytes of memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def silent(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """No progress bar."""
    yield lambda count: None


def write(folder: Path, cells: int, legacy: bool) -> Path:
    """A file of so many cells, each with three seeds."""
    made = official.content(0)
    for index in EACH_SEED[:cells]:
        options = {"old": False, "scalars": False}
        made["arch2infos"][index] = {
            "full": official.results(index, 200, official.SEEDS, **options),
            "less": official.results(index, 12, (111,), **options),
        }
    return official.write(made, folder, legacy=legacy)


def holding(path: Path) -> int:
    """Bytes that the content of a file takes once it is loaded."""
    before = resident()
    content = pickles.load_torch(path)
    after = resident()
    del content
    return after - before


def peak_of_import(path: Path) -> int:
    """Bytes that an import takes at its peak."""
    importing.install(write(path.parent, 1, False), path.parent / "cache", silent)  # what every import takes once
    before = resident()
    importing.install(path, path.parent / "cache", silent)
    return peak() - before


def main() -> int:
    """Print both, for both formats; 1 where an import takes more than it may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cells", type=int, default=300, help="cells of the file, 0.4 MB each")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure = {"holding": holding, "importing": peak_of_import}[options.one[0]]
        print(measure(Path(options.one[1])))
        return 0
    beyond = []
    for legacy in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), options.cells, legacy)
            command = [sys.executable, __file__, "--one"]
            held, most = (
                int(subprocess.run([*command, what, str(path)], check=True, capture_output=True, text=True).stdout)
                for what in ("holding", "importing")
            )
            size = path.stat().st_size
        beyond.append((most - held) / size * OFFICIAL)
        name = "torch's old format" if legacy else "torch's new format"
        gibibytes = [bytes_ / size * OFFICIAL / 2**30 for bytes_ in (held, most)]
        print(
            f"{name}, {options.cells} cells, {size / 2**20:.0f} MiB: holds {held / size:.1f} bytes for each of the "
            f"file, importing takes {most / size:.1f}; of the official file: holds {gibibytes[0]:.1f} GiB, importing "
            f"takes {gibibytes[1]:.1f}, {beyond[-1] / 2**30:.1f} beyond that",
            flush=True,
        )
    return int(max(beyond) > MOST)


if __name__ == "__main__":
    sys.exit(main())
