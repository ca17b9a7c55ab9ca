"""The authors' own files: imported from every layout and format, and hostile ones that run nothing."""

from __future__ import annotations

import bz2
import json
import math
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from benchmarks import data, truth
from benchmarks.checking import doctor
from benchmarks.conditions import teachers
from benchmarks.reading import pickles
from benchmarks.truth import imported, importing
from tests import official
from tests.official import SPACE


@contextmanager
def silent(text: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


def install(path: Path, folder: Path, **options: bool) -> imported.Installed:
    return importing.install(path, folder, silent, **options)


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return official.content()


@pytest.fixture(scope="module")
def scalars() -> dict[str, Any]:
    return official.content(1, scalars=True)


def small() -> dict[str, Any]:
    """A file with one cell, cheap enough to be spoilt."""
    made = official.content(0)
    made["arch2infos"] = {0: {"less": official.results(0, 12, (111,), old=True, scalars=False)}}
    return made


def spoilt(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    made = small()
    change(made)
    return made


def training(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["arch2infos"][0]["less"]["all_results"]["cifar10", 111]
    return found


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_becomes_a_table_of_every_training(tmp_path: Path, content: dict[str, Any], legacy: bool) -> None:
    made = install(official.write(content, tmp_path, legacy=legacy), tmp_path / "cache")
    assert (made.cells, made.trusted) == (3, False)
    table = pd.read_csv(imported.checked(tmp_path / "cache")).set_index("index")
    assert table["arch"].tolist() == [SPACE.arch(index) for index in range(3)]
    for dataset, splits in official.EVALUATED.items():
        for split in splits:
            for seed in official.SEEDS:
                expected = [
                    official.accuracy(i, dataset, split, 200, seed) for i in range(3) if seed in official.SEEDS[: 1 + i]
                ]
                assert table[f"{dataset}:{split}:200:{seed}"].dropna().tolist() == expected
            assert table.loc[2, f"{dataset}:{split}:12:111"] == official.accuracy(2, dataset, split, 12, 111)
        assert table.loc[0, f"{dataset}:seconds:200:777"] == 400
        params, flops = SPACE.count(SPACE.arch(1), official.CLASSES[dataset], 16 if "ImageNet" in dataset else 32)[:2]
        assert (table.loc[1, f"{dataset}:params"], table.loc[1, f"{dataset}:flops"]) == (params / 1e6, flops / 1e6)
    assert imported.verify(tmp_path / "cache") == []


@pytest.mark.parametrize("legacy", [False, True])
def test_the_bar_of_every_step_ends_at_its_end(tmp_path: Path, legacy: bool) -> None:
    told: dict[str, list[int]] = {}

    @contextmanager
    def bar(text: str, total: int) -> Iterator[Callable[[int], None]]:
        counts: list[int] = []
        yield counts.append
        told[text.split(": ")[1]] = [sum(counts), total]

    path = official.write(small(), tmp_path, legacy=legacy)
    importing.install(path, tmp_path / "cache", bar)
    size = path.stat().st_size
    assert told["digest"] == told["load"] == [size, size]
    assert told["cells"] == [1, 1]
    assert size / 2 < told["scan"][0] <= size


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_scalars_are_numbers(tmp_path: Path, scalars: dict[str, Any], legacy: bool) -> None:
    install(official.write(scalars, tmp_path, legacy=legacy), tmp_path / "cache")
    column = imported.select("nasbench201:x-test", "cifar100", tmp_path / "cache")
    assert column.accuracy == {SPACE.arch(0): official.accuracy(0, "cifar100", "x-test", 200, 777)}


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "int32", "uint8", "bool_", ">f8"])
def test_the_stand_in_for_numpy_scalars_reads_the_same_number(kind: str) -> None:
    number = np.dtype(kind.replace("bool_", "bool")).type(1)
    assert pickles.loads(pickle.dumps([number, number], protocol=2), "x") == [1, 1]


def test_version_1_0_has_last_accuracies_alone(tmp_path: Path) -> None:
    install(official.write(small(), tmp_path, version="0", legacy=True), tmp_path / "cache")
    column = imported.select("nasbench201:ori-test:12", "cifar10", tmp_path / "cache")
    assert list(column.accuracy.values()) == [official.accuracy(0, "cifar10", "ori-test", 12, 111)]


@pytest.mark.parametrize("tar", [False, True])
def test_nats_bench_gives_the_same_table(tmp_path: Path, content: dict[str, Any], tar: bool) -> None:
    path = official.write_simple(content, tmp_path)
    if tar:
        with tarfile.open(tmp_path / "simple.tar", "w") as archive:
            archive.add(path, path.name)
        path = tmp_path / "simple.tar"
    made = install(path, tmp_path / "one")
    assert made.sha256 == install(official.write(content, tmp_path), tmp_path / "other").sha256


def test_a_second_import_takes_the_place_of_the_first(tmp_path: Path, content: dict[str, Any]) -> None:
    first = install(official.write(small(), tmp_path), tmp_path / "cache")
    second = install(official.write_simple(content, tmp_path), tmp_path / "cache")
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert first.table != second.table
    assert names == {imported.NOTE, second.table}


class Hostile:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["whole", "accuracy", "archs"])
def test_a_hostile_file_runs_nothing(tmp_path: Path, legacy: bool, place: str) -> None:
    made: Any = small()
    hostile = Hostile(tmp_path / "ran")
    if place == "whole":
        made = hostile
    elif place == "archs":
        made["meta_archs"].append(hostile)
    else:
        training(made)["eval_acc1es"]["ori-test@11"] = hostile
    path = official.write(made, tmp_path, legacy=legacy)
    with pytest.raises(ValueError, match=r"would call 'posix\.mkdir'.*nothing was loaded"):
        install(path, tmp_path / "cache")
    with pytest.raises(ValueError, match="does not load"):  # were the scan misled
        pickles.load_torch(path)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "cache").exists()


def test_a_hostile_pickle_behind_the_first_runs_nothing(tmp_path: Path) -> None:
    path = official.write(small(), tmp_path, legacy=True)
    hostile = pickle.dumps(Hostile(tmp_path / "ran"), protocol=2)
    path.write_bytes(path.read_bytes().removesuffix(pickle.dumps([], protocol=2)) + hostile)
    with pytest.raises(ValueError, match="would call"):
        install(path, tmp_path / "cache", any_digest=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_hostile_cell_of_nats_bench_runs_nothing(tmp_path: Path, protocol: int) -> None:
    path = official.write_simple(small(), tmp_path)
    content = pickle.dumps({"12": Hostile(tmp_path / "ran")}, protocol=protocol)
    (path / "000000.pickle.pbz2").write_bytes(bz2.compress(content))
    with pytest.raises(ValueError, match="nothing was loaded"):
        install(path, tmp_path / "cache")
    with pytest.raises(pickle.UnpicklingError, match="not admitted"):
        pickles.PlainUnpickler((tmp_path / "x").open("wb+")).find_class("posix", "mkdir")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x04\x8c\x08builtins\x94\x8c\x03set\x94h\x00\x8c\x04eval\x93.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02Pname\n.",
        b"\x80\x02}\x81.",
        b"\x80\x02cbuiltins\nset.eval\n.",
    ],
)
def test_pickles_that_call_are_told_by_their_opcodes(content: bytes) -> None:
    with pytest.raises(ValueError, match="nothing was loaded"):
        pickles.loads(content, "x")


PAIRS = b")q\x00" + b"".join(b"h%c\x86q%c" % (place, place + 1) for place in range(60))  # each is twice in the next
LISTS = b"]q\x00" + b"".join(b"]q%c(h%ch%ce" % (place + 1, place, place) for place in range(60))


@pytest.mark.parametrize("form", ["new", "old", "simple", "weights"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"}" + PAIRS + b"K\x01s", "a tuple of more than 20,000 things"),  # hashed for ever
        (b"})" + b"\x85" * 1_000_000 + b"K\x01s", "a tuple of more than 20,000 things"),  # hashed beyond the stack
        (LISTS + b")R", "a call of what can't be called"),  # which torch prints without end
        (b"}r\xff\xff\xff\x7f", "a memo with gaps"),  # of 32 GiB
        (b"}p2147483647\n", "a memo with gaps"),
    ],
)
def test_a_small_pickle_takes_little_time_and_memory(tmp_path: Path, form: str, content: bytes, message: str) -> None:
    content = b"\x80\x02" + content + b"."
    path = tmp_path / "x.pth"
    if form == "simple":
        path = tmp_path / "simple"
        path.mkdir()
        (path / "000000.pickle.pbz2").write_bytes(bz2.compress(content))
    elif form == "old":
        torch.save({}, path, _use_new_zipfile_serialization=False)
        empty = pickle.dumps({}, protocol=2)
        whole = path.read_bytes()
        assert whole.count(empty) == 1
        path.write_bytes(whole.replace(empty, content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", content)
    stack = teachers.build("resnet20", "cifar10", 10, 32)
    with pytest.raises(ValueError, match=message):
        _ = (
            teachers.load(stack, path, torch.device("cpu"))
            if form == "weights"
            else install(path, tmp_path / "cache", any_digest=True)
        )


def test_what_torch_says_advises_nothing_unsafe(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("x/version", "3")
        archive.writestr("x/data.pkl", b"\x80\x02]}b.")
    with pytest.raises(ValueError, match=r"does not load \(Can only build Tensor") as told:
        install(tmp_path / "x.pth", tmp_path / "cache", any_digest=True)
    assert "weights_only" not in str(told.value)


@pytest.mark.parametrize("name", ["x.pth", "x.tar", "simple/000000.pickle.pbz2"])
def test_what_never_ends_is_not_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / "simple").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: not a regular file"):
        install(tmp_path / name.split("/")[0], tmp_path / "cache", any_digest=True)


def test_a_tar_that_is_damaged_or_has_a_cell_twice_is_refused(tmp_path: Path) -> None:
    folder = official.write_simple(small(), tmp_path)
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        for name in ("a", "b"):
            archive.add(folder / "000000.pickle.pbz2", f"{name}/000000.pickle.pbz2")
    with pytest.raises(ValueError, match="cell 0 stands there twice"):
        install(tmp_path / "twice.tar", tmp_path / "cache")
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 512
    said = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    whole = (tmp_path / "twice.tar").read_bytes()
    (tmp_path / "sparse.tar").write_bytes(header.tobuf() + said.ljust(512, b"\0") + whole)
    with pytest.raises(ValueError, match=r"sparse\.tar: a damaged tar file"):
        install(tmp_path / "sparse.tar", tmp_path / "cache")


def test_codecs_are_admitted_for_bytes_alone() -> None:
    assert pickles.loads(pickle.dumps(b"\xff", protocol=2), "x") == b"\xff"
    with pytest.raises(ValueError, match="latin1 alone"):
        pickles.loads(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "x")


def test_a_text_in_place_of_results_is_not_taken_for_a_path(tmp_path: Path) -> None:
    torch.save(small()["arch2infos"][0]["less"], tmp_path / "other.pth")
    made = spoilt(lambda made: made["arch2infos"][0].update(less=str(tmp_path / "other.pth")))
    with pytest.raises(ValueError, match="is a str, not a dict"):
        install(official.write(made, tmp_path), tmp_path / "cache")


def test_what_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = official.write_simple(small(), tmp_path)
    monkeypatch.setattr(importing, "LARGEST_CELL", 1 << 20)
    (path / "000000.pickle.pbz2").write_bytes(bz2.compress(bytes(1 << 21)))
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        install(path, tmp_path / "cache")
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 21))
    with pytest.raises(ValueError, match="compressed parts"):
        install(tmp_path / "x.pth", tmp_path / "cache", any_digest=True)


def test_a_value_that_prints_without_end_is_not_printed(tmp_path: Path) -> None:
    endless: list[object] = []
    for _ in range(60):
        endless = [endless, endless]
    for key in ("epochs", "params", "eval_names", "flop"):
        made = spoilt(lambda made, key=key: training(made).update({key: endless}))
        with pytest.raises(ValueError, match=r"not the layout of NAS-Bench-201 .*list"):
            install(official.write(made, tmp_path), tmp_path / "cache")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: made.pop("arch2infos"), "holds no arch2infos"),
        (lambda made: made["meta_archs"].reverse(), "not the official list"),
        (lambda made: made.update(arch2infos=[1]), "arch2infos is a list"),
        (lambda made: made.update(arch2infos={}), "holds no cells"),
        (lambda made: made["arch2infos"].update({99999: {}}), "99999 is no cell index"),
        (lambda made: made["arch2infos"].update({"a": {}}), "'a' is no cell index"),
        (lambda made: made["arch2infos"].update({1: made["arch2infos"][0]}), "arch_str is not the cell"),
        (lambda made: made["arch2infos"][0].update(more={}), "KeyError: 'more'"),
        (lambda made: made["arch2infos"][0]["less"].pop("all_results"), "no trainings"),
        (lambda made: training(made).update(epochs=200), "200 epochs under 12"),
        (lambda made: training(made)["eval_acc1es"].clear(), "KeyError: 'ori-test@11'"),
        (lambda made: training(made)["eval_acc1es"].update({"ori-test@11": 100.5}), "an accuracy of 100.5"),
        (lambda made: training(made)["eval_acc1es"].update({"ori-test@11": math.nan}), "no number from 0 up"),
        (lambda made: training(made).update(params=True), "bool that is no number"),
        (lambda made: training(made).update(get_train=3), "TypeError"),
        (lambda made: training(made).update(eval_names=["train"]), "accuracy on 'train'"),
    ],
)
def test_another_layout_is_refused_and_nothing_is_left(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        install(official.write(spoilt(change), tmp_path), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, legacy: bool) -> None:
    whole = official.write(small(), tmp_path, legacy=legacy).read_bytes()
    path = tmp_path / "x.pth"
    for cut in (0, 3, 40, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"x\.pth"):
            install(path, tmp_path / "cache", any_digest=True)


def test_the_digest_in_the_name_is_checked(tmp_path: Path) -> None:
    path = official.write(small(), tmp_path)
    other = path.rename(tmp_path / "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(ValueError, match=r"096897 is not its digest.*--any-digest"):
        install(other, tmp_path / "cache")
    unnamed = other.rename(tmp_path / "mine.pth")
    with pytest.raises(ValueError, match=r"no digest in its name.*--any-digest"):
        install(unnamed, tmp_path / "cache")
    assert install(unnamed, tmp_path / "cache", any_digest=True).cells == 1


def test_only_trust_pickle_loads_what_is_not_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path / "cache"))
    made = small()
    made["meta_archs"] = pickle.loads(pickle.dumps(made["meta_archs"]))
    made["note"] = Hostile(tmp_path / "ran")
    path = official.write(made, tmp_path)
    assert data.main(["import", str(path)]) == 2
    assert "would call" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert data.main(["import", str(path), "--trust-pickle"]) == 0
    printed = capsys.readouterr()
    assert "GiB of memory" in printed.err
    assert printed.err.index("whatever code is in") < printed.err.index("cells")
    assert (tmp_path / "ran").exists()
    assert "--trust-pickle" in doctor.imported_table().text


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 300 cells with three seeds, written as an import writes it."""
    random = np.random.default_rng(0)
    rows = {}
    for index in range(500):
        level = 50 + 40 * random.random()
        rows[index] = {
            f"cifar100:x-test:200:{seed}": level + random.normal() for seed in official.SEEDS[: 2 + index % 2]
        }
        rows[index]["cifar100:x-test:12:111"] = level / 2
    monkeypatch.setattr(importing, "_from_pth", lambda *_: (rows, "0" * 64))
    install(tmp_path / "x.pth", tmp_path / "cache")
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_truth_selects_split_epochs_and_seed(many: Path) -> None:
    table = pd.read_csv(imported.checked(many)).set_index("arch")
    found = truth.load("nasbench201:x-test", SPACE, "cifar100", "vanilla")
    columns = [f"cifar100:x-test:200:{seed}" for seed in official.SEEDS]
    assert found.accuracy == table[columns].mean(axis=1).round(4).to_dict()
    assert "mean over seeds 777, 888, 999; 250 cells have 3, 250 cells have 2; table" in found.source
    one = truth.load("nasbench201:x-test:200:999", SPACE, "cifar100", "vanilla")
    assert one.accuracy == truth.load("nasbench201:x-test:999", SPACE, "cifar100", "vanilla").accuracy
    assert one.accuracy == table[columns[2]].dropna().round(4).to_dict()
    assert len(one.accuracy) == 250
    assert "seed 999; 250 of 500 imported cells lack it; table" in one.source
    short = truth.load("nasbench201:x-test:12", SPACE, "cifar100", "vanilla")
    assert (len(short.accuracy), short.ceiling) == (500, None)


def test_equal_means_are_equal_whatever_float32_made_of_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [(91.7, 91.9, 91.8), (91.9, 91.8, 91.7), tuple(float(np.float32(one)) for one in (91.8, 91.7, 91.9))]
    assert len({sum(one) / 3 for one in seeds}) > 1
    rows = {
        index: {f"cifar100:x-test:200:{seed}": one for seed, one in zip(official.SEEDS, of, strict=True)}
        for index, of in enumerate(seeds)
    }
    monkeypatch.setattr(importing, "_from_pth", lambda *_: (rows, "0" * 64))
    install(tmp_path / "x.pth", tmp_path)
    assert set(imported.select("nasbench201:x-test", "cifar100", tmp_path).accuracy.values()) == {91.8}


def test_noise_between_seeds_is_the_ceiling(many: Path) -> None:
    table = pd.read_csv(imported.checked(many))[[f"cifar100:x-test:200:{seed}" for seed in official.SEEDS]]
    found = []
    for one in table.columns:
        for other in table.columns.drop(one):
            both = table[[one, other]].dropna()
            top = both[both[other] >= both[other].nlargest(round(len(both) / 10)).min()]
            found.append(stats.spearmanr(top[one], top[other]).statistic)
    ceiling = truth.load("nasbench201:x-test", SPACE, "cifar100", "vanilla").ceiling
    assert ceiling == f"inside the top tenth one training seed's accuracy reaches {np.mean(found):.2f} of another's"
    assert 0.2 < np.mean(found) < 1


def test_noise_between_seeds_is_that_of_the_mean(many: Path) -> None:
    """Seeds differ by a deviation of 1: that of a mean of two or three cells' seeds is the root of 1/2 or 1/3 of it."""
    noise = [
        truth.load(f"nasbench201:x-test{more}", SPACE, "cifar100", "vanilla").noise for more in ("", ":777", ":12")
    ]
    assert noise[0] == pytest.approx(np.sqrt((1 / 2 + 1 / 3) / 2), rel=0.1)
    assert noise[1] == pytest.approx(1, rel=0.1)
    assert noise[2] is None


@pytest.mark.parametrize(
    ("name", "space", "dataset", "target", "message"),
    [
        ("nasbench201:", "nasbench201", "cifar10", "vanilla", "write nasbench201:x-valid"),
        (
            "nasbench201:x-test:100",
            "nasbench201",
            "cifar100",
            "vanilla",
            "no cifar100 x-test, 200 epochs, seed 100; seeds there: 777",
        ),
        ("nasbench201:x-test:200:12x", "nasbench201", "cifar100", "vanilla", "write nasbench201:x-valid"),
        (
            "nasbench201:x-test",
            "nasbench201",
            "cifar10",
            "vanilla",
            "no x-test for cifar10; there are: x-valid, ori-test",
        ),
        (
            "nasbench201:x-valid",
            "nasbench201",
            "cifar10",
            "vanilla",
            "no cifar10 x-valid, 200 epochs; seeds there: none",
        ),
        ("nasbench201:x-valid", "nasbench201", "cifar10", "distilled", "has vanilla accuracies"),
    ],
)
def test_columns_that_are_not_there(many: Path, name: str, space: str, dataset: str, target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        truth.load(name, SPACE, dataset, target)


def test_without_an_import_it_says_how_to_get_one() -> None:
    with pytest.raises(ValueError, match=r"data\.py import FILE"):
        truth.load("nasbench201:x-valid", SPACE, "cifar10", "vanilla")


@pytest.mark.parametrize("change", ["table", "note", "list", "long", "elsewhere"])
def test_a_table_that_was_changed_is_refused(many: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    note = json.loads((many / imported.NOTE).read_text())
    if change == "table":
        path = many / note["table"]
        path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    else:
        text = {"note": "{", "list": "[[]]", "long": '"' + "x" * imported.LARGEST_NOTE + '"'}
        note["table"] = "../nasbench201.csv"
        (many / imported.NOTE).write_text(text.get(change, json.dumps(note)))
    with pytest.raises(ValueError, match="import the file again"):
        truth.load("nasbench201:x-test", SPACE, "cifar100", "vanilla")
    assert data.main(["check"]) == 2
    assert "not sound: nasbench201" in capsys.readouterr().err


def test_list_and_check_show_what_is_installed(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "x-test:12, x-test:200" in printed
    assert imported.installed(many).sha256[:12] in printed
    assert data.main(["check"]) == 0
    assert "500 cells of x.pth; names, accuracies and sizes agree" in capsys.readouterr().out
