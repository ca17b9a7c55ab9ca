"""Batches: the same everywhere, balanced, normalised; what does not fit is refused."""

from __future__ import annotations

from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torchvision import datasets

from benchmarks.conditions.batches import DATASETS, Dataset, find_dataset, named_dataset, open_source


def saved(path: Path, images: np.ndarray | None = None, labels: np.ndarray | None = None, prefix: str = "") -> str:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8) if images is None else images
    labels = (np.arange(len(images)) % 10).astype(np.uint8) if labels is None else labels
    np.savez(path, **{f"{prefix}images": images, f"{prefix}labels": labels})
    return str(path)


@pytest.mark.parametrize("name", DATASETS)
def test_noise_is_balanced_and_repeats(name: str) -> None:
    source = open_source("noise", name)
    classes, resolution = DATASETS[name]
    first, again, other = source.batch(64, 0), source.batch(64, 0), source.batch(64, 1)
    assert first.images.shape == (64, 3, resolution, resolution)
    assert first.images.dtype == torch.float32
    assert first.digest == again.digest != other.digest
    counts = torch.bincount(first.labels, minlength=classes)
    assert counts.max() - counts.min() <= 1


def test_noise_is_the_same_on_every_machine() -> None:
    batch = open_source("noise", "cifar10").batch(4, 0)
    expected = torch.tensor([1.032646894454956, 1.0780518054962158])
    torch.testing.assert_close(batch.images[0, 0, 0, :2], expected, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["", "train_"])
def test_npz_images_are_drawn_once_each_and_normalised(tmp_path: Path, prefix: str) -> None:
    source = open_source(saved(tmp_path / "a.npz", prefix=prefix), "cifar10")
    batch = source.batch(40, 3)
    assert sorted(batch.labels.tolist()) == sorted(i % 10 for i in range(40))
    torch.testing.assert_close(batch.images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
    assert batch.digest == source.batch(40, 3).digest != source.batch(40, 4).digest


def test_a_constant_channel_does_not_divide_by_zero(tmp_path: Path) -> None:
    source = open_source(saved(tmp_path / "a.npz", np.full((8, 3, 32, 32), 7, dtype=np.uint8)), "cifar10")
    assert torch.equal(source.batch(8, 0).images, torch.zeros(8, 3, 32, 32))


BAD = {
    "dtype": (np.zeros((8, 3, 32, 32), dtype=np.int16), None, "images are int16"),
    "channels last": (np.zeros((8, 32, 32, 3), dtype=np.uint8), None, r"uint8 \[n, 3, 32, 32\]"),
    "size": (np.zeros((8, 3, 16, 16), dtype=np.uint8), None, r"\[8, 3, 16, 16\]"),
    "labels short": (None, np.zeros(3, dtype=np.uint8), "40 integers"),
    "labels text": (None, np.array(["a"] * 40), "40 integers"),
    "labels high": (None, np.full(40, 10, dtype=np.uint8), "from 10 to 10; 0 to 9"),
    "labels low": (None, np.full(40, -1, dtype=np.int64), "from -1"),
    "pickled": (None, np.array([{}] * 40, dtype=object), "allow_pickle"),
}


@pytest.mark.parametrize("case", BAD)
def test_npz_files_that_do_not_fit_are_refused(tmp_path: Path, case: str) -> None:
    images, labels, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        open_source(saved(tmp_path / "a.npz", images, labels), "cifar10")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "empty.npz", x=np.zeros(1))
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name, message in (
        ("empty", "no array called 'images'"),
        ("text", "text.npz"),
        ("array", "not a zip file"),
        ("no", "No such"),
    ):
        with pytest.raises(ValueError, match=message):
            open_source(str(tmp_path / f"{name}.npz"), "cifar10")


def test_sources_that_do_not_go_with_the_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not go with"):
        open_source("cifar10", "cifar100")
    with pytest.raises(ValueError, match="no batch is called"):
        open_source("imagenet", "cifar10")
    with pytest.raises(ValueError, match="ImageNet16-120"):
        find_dataset("cifar11")
    with pytest.raises(ValueError, match=r"--data-dir.*--download"):
        open_source("cifar10", "cifar10", data_dir=str(tmp_path))


def test_a_download_of_images_that_breaks_off_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise IncompleteRead(b"half", 4)

    monkeypatch.setattr(datasets, "CIFAR10", broken)
    with pytest.raises(ValueError, match=r"--batch cifar10: not found in .*IncompleteRead.*; download failed"):
        open_source("cifar10", "cifar10", data_dir=str(tmp_path), download=True)


@pytest.mark.parametrize("size", [-1, 0, 1, 41])
def test_batch_sizes_that_there_are_no_batches_of(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=f"batch size {size}"):
        open_source(saved(tmp_path / "a.npz"), "cifar10").batch(size, 0)


def test_real_images(local_data: Path) -> None:
    batch = open_source(str(local_data / "cifar10_5k.npz"), "cifar10").batch(64, 0)
    assert batch.images.shape == (64, 3, 32, 32)
    assert abs(batch.images.mean()) < 0.3
    assert len(batch.labels.unique()) == 10


def test_torchvisions_cifar_is_read_from_its_folder(tmp_path: Path) -> None:
    """A tiny folder in CIFAR-10's own layout; torchvision checks digests, so its check is told of this one's."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (10, 3072), dtype=np.uint8)
    content = pickle.dumps({"data": images, "labels": list(range(10)), "label_names": list("abcdefghij")})
    (folder / "one").write_bytes(content)
    entry = [["one", hashlib.md5(content).hexdigest()]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CIFAR10, "train_list", entry)
        patch.setattr(CIFAR10, "test_list", entry)
        patch.setattr(CIFAR10, "meta", {"filename": "one", "key": "label_names", "md5": entry[0][1]})
        source = open_source("cifar10", "cifar10", data_dir=str(tmp_path))
    assert source.pool is not None
    assert np.array_equal(source.pool[0], images.reshape(10, 3, 32, 32))
    assert sorted(source.batch(10, 0).labels.tolist()) == list(range(10))


@pytest.mark.parametrize("kind", ["grey", "grey with a channel", "floats"])
def test_grey_and_float_images_are_taken(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (12, 3, 6, 6), dtype=np.uint8)
    grey = values[:, :1].repeat(3, axis=1)
    given = {"grey": values[:, 0], "grey with a channel": values[:, :1], "floats": values / np.float32(255)}[kind]
    as_bytes = values if kind == "floats" else grey
    path = saved(tmp_path / "a.npz", given)
    found = open_source(path, named_dataset("auto", path)).batch(8, 0)
    expected = open_source(saved(tmp_path / "b.npz", as_bytes), "b:10x6").batch(8, 0)
    assert_close(found.images, expected.images, rtol=0, atol=1e-5)
    assert torch.equal(found.labels, expected.labels)
    assert_close(found.images.mean(), torch.tensor(0.0), rtol=0, atol=0.5)


def test_a_data_set_is_read_off_its_file(tmp_path: Path) -> None:
    labels = np.arange(12) % 7
    path = saved(tmp_path / "my pets.npz", np.zeros((12, 3, 48, 48), np.uint8), labels)
    assert named_dataset("auto", path) == "my-pets:7x48"
    assert find_dataset("my-pets:7x48") == Dataset(7, 48)
    assert named_dataset("cifar10", path) == "cifar10"
    with pytest.raises(ValueError, match="auto: reads classes and size off --batch"):
        named_dataset("auto", "noise")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 3, 8, 8), np.nan, np.float32), "NaN or infinities"),
        (np.zeros((4, 8, 8, 3), np.float32), r"transpose\(0, 3, 1, 2\)"),
        (np.zeros((4, 3, 8, 6), np.uint8), r"uint8 \[4, 3, 8, 6\]"),
        (np.zeros((4, 3, 8, 8), np.int64), "images are int64"),
    ],
)
def test_other_images_are_refused_in_one_line(tmp_path: Path, images: np.ndarray, message: str) -> None:
    path = saved(tmp_path / "a.npz", images, np.zeros(4, int))
    with pytest.raises(ValueError, match=message) as caught:
        open_source(path, "own:2x8")
    assert "\n" not in str(caught.value)
