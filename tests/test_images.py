"""The images of a training run: data sets, crops, seeded order, and files that are refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.testing import assert_close

from benchmarks.conditions import batches
from search.distillation import images as reading
from search.distillation.data import Data, crop
from search.distillation.folders import picture
from search.distillation.images import load
from tests.cases import small_data

CPU = torch.device("cpu")


def opened(name: object, **options: object) -> Data:
    return load(str(name), CPU, **{"data_dir": None, "download": False, "resolution": None, **options})  # type: ignore[arg-type]


def test_digits_are_real_images_of_ten_classes_in_two_halves() -> None:
    data = opened("digits")
    assert data.train.images.shape == (1437, 3, 32, 32)
    assert data.test.images.shape == (360, 3, 32, 32)
    assert data.classes == 10
    assert not data.flip
    for split in (data.train, data.test):
        assert (split.labels.bincount() / len(split.labels) - 0.1).abs().max() < 0.05
    both = torch.cat([data.train.images, data.test.images]).float()
    assert both.sum().item() == pytest.approx(3 * 16 * 255 / 16 * load_digits().images.sum(), rel=1e-2), "all of them"
    assert data.digest == opened("digits").digest


def test_channels_come_last_in_the_memory_of_cropped_batches() -> None:
    """Convolutions round by it: results of before are to be had again."""
    data, last = small_data(), torch.channels_last
    assert next(data.epoch(4, 0, 0)).images.is_contiguous(memory_format=last)
    assert not next(data.epoch(4, 0, 0, lambda images, *_: images)).images.is_contiguous(memory_format=last)


def test_a_crop_by_hand() -> None:
    """8x8 has a border of one black pixel: shift (1, 1) is the image itself, (0, 2) looks up and to the right."""
    image = torch.arange(1, 65, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(3, 3, 8, 8)
    shift = torch.tensor([[1, 1], [0, 2], [1, 1]])
    same, moved, mirrored = crop(image, shift, torch.tensor([False, False, True]))
    assert torch.equal(same, image[0])
    assert torch.equal(mirrored, image[0].flip(-1))
    assert (moved[:, 0] == 0).all()
    assert (moved[:, :, -1] == 0).all()
    assert torch.equal(moved[:, 1:, :-1], image[0][:, :-1, 1:])


def test_an_epoch_has_each_image_once_in_an_order_of_its_own() -> None:
    data = small_data()
    first, again, other, seeded = (list(data.epoch(8, *key)) for key in ((0, 0), (0, 0), (0, 1), (1, 0)))
    places = [torch.cat([batch.places for batch in epoch]) for epoch in (first, other, seeded)]
    assert all(sorted(one.tolist()) == list(range(24)) for one in places)
    assert not torch.equal(places[0], places[1])
    assert not torch.equal(places[0], places[2])
    for one, two in zip(first, again, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one[:3], two[:3], strict=True))
    assert [batch.step for batch in first + other] == list(range(6))
    assert torch.equal(first[0].labels, data.train.labels[first[0].places])


def test_what_does_not_fill_a_batch_is_left_out() -> None:
    assert [len(batch.labels) for batch in small_data().epoch(10, 0, 0)] == [10, 10]
    assert small_data().steps(10) == 2


def test_images_are_normalised_by_the_training_set(tmp_path: Path) -> None:
    arrays(tmp_path / "some.npz")
    data = opened(tmp_path / "some.npz")
    normal = data.normalised(data.train.images).double()
    assert_close(normal.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    assert_close(normal.std((0, 2, 3), unbiased=False), torch.ones(3).double(), atol=1e-5, rtol=0)


def arrays(path: Path, **changed: np.ndarray) -> None:
    random = np.random.default_rng(0)
    content = {"train_labels": np.arange(12) % 3, "test_labels": np.arange(6) % 3}
    content |= {
        f"{part}_images": random.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
        for part, n in (("train", 12), ("test", 6))
    }
    np.savez(path, **{**content, **changed})


def test_images_are_scaled_to_the_resolution(tmp_path: Path) -> None:
    arrays(tmp_path / "some.npz")
    small, own = opened(tmp_path / "some.npz", resolution=4), opened(tmp_path / "some.npz")
    assert (small.resolution, own.resolution) == (4, 8)
    assert small.train.images.dtype == torch.uint8
    assert abs(small.train.images.float().mean() - own.train.images.float().mean()) < 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"test_labels": np.array([0, 1, 2, 3, 0, 0])}, "a test label 3; the training labels make 3 classes"),
        ({"test_images": np.zeros((6, 3, 4, 4), np.uint8)}, "training images"),
        ({"train_images": np.zeros((12, 8, 8, 3), np.uint8)}, r"images are uint8 \[12, 8, 8, 3\]"),
        ({"train_labels": np.zeros(12)}, "labels are float64"),
        ({"train_images": np.zeros((1, 3, 8, 8), np.uint8), "train_labels": np.zeros(1, int)}, "1 training"),
        ({"train_labels": np.full(12, 10**9)}, "its labels make 1,000,000,001 classes; 100,000 are the most"),
        ({"train_images": np.zeros((12, 3, 2, 2), np.uint8)}, "images of 2 x 2; 4 to 1024 is allowed"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, changed: dict[str, np.ndarray], said: str) -> None:
    arrays(tmp_path / "some.npz", **changed)
    with pytest.raises(ValueError, match=said):
        opened(tmp_path / "some.npz")


def test_a_file_without_test_images_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", images=np.zeros((4, 3, 8, 8), np.uint8), labels=np.zeros(4, int))
    with pytest.raises(ValueError, match="no array called 'test_images'"):
        opened(tmp_path / "some.npz")


def test_folders_of_images_are_scaled_and_cut(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for label, colour in (("apple", (200, 0, 0)), ("pear", (0, 200, 0))):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (20, 14), colour).save(folder / f"{number}.png")
    data = opened(tmp_path, resolution=8)
    assert data.train.images.shape == (4, 3, 8, 8)
    assert data.classes == 2
    assert data.train.images[data.train.labels == 1][0, :, 3, 3].tolist() == [0, 200, 0]
    (tmp_path / "val" / "pear").rename(tmp_path / "val" / "plum")
    (tmp_path / "val" / "quince").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "val" / "quince" / "0.png")
    with pytest.raises(ValueError, match=r"hold different classes \(2, 3\)"):
        opened(tmp_path, resolution=8)


def test_an_entry_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("train_images.npy", b"none")
        archive.writestr("train_labels.npy", b"none")
    with pytest.raises(ValueError, match=r"some\.npz: images are \|S4 \[\]"):
        opened(tmp_path / "some.npz")


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (pipe, "not a regular file"),
        (lambda path: path.write_bytes(b"none"), "cannot identify image file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" * 2), "0.png"),
        (lambda path: Image.new("1", (20_000, 20_000)).save(path), "178956970|100,000,000 pixels are the most"),
        (lambda path: Image.new("1", (2100, 100)).save(path), "2100 x 100; .* a side of 20 times the other"),
    ],
)
def test_pictures_that_are_none_or_too_large_are_refused(tmp_path: Path, make: object, said: str) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "apple").mkdir(parents=True)
        make(tmp_path / part / "apple" / "0.png")  # type: ignore[operator]
    with pytest.raises(ValueError, match=rf"--data .*{said}"):
        opened(tmp_path, resolution=8)


def test_a_picture_of_16_bits_is_the_same_in_8(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for name, values in (("deep.png", grey * 257), ("deep.tiff", grey * 257), ("flat.png", grey.astype(np.uint8))):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(np.asarray(picture(str(tmp_path / name)))[..., 1], grey)
    Image.fromarray(grey.astype(np.int32)).save(tmp_path / "deepest.tiff")
    with pytest.raises(ValueError, match=r"deepest.tiff: its values have 32 bits; 8 or 16 are read"):
        picture(str(tmp_path / "deepest.tiff"))


@pytest.mark.parametrize("name", ["mnist", "nowhere/", "missing.npz", "cifar10", "cifar100"])
def test_data_that_are_not_there_are_one_clear_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"--data .*(no such|No such|not found)"):
        opened(name, data_dir=str(tmp_path))


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it takes train/ and val/"):
        opened(tmp_path)


def test_images_that_are_scaled_and_counted_some_at_a_time_are_those_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 3, 8, 8), dtype=np.uint8)
    half = pixels, np.arange(11) % 2
    whole = reading.given(half, half, torch.device("cpu"), 12)
    monkeypatch.setattr(reading, "AT_ONCE", 4)
    monkeypatch.setattr(batches, "COUNTED", 3)
    parts = reading.given(half, half, torch.device("cpu"), 12)
    assert torch.equal(parts.train.images, whole.train.images)
    assert torch.equal(parts.mean, whole.mean)
    assert torch.equal(parts.deviation, whole.deviation)
    assert_close(whole.mean.flatten(), whole.train.images.double().mean((0, 2, 3)).float())
