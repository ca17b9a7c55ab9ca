"""Everything that is read from outside, fed with damaged and hostile bytes: one clear error, nothing run, nothing lost.

What once broke a reader lies in tests/corpus/READER/ and is fed again on every run.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import proxies
from benchmarks import data, spaces
from benchmarks.conditions import batches, teachers
from benchmarks.output.command import parse
from benchmarks.rank import Options
from benchmarks.reading import limits, pickles
from benchmarks.scoring import selection
from benchmarks.scoring.store import Score, Store
from benchmarks.truth import embedded, imported, ownfile
from tests.cases import MIXED, SPACE

CORPUS = Path(__file__).parent / "corpus"
STACK = teachers.build("resnet20", "cifar10", 10, 32)
TRUTH = embedded.retrained()


def read_store(path: Path) -> None:
    with Store(path) as store:
        list(store.scores(store.conditions({}), "space", ["p"], 0))


def read_config(path: Path) -> None:
    try:
        parse(Options, "rank.py", ["--config", str(path)])
    except SystemExit as end:
        raise ValueError(f"exit code {end.code}") from None


def read_pickle(path: Path) -> None:
    pickles.loads(path.read_bytes(), str(path))


def read_note(path: Path) -> None:
    imported.installed(path.rename(path.with_name(imported.NOTE)).parent)


def read_cells(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    for space in spaces.SPACES.values():
        with contextlib.suppress(ValueError):
            assert space().parse(text)


READERS: dict[str, Callable[[Path], object]] = {
    "csv": lambda path: ownfile.from_csv(path, SPACE, "vanilla"),
    "archs": lambda path: selection.listed(SPACE, TRUTH, path),
    "npz": lambda path: batches.open_source(str(path), "cifar10"),
    "weights": lambda path: teachers.load(STACK, path, torch.device("cpu")),
    "store": read_store,
    "config": read_config,
    "pickle": read_pickle,
    "torch": lambda path: (pickles.scan_torch(path), pickles.load_torch(path)),
    "note": read_note,
    "cells": read_cells,
    "proxies": lambda path: proxies.select(path.read_bytes().decode("latin1").replace(".py:", "")),
}


def fed(reader: str, content: bytes) -> None:
    """Let a reader read: anything but a result or a ValueError (what becomes one line) is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.npz" if reader == "npz" else "file")
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            READERS[reader](path)


def sound(reader: str) -> bytes:
    """A file that the reader takes."""
    file = io.BytesIO()
    if reader == "npz":
        images = np.zeros((2, 3, 32, 32), dtype=np.uint8)
        np.savez_compressed(file, images=images, labels=np.zeros(2, dtype=np.int64))
    elif reader in ("weights", "torch"):
        torch.save(
            {"a": [1, 2.5, {"b"}], "conv1.weight": torch.zeros(2)} if reader == "weights" else {"a": [1, 2.5]}, file
        )
    elif reader == "store":
        with tempfile.TemporaryDirectory() as folder:
            with Store(Path(folder, "s.sqlite")) as store:
                store.add(store.conditions({}), [Score("space", "a", "p", 0, 1.0, "ok", 0.1)])
            return Path(folder, "s.sqlite").read_bytes()
    texts = {
        "csv": f"arch,accuracy\n{MIXED[0]},70.5\n",
        "archs": f"# two\n{MIXED[0]}\n5\n",
        "config": "sample: 5\nproxy: diswot\n",
        "note": '{"table": "nasbench201-000000000000.csv", "cells": 1}',
        "cells": MIXED[0],
        "proxies": "vote(synflow,naswot),dis*",
    }
    if reader == "pickle":
        return pickle.dumps({"a": [1, 2.5, (None, True)], "b": {"c", "d"}, "e": np.float64(3)}, protocol=4)
    return texts[reader].encode() if reader in texts else file.getvalue()


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A sound file with some bytes replaced, a piece cut out or doubled, or something hung on."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(made) - 1)))
        end = min(len(made), start + draw(st.integers(0, 30)))
        put = draw(st.one_of(st.binary(max_size=12), st.just(bytes(made[start:end]) * 2)))
        made[start:end] = put
    return bytes(made)


@pytest.mark.parametrize("reader", READERS)
def test_sound_files_are_sound(reader: str, tmp_path: Path) -> None:
    if reader not in ("weights", "note"):  # whose samples lack the rest of what belongs there
        path = tmp_path / ("file.npz" if reader == "npz" else "file")
        path.write_bytes(sound(reader))
        READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_one_clear_error(reader: str) -> None:
    whole = sound(reader)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(damaged(whole), damaged(whole), st.binary(max_size=200)))
    def check(content: bytes) -> None:
        fed(reader, content)

    check()


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_reader_breaks_it_no_more(path: Path) -> None:
    fed(path.parent.name, path.read_bytes())


def test_the_corpus_is_fed_to_readers_that_exist() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(READERS)


@pytest.mark.parametrize("reader", ["csv", "archs", "npz", "weights", "config"])
def test_what_is_too_large_or_never_ends_is_not_read(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "LARGEST", dict.fromkeys(limits.LARGEST, 10))
    path = tmp_path / "file.npz"
    path.write_bytes(sound(reader) + b"\n" * 20)
    with pytest.raises(ValueError, match=r"are the most|exit code 2"):
        READERS[reader](path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"not a regular file|exit code 2"):
        READERS[reader](path)


def test_images_that_unpack_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits.LARGEST, "images", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(1 << 22))
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        batches.open_source(str(tmp_path / "x.npz"), "cifar10")


def test_pickles_inside_images_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.array([{}], dtype=object), labels=np.zeros(1, dtype=int))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        batches.open_source(str(tmp_path / "x.npz"), "cifar10")


def test_weights_that_are_compressed_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 22))
    with pytest.raises(ValueError, match="compressed parts"):
        teachers.load(STACK, tmp_path / "x.pth", torch.device("cpu"))


@pytest.mark.parametrize(
    "text",
    [
        "proxy: &a [*a]",
        "a: &a [x,x]\nproxy: [*a,*a]",
        "proxy: !!python/object/apply:os.mkdir [ran]",
        "proxy: " + "[" * 100_000,  # minutes, were it read to its end
    ],
)
def test_a_configuration_runs_and_unfolds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text)
    with pytest.raises(ValueError, match="exit code 2"):
        read_config(Path("x.yaml"))
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON scores BEGIN DELETE FROM scores; END", "other tables than a store"),
        ("CREATE VIEW v AS SELECT 1", "other tables than a store"),
        ("UPDATE scores SET score = 'much'", "the score of p for 'a' is no number"),
        ("UPDATE scores SET score = x'00'", "is no number"),
        ("UPDATE scores SET seconds = 'long'", "is no number"),
        ("UPDATE scores SET seconds = -1", "is 1.0, status 'ok', -1.0 s"),
        ("UPDATE scores SET score = NULL", "is None, status 'ok'"),
        ("UPDATE scores SET score = 9e999", "is inf, status 'ok'"),
        ("UPDATE scores SET status = '<b>'", "status '<b>'"),
        (
            "UPDATE scores SET score = NULL, status = 'fine'",
            r"^store .*s\.sqlite: the score of p for 'a' is None, status 'fine'",
        ),
        ("UPDATE scores SET seconds = 9e999", "is 1.0, status 'ok', inf s"),
        ("UPDATE scores SET status = CAST(x'ff' AS TEXT)", "s.sqlite: Could not decode"),
    ],
)
def test_a_store_that_another_hand_changed_is_refused(tmp_path: Path, statement: str, message: str) -> None:
    (tmp_path / "s.sqlite").write_bytes(sound("store"))
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(ValueError, match=message):
        read_store(tmp_path / "s.sqlite")
    (tmp_path / "mine.sqlite").write_bytes(sound("store"))
    with Store(tmp_path / "mine.sqlite") as mine, pytest.raises(ValueError, match=message):
        mine.absorb(tmp_path / "s.sqlite")
    read_store(tmp_path / "mine.sqlite")


def test_the_doctor_tells_a_damaged_store(tmp_path: Path) -> None:
    from benchmarks.checking import doctor

    (tmp_path / "s.sqlite").write_bytes(sound("store"))
    (finding,) = [one for one in doctor.findings(tmp_path / "s.sqlite") if one.what == "store"]
    assert finding.sound
    assert "1 scores, 0 of them by this source" in finding.text
    (tmp_path / "s.sqlite").write_bytes(b"not a store" * 1000)
    (finding,) = [one for one in doctor.findings(tmp_path / "s.sqlite") if one.what == "store"]
    assert finding.sound is False
    assert data.PROG == "data.py"


def test_the_doctor_fits_one_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from benchmarks.checking import golden
    from benchmarks.output import terminal

    monkeypatch.setattr(terminal, "console", lambda: Console(width=80, highlight=False))
    cells = 3

    def few(device: torch.device) -> list[list[Score]]:
        """The golden scores themselves, of a few cells."""
        kept = golden.read_golden()
        archs = list(dict.fromkeys(arch for _, arch in kept))[:cells]
        return [[Score("", a, p, 0, v, "ok", 0.0) for (p, a), v in kept.items() if a == arch] for arch in archs]

    monkeypatch.setattr(golden, "golden_cells", few)
    assert data.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    said = f"3 of 50 golden cells x {len(proxies.registered())} proxies: equal to the last digit"
    assert said in " ".join(printed.split())
    assert printed.count("\n") <= 24


def test_the_self_test_stops_before_its_seconds_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.checking import golden

    now = iter([0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0])
    monkeypatch.setattr(golden.time, "monotonic", lambda: next(now))
    assert len(list(golden._while(20.0, iter([[]] * 6)))) == 5
    now = iter([0.0, 30.0])
    assert len(list(golden._while(20.0, iter([[]] * 6)))) == 1


def test_golden_scores_are_those_of_this_source() -> None:
    """On a machine like that which made them: equal to the last digit. On another within the stated tolerance."""
    from benchmarks.checking import golden

    kept = golden.read_golden()
    assert len(kept) == len(golden.GOLDEN_CELLS) * len(proxies.registered())
    first = next(golden.golden_cells(torch.device("cpu")))  # one of the fifty; doctor looks at more
    differences = golden.compare({(row.proxy, row.arch): row.score for row in first}, kept)
    same = golden.machine() == golden.made_on()
    assert max(differences.values()) <= (0 if same else golden.TOLERANCE), max(differences, key=differences.__getitem__)


def test_a_score_that_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.checking import golden

    kept = golden.read_golden()
    proxy, arch = next(iter(kept))
    for change, sound in ((1e-9, True), (1.0, False)):
        rows = [Score("", a, p, 0, v, "ok", 0.0) for (p, a), v in kept.items() if a == arch]
        scale = max(golden._sizes(kept, proxy))
        rows[0] = rows[0]._replace(score=rows[0].score + change * scale)
        monkeypatch.setattr(golden, "golden_cells", lambda device, rows=rows: iter([rows]))
        monkeypatch.setattr(golden, "machine", lambda: golden.made_on())
        found = golden.self_test(torch.device("cpu"))
        assert found.sound is sound
        assert "what is computed has changed" in found.text
        assert (f"beyond 0.05: {proxy}" in found.text) is not sound
