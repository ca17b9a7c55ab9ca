"""Batches that are run in pieces, and passes that would not fit into memory: what comes out, and what is said."""

from __future__ import annotations

import contextlib
import copy
import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import diswot_bench as db
from proxies import registered
from proxies.probing import memory, parts
from proxies.probing.module import Module
from proxies.probing.passes import NEEDS
from proxies.probing.probe import Probe
from tests import cases
from tests.test_module import K, batch, built, noise, probed, vit

CPU = torch.device("cpu")


def plain() -> nn.Module:
    """No normalisation that looks at other images, a convolution as head."""
    body = [nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*body, nn.Conv2d(8, K, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Mixing(nn.Module):
    """Subtracts the mean over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> Any:
        return self.net(x - x.mean(0))


def normed() -> nn.Module:
    body = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, K))


def flat(value: Any) -> list[Tensor]:
    """The tensors of a quantity's value."""
    if isinstance(value, Tensor):
        return [value]
    return [one.gradient if hasattr(one, "gradient") else one for one in value]


def kept(module: nn.Module, images: Tensor) -> int:
    """Bytes that a pass keeps for an image of float64."""
    return 2 * Module(module, images).keeps(NEEDS["gradients"])


@pytest.mark.parametrize(
    ("images", "each", "sizes"),
    [
        (8, 1, [8]),
        (8, 50, [2, 2, 2, 2]),
        (7, 25, [3, 4]),
        (5, 40, [1, 2, 2]),
        (3, 1000, [1, 1, 1]),
        (64, 0, [64]),
        (0, 9, [0]),
    ],
)
def test_pieces_keep_no_more_than_is_said(
    images: int, each: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LARGEST", 100)
    found = parts.pieces(images, each)
    assert [len(range(images)[one]) for one in found] == sizes
    assert torch.cat([torch.arange(images)[one] for one in found]).tolist() == list(range(images))


@pytest.mark.parametrize("make", [plain, vit])
def test_pieces_give_what_the_whole_batch_gives(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, (images, labels) = built(make), batch(7)
    names = {"stages": ["0", "3"]} if make is plain else {}
    whole = probed(module, images, labels, **names)
    defined = [name for name in parts.JOINED if not NEEDS.get(name, set()) & whole.network.lacks.keys()]
    wanted = {name: flat(getattr(whole, name)) for name in defined}
    units = whole.agreement.units if make is plain else None
    monkeypatch.setattr(parts, "LARGEST", 3 * kept(module, images))
    split = probed(module, images, labels, **names)
    assert len(split._pieces) == 3
    for name in defined:
        for one, other in zip(flat(getattr(split, name)), wanted[name], strict=True):
            assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert set(defined) >= {"outputs", "gradients", "input_gradients", "class_gradients", "feature_gradients"}
    assert "pass" not in split._values  # over all images
    if units is not None:
        assert_close(split.agreement.units, units)
        again = Probe(split.network, split.weights, images, labels, noise=noise, plan=frozenset(split.asked))
        assert_close(again.agreement.units, units)
        assert again._values["pass"][0].needs == {"relu"}


def test_what_looks_at_other_images_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch(6)
    monkeypatch.setattr(parts, "LARGEST", 1)
    assert len(probed(built(normed), images, labels)._pieces) == 1
    assert len(probed(built(Mixing), images, labels)._pieces) == 1
    network = Module(built(normed), images)
    running = Probe(network, network.weights(running=True), images, labels)
    assert len(running._pieces) == 6
    whole = network(images, network.weights(running=True)).logits
    assert_close(running.logits, whole)


def test_a_score_does_not_depend_on_what_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    module, (images, labels) = built(vit), batch(6)
    monkeypatch.setattr(parts, "LARGEST", 2 * kept(module, images))
    alone, both = (probed(module, images, labels) for _ in range(2))
    _ = both.gradients, both.relus
    planned = Probe(both.network, both.weights, images, labels, noise=noise, plan=frozenset(both.asked | {"outputs"}))
    assert torch.equal(alone.logits, both.logits)
    assert torch.equal(alone.logits, planned.logits)


def test_what_does_not_fit_says_oom(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16) % K
    options = {"dataset": f"own:{K}x64", "teacher": "resnet20", "progress": False}
    net = copy.deepcopy(plain()).eval()
    monkeypatch.setattr(memory, "free", lambda device: 2 * 2**20)
    found = db.score(net, images, labels, proxies="params,grad_norm,synflow", **options).set_index("proxy")  # type: ignore[arg-type]
    assert found["status"].to_dict() == {"params": "ok", "grad_norm": "oom", "synflow": "ok"}
    assert "a pass over 16 images takes some 7 MiB" in found["reason"]["grad_norm"]


def test_gradients_image_by_image_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2**14), nn.ReLU(), nn.Linear(2**14, K))

    images, labels = batch(16)
    monkeypatch.setattr(memory, "free", lambda device: 16 * 2**20)
    probe = probed(built(Wide), images, labels)
    _ = probe.gradients
    with pytest.raises(memory.TooLarge, match="the gradients of 16 images takes some"):
        _ = probe.sum_gradients


def test_free_memory_is_what_the_machine_and_its_group_leave(tmp_path: Path) -> None:
    (tmp_path / "info").write_text("MemTotal: 9 kB\nMemAvailable:   5 kB\n")
    (tmp_path / "memory.max").write_text("9000\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert memory._available(tmp_path / "info") == 5 * 1024
    (tmp_path / "memory.stat").write_text("anon 4000\ninactive_file 700\n")
    assert memory._within(tmp_path, *memory.CGROUPS[0]) == 4700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._within(tmp_path, *memory.CGROUPS[0]) == memory._available(tmp_path / "none") == memory.UNTOLD
    assert 2**20 < memory.free(CPU) < memory.UNTOLD


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_memory_that_a_process_freed_and_kept_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    held = [torch.ones(2**14) for _ in range(2000)]  # blocks of 64 KiB, below what is asked of the system one by one
    between = held[1::2]
    del held
    before = resident()
    memory.give_back()
    assert before - resident() > 1000 * 2**15
    assert len(between) == 1000


@pytest.mark.parametrize("kind", ["module", "stack"])
def test_what_a_probe_held_is_free_once_it_is_gone(kind: str) -> None:
    """Without a wait for the garbage collector, which the next network's passes would not survive."""
    probe = probed(built(vit), *batch(4)) if kind == "module" else cases.probe_of([cases.MIXED[0]], *cases.batch(4))
    gc.collect()
    gc.disable()
    try:
        for proxy in registered():
            with contextlib.suppress(ValueError):  # undefined for a transformer, or a teacher is wanted
                probe.score(proxy)
        held = [probe, probe.outputs.logits, probe.gradients[0].gradient, probe.relus[0].value]
        held += [tap.value for tap in probe._forward(NEEDS["responses"]).taps.found]
        seen = [weakref.ref(one) for one in held]
        del probe, proxy, held
        assert [one() for one in seen if one() is not None] == []
    finally:
        gc.enable()
