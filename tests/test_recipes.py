"""Every distillation method trains at its defaults: on real digits, from a teacher that knows them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search.distillation import images, methods
from search.distillation.data import Data
from search.distillation.loop import Outcome, Watch, accuracy, train
from search.distillation.models import Model
from search.distillation.objective import Objective
from search.distillation.recipes import Recipe
from tests.cases import small_model

CHANCE = 10
EPOCHS = dict.fromkeys(methods.METHODS, 2) | {"at": 8}  # its weight of 1,000 keeps cross entropy waiting


def taught(
    name: str, method: str, data: Data, teacher: Model | None, folder: Path, epochs: int
) -> tuple[Model, Outcome]:
    """A network trained by a method under the default recipe, but for its length."""
    model = small_model(name, 0 if teacher else 1, classes=10)
    objective = Objective(methods.parse(method), model, teacher, data, 0)
    return model, train(model, objective, data, Recipe(epochs=epochs), folder, {}, Watch())


@pytest.fixture(scope="module")
def data() -> Data:
    """The digits at the size that they were scanned in."""
    return images.load("digits", torch.device("cpu"), data_dir=None, download=False, resolution=8)


@pytest.fixture(scope="module")
def teacher(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Model:
    model, _ = taught("s0:111", "ce", data, None, tmp_path_factory.mktemp("teacher"), 6)
    assert accuracy(model, data, data.test) > 90
    return model


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_trains_at_its_defaults(name: str, data: Data, teacher: Model, tmp_path: Path) -> None:
    _, outcome = taught("s0:111", name, data, teacher, tmp_path, EPOCHS[name])
    assert outcome.status == "done"
    assert outcome.last > 5 * CHANCE
