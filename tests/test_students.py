"""Students by name, and their weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import spaces
from benchmarks.conditions import teachers
from benchmarks.conditions.drawing import generator
from benchmarks.spaces.modules import ModuleSpace
from search.distillation import students
from tests.cases import MIXED, SPACE, small_data, small_model


def test_students_by_space_cell_winner_and_name(tmp_path: Path) -> None:
    assert students.find("s0:357").name == "s0:357"
    assert students.find("nasbench201:13714").arch == SPACE.arch(13714)
    assert students.find(MIXED[0]).name == f"nasbench201:{MIXED[0]}"
    assert students.find("resnet20").space is None
    (tmp_path / "winner.json").write_text(json.dumps({"space": "s0", "arch": "357", "proxy": "diswot"}))
    assert students.find(str(tmp_path / "winner.json")).name == "s0:357"


@pytest.mark.parametrize("name", [name for name, kind in spaces.SPACES.items() if not issubclass(kind, ModuleSpace)])
def test_every_space_makes_students_with_states_that_load_again(name: str) -> None:
    space = spaces.find(name)
    (arch,) = space.sample(1, generator(0, "student"))
    model = small_model(f"{name}:{arch}", 0, resolution=32)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert len(state) == sum(4 if layer.is_norm else 1 for layer in model.stack.layers) + 1, "no name stands twice"
    other = small_model(f"{name}:{arch}", 1, resolution=32)
    other.load_state_dict(state)
    assert all(torch.equal(state[key], tensor) for key, tensor in other.state_dict().items())


@pytest.mark.parametrize(
    "text", ["", "357", "s0", "s0:", "s0:358", "s9:357", "nasbench201:99999", "|nor~0|", "resnet21"]
)
def test_what_is_no_student_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no student|no space|no candidate|no NAS-Bench-201|index"):
        students.find(text)


def test_the_space_in_a_searchs_file_is_run_only_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "open('ran', 'w').close()\nfrom benchmarks.spaces.resnet import S0\nclass Own(S0):\n    name = 'own'\n"
    )
    Path("winner.json").write_text(json.dumps({"space": "own.py:Own", "arch": "357"}))
    Path("best.csv").write_text("space,arch\nown.py:Own,357\n")
    for file in ("winner.json", "best.csv"):
        with pytest.raises(ValueError, match=rf"--student {file}.*run only where you name it: --space PATH/own.py:Own"):
            students.find_all(file)
        assert not Path("ran").exists()
        (found,) = students.find_all(file, "own.py:Own")
        assert found.name == "own:357"
        Path("ran").unlink()


@pytest.mark.parametrize(
    "content", ["", "[]", "[" * 100_000, '{"space": "s0"}', '{"space": "s0", "arch": 357}', "\xff"]
)
def test_what_is_no_winner_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "winner.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"--student .*winner.json"):
        students.find(str(path))


def test_a_trained_network_shows_the_same_as_teachers_load(tmp_path: Path) -> None:
    model, data = small_model("resnet20", 0), small_data()
    images = data.normalised(data.test.images)
    with torch.no_grad():
        model.look(images, training=True)
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        loaded = teachers.load(model.stack, tmp_path / "weights.pt", torch.device("cpu"))
        assert torch.equal(model.stack(images, loaded).logits[0], model.look(images).logits)
    assert (model.weights.norms[model.stack.layers[1]].mean != 0).any()


def test_a_copy_shares_nothing() -> None:
    model = small_model("s0:111", 0)
    copy = model.copy()
    with torch.no_grad():
        for tensor in copy.tensors():
            tensor.add_(1)
    fresh = small_model("s0:111", 0)
    assert all(torch.equal(*pair) for pair in zip(model.tensors(), fresh.tensors(), strict=True))


def test_a_table_of_students_may_have_blanks_in_its_name_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "the best.csv"
    path.write_text("space,arch\ns0,111\ns0,357\n", encoding="utf-8-sig")
    assert [one.name for one in students.find_all(str(path))] == ["s0:111", "s0:357"]
    path.write_text("space;arch\ns0;111\n")
    with pytest.raises(ValueError, match=r"the best.csv: its fields stand between semicolons"):
        students.find_all(str(path))


def test_a_text_of_many_students_is_longer_than_a_files_name() -> None:
    cells = [f"nasbench201:{spaces.find('nasbench201').arch(index)}" for index in range(4)]
    assert [one.name for one in students.find_all(" ".join(cells))] == cells


@pytest.mark.parametrize("text", ["s0:111,s0:113", "s0:111, s0:113"])
def test_students_between_commas_are_told_of_blanks(text: str) -> None:
    with pytest.raises(ValueError, match="several are separated by blanks, not by commas"):
        students.find_all(text)
    assert students.find("nasbench201:(0,0,0,0,0,0)").arch.startswith("|skip")
