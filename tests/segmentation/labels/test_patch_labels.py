"""Patches have the class of most of their pixels, and files keep it."""

import dataclasses
import json
import logging
import re
import runpy
import time

import h5py
import numpy as np
import pytest
from hdf5_files import edited
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from recorded import LAYER, write_shards

from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.stream import Activations
from vitproto.core.hdf5_file import open_hdf5
from vitproto.core.project import PROJECT
from vitproto.data.ade20k import read_images
from vitproto.data.image_list import write_image_list, write_splits
from vitproto.demo.write_scenes import DemoScenes, write_demo_scenes
from vitproto.segmentation.labels.patch_labels import (
    PatchLabels,
    label_window,
    read_patch_labels,
    whole_patches,
    write_patch_labels,
)

label_patches = runpy.run_path(str(PROJECT / "scripts/label_patches.py"))[
    "label_patches"
]


def labels_of(rows, grid, n_classes):
    label_P, purity_P = label_window(np.array(rows, np.uint16), grid, n_classes)
    return label_P.tolist(), purity_P.tolist()


def test_the_labels_of_four_patches_by_hand():
    window = [
        [1, 1, 0, 0],
        [1, 2, 3, 0],
        [2, 1, 0, 3],
        [1, 2, 3, 0],
    ]
    # Pure to 3/4; mostly unlabelled; 1 and 2 equally often; 0 and 3 equally often.
    assert labels_of(window, (2, 2), 3) == ([1, 0, 1, 0], [0.75, 0.75, 0.5, 0.5])


def test_patches_of_one_pixel_are_pure():
    assert labels_of([[3, 0, 1]], (1, 3), 3) == ([3, 0, 1], [1, 1, 1])


def test_pixels_beyond_the_last_whole_patch_count_for_none():
    whole = np.array([[1, 2], [0, 4]]).repeat(2, axis=0).repeat(2, axis=1)
    window = np.pad(whole, ((0, 1), (0, 1)), constant_values=9)
    assert labels_of(window, (2, 2), 9) == ([1, 2, 0, 4], [1, 1, 1, 1])
    for pixels_HW in (window, whole):
        cropped_HW = whole_patches(pixels_HW.astype(np.uint16), (2, 2))
        np.testing.assert_array_equal(cropped_HW, whole)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_labels_and_purities_are_those_of_a_slow_count(data):
    rows, columns, side = (data.draw(st.integers(1, 4)) for _ in range(3))
    # Fewer pixels beyond than would make all patches larger.
    beyond = data.draw(st.integers(0, min(rows, columns, side) - 1))
    n_classes = data.draw(st.integers(1, 5))
    shape = (rows * side + beyond, columns * side + beyond)
    window_HW = data.draw(
        arrays(np.uint16, shape, elements=st.integers(0, n_classes), fill=st.nothing())
    )
    label_P, purity_P = label_window(window_HW, (rows, columns), n_classes)
    for patch in range(rows * columns):
        y, x = (side * i for i in divmod(patch, columns))
        pixels = window_HW[y : y + side, x : x + side].ravel().tolist()
        best = min(set(pixels), key=lambda label: (-pixels.count(label), label))
        assert label_P[patch] == best
        assert purity_P[patch] == np.float32(pixels.count(best) / len(pixels))


def some_labels(n_train=3, n_test=2, preprocessing="{}"):
    """Images of 2 × 3 patches of 4 × 4 pixels, each with another label."""
    n_images = n_train + n_test
    labels_NP = np.arange(n_images * 6).reshape(n_images, 6) % 8
    masks_MHW = labels_NP[n_train:].reshape(n_test, 2, 3).repeat(4, 1).repeat(4, 2)
    return PatchLabels(
        [f"image{i}" for i in range(n_images)],
        np.arange(n_images) < n_train,
        [f"klass {i}, ü" for i in range(1, 10)],
        labels_NP.astype(np.uint16),
        np.linspace(0.3, 1, n_images * 6, dtype=np.float32).reshape(n_images, 6),
        masks_MHW.astype(np.uint16),
        preprocessing,
    )


def assert_same(one, other):
    for field in dataclasses.fields(PatchLabels):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_what_is_written_is_read_back(tmp_path):
    labels = some_labels()
    write_patch_labels(tmp_path / "labels.h5", labels, {"dataset": "tiny"})
    assert_same(read_patch_labels(tmp_path / "labels.h5"), labels)
    with open_hdf5(tmp_path / "labels.h5", "no labels", "delete it") as file:
        assert file.attributes() == {
            "dataset": "tiny",
            "format": "vitproto patch labels 2",
            "preprocessing": "{}",
        }
    with h5py.File(tmp_path / "labels.h5") as file:
        assert file["masks_MHW"].chunks == (1, 8, 12)


def test_the_same_labels_give_the_same_bytes(tmp_path):
    for name in ("one.h5", "two.h5"):
        write_patch_labels(tmp_path / name, some_labels(), {"dataset": "tiny"})
        time.sleep(1.1)  # HDF5 could note the second in which something was made
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_what_follows_from_the_labels():
    labels = some_labels()
    assert labels.n_classes == 9
    assert labels.n_patches == 6
    assert labels.patch_side == 4
    assert labels.grid == (2, 3)
    assert labels.i_train_N.tolist() == [0, 1, 2]
    assert labels.i_test_M.tolist() == [3, 4]
    # Test patches have the labels 18 to 29 modulo 8, so 0 to 7; training all those.
    assert labels.unseen_classes(labels.i_test_M) == ["klass 8, ü", "klass 9, ü"]
    assert labels.unseen_classes(np.array([0])) == [
        f"klass {i}, ü" for i in (6, 7, 8, 9)
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"image_ids": ["a"]}, "1 image ids, 5 splits"),
        ({"classes": ["a"]}, "there is the label 7, but 1 classes"),
        ({"masks_MHW": np.zeros((1, 8, 12), np.uint16)}, "1 masks for 2 test images"),
        ({"masks_MHW": np.zeros((2, 8, 11), np.uint16)}, "6 patches do not fill masks"),
        ({"masks_MHW": np.zeros((2, 1, 1), np.uint16)}, "6 patches do not fill masks"),
        ({"masks_MHW": np.full((2, 8, 12), 10, np.uint16)}, "there is the label 10"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(changed, expected):
    with pytest.raises(ValueError, match=expected):
        dataclasses.replace(some_labels(), **changed)


def test_labels_of_other_activations_are_refused(tmp_path):
    def opened(folder, n_images=5, n_patches=6, **attributes):
        (tmp_path / folder).mkdir()
        x_NPD = np.zeros((n_images, n_patches, 2), np.float32)
        paths = write_shards(tmp_path / folder, x_NPD, **attributes)
        return Activations.open(paths, LAYER)

    labels = some_labels(preprocessing="as A")
    where, shards = tmp_path / "labels.h5", tmp_path / "shard.h5"
    labels.check(opened("same", preprocessing="as A"), where, shards)
    labels.check(opened("unknown"), where, shards)
    both = re.escape(f"{where} and {shards} do not belong together")
    with pytest.raises(ValueError, match="are not in .*shard.h5"):
        labels.check(opened("images", n_images=4), where, shards)
    with pytest.raises(ValueError, match=f"{both}, patches of an image: 6 in"):
        labels.check(opened("patches", n_patches=4), where, shards)
    with pytest.raises(ValueError, match=f"{both}, preprocessing: as A in"):
        labels.check(opened("seen", preprocessing="as B"), where, shards)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no .*gone.h5"):
        read_patch_labels(tmp_path / "gone.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["labels_NP"] = [1]
    write_patch_labels(tmp_path / "part.h5", some_labels(), {})
    with edited(tmp_path / "part.h5") as file:
        del file["purity_NP"]
    write_patch_labels(tmp_path / "type.h5", some_labels(), {})
    with edited(tmp_path / "type.h5") as file:
        del file["labels_NP"]
        file["labels_NP"] = np.zeros((5, 6), np.float32)
    for name in ("text.h5", "other.h5", "part.h5", "type.h5"):
        with pytest.raises(ValueError, match=f"{name} is damaged or holds no patch"):
            read_patch_labels(tmp_path / name)


def test_no_damaged_byte_of_the_labels_goes_unseen(tmp_path):
    labels = some_labels()
    path = tmp_path / "labels.h5"
    write_patch_labels(path, labels, {})
    chunks = []
    with h5py.File(path) as file:
        for name in ("is_train_N", "labels_NP", "purity_NP", "masks_MHW"):
            file[name].id.chunk_iter(chunks.append)
    whole = path.read_bytes()
    assert len(chunks) == 3 + 2
    for chunk in chunks:
        for offset in range(chunk.byte_offset, chunk.byte_offset + chunk.size):
            damaged = bytearray(whole)
            damaged[offset] ^= 0b100
            path.write_bytes(damaged)
            try:
                came = read_patch_labels(path)
            except ValueError as error:
                assert "labels.h5 is damaged" in str(error)  # noqa: PT017
                continue
            # The header of a compressed chunk has bits without a meaning.
            np.testing.assert_equal(vars(came), vars(labels))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="labels.h5 is damaged"):
        read_patch_labels(path)


PREPROCESSING = Preprocessing(9, 9, "shortest", "bicubic", (0.0,) * 3, (1.0,) * 3)
"""Windows of 9 pixels, of which 2 × 2 patches of 4 fill all but the last."""


def write_data(root, masks, image_sizes=None):
    """Masks by `split/stem`, with black images; classes a to d."""
    for name, mask_HW in masks.items():
        for kind in ("images", "annotations"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
        mask_HW = np.array(mask_HW, np.uint8)
        Image.fromarray(mask_HW).save(root / "annotations" / f"{name}.png")
        size = (image_sizes or {}).get(name, mask_HW.shape[::-1])
        Image.new("RGB", size).save(root / "images" / f"{name}.png")
    lines = [f"{i}\t{name}\n" for i, name in enumerate("abcd", 1)]
    (root / "objectInfo4.txt").write_text("".join(["Idx\tName\n", *lines]))


def recorded(folder, image_ids, n_patches, preprocessing=PREPROCESSING, n_shards=1):
    """Shards of images with these ids; what they hold does not matter."""
    folder.mkdir()
    x_NPD = np.zeros((len(image_ids), n_patches, 2), np.float32)
    kept = json.dumps(dataclasses.asdict(preprocessing))
    return write_shards(folder, x_NPD, n_shards, preprocessing=kept)


def squares(upper_left, upper_right, lower_left, lower_right, rest=0):
    """A mask of 9 × 9 pixels."""
    mask_HW = np.full((9, 9), rest)
    mask_HW[:4, :4], mask_HW[:4, 4:8] = upper_left, upper_right
    mask_HW[4:8, :4], mask_HW[4:8, 4:8] = lower_left, lower_right
    return mask_HW


@pytest.fixture
def study(tmp_path):
    """Two images for training and two for tests; `image0` to `image3`."""
    root = tmp_path / "data"
    wide = np.concatenate([np.full((9, 3), 4), squares(1, 0, 0, 3)], axis=1)
    masks = {
        "training/image0": squares(1, 2, 1, 2, rest=4),
        "training/image1": squares(0, 0, 1, 0),
        "validation/image2": squares(3, 3, 3, 1),
        # The window is the middle of 15 columns: those from 3 on.
        "validation/image3": np.concatenate([wide, np.full((9, 3), 4)], axis=1),
    }
    write_data(root, masks)
    write_image_list(read_images(root), tmp_path / "images.csv")
    write_splits(read_images(root), tmp_path / "splits.csv")
    return tmp_path


def run_stage(study, out="labels.h5", n_workers=2, n_shards=1):
    shards = recorded(study / f"shards of {out[:-3]}", range(4), 4, n_shards=n_shards)
    label_patches(
        *(study / "data", study / "images.csv", study / "splits.csv"),
        *(shards[::-1], LAYER, study / out),
        dataset="tiny",
        n_workers=n_workers,
    )
    return study / out


def test_the_stage_labels_patches_and_keeps_the_masks_of_test_images(study, caplog):
    caplog.set_level(logging.INFO)
    labels = read_patch_labels(run_stage(study))
    assert labels.image_ids == [f"image{i}" for i in range(4)]
    assert labels.is_train_N.tolist() == [True, True, False, False]
    assert labels.classes == ["a", "b", "c", "d"]
    assert labels.labels_NP.tolist() == [
        [1, 2, 1, 2],
        [0, 0, 1, 0],
        [3, 3, 3, 1],
        [1, 0, 0, 3],
    ]
    assert (labels.purity_NP == 1).all()
    assert labels.masks_MHW.tolist() == [
        squares(3, 3, 3, 1)[:8, :8].tolist(),
        squares(1, 0, 0, 3)[:8, :8].tolist(),
    ]
    assert json.loads(labels.preprocessing) == json.loads(
        json.dumps(dataclasses.asdict(PREPROCESSING))
    )
    assert "tiny: 16 patches, 31.2 % unlabelled; 4 classes, mean purity 1.00" in (
        caplog.messages
    )
    # What lies beyond the last patch (d) is seen by none.
    assert "no training patch has the label of 2 classes: c; d" in caplog.messages
    assert "no validation patch has the label of 2 classes: b; d" in caplog.messages


def test_shards_and_threads_change_no_byte(study):
    one = run_stage(study, "one.h5", n_workers=1)
    three = run_stage(study, "three.h5", n_workers=3, n_shards=3)
    assert one.read_bytes() == three.read_bytes()


def test_a_file_says_what_made_it(study):
    with open_hdf5(run_stage(study), "no labels", "delete it") as file:
        attributes = file.attributes()
    assert attributes["dataset"] == "tiny"
    assert "code" in attributes
    assert "preprocessing" in attributes


def test_invented_scenes_are_labelled_where_their_masks_say(tmp_path):
    """The demo's masks, squashed to patches of 8 × 8 pixels: a slow count agrees."""
    root = tmp_path / "scenes"
    cfg = DemoScenes(n_species=2, n_training=3, n_validation=2, image_size=64, seed=2)
    write_demo_scenes(root, cfg, n_workers=1)
    images = read_images(root)
    ids = {image_id: f"image{i}" for i, image_id in enumerate(images["image_id"])}
    write_image_list(images.replace({"image_id": ids}), tmp_path / "images.csv")
    write_splits(images.replace({"image_id": ids}), tmp_path / "splits.csv")
    preprocessing = dataclasses.replace(
        PREPROCESSING, height=32, width=32, resize_mode="squash"
    )
    shards = recorded(tmp_path / "shards", images["image_id"], 16, preprocessing)
    label_patches(
        *(root, tmp_path / "images.csv", tmp_path / "splits.csv"),
        *(shards, LAYER, tmp_path / "labels.h5"),
        dataset="scenes",
        n_workers=2,
    )
    labels = read_patch_labels(tmp_path / "labels.h5")
    assert labels.grid == (4, 4)
    for i, path in enumerate(images["path"]):
        mask = path.replace("images/", "annotations/").replace(".jpg", ".png")
        with Image.open(root / mask) as image:
            mask_HW = np.asarray(image)
        height, width = mask_HW.shape
        middle_H = (2 * np.arange(32) + 1) * height // 64
        middle_W = (2 * np.arange(32) + 1) * width // 64
        window_HW = mask_HW[middle_H[:, None], middle_W[None, :]]
        for patch in range(16):
            y, x = (8 * i for i in divmod(patch, 4))
            pixels = window_HW[y : y + 8, x : x + 8].ravel().tolist()
            count = pixels.count(labels.labels_NP[i, patch])
            assert count == max(pixels.count(label) for label in set(pixels))
            assert labels.purity_NP[i, patch] == np.float32(count / 64)
        if i >= 3:
            np.testing.assert_array_equal(labels.masks_MHW[i - 3], window_HW)


def test_a_mask_of_another_size_stops_the_stage_and_nothing_is_left(study):
    image = study / "data/images/validation/image2.png"
    Image.new("RGB", (18, 18)).save(image)
    with pytest.raises(ValueError, match="image2.png has 9 × 9 pixels, but its image"):
        run_stage(study)
    assert not [path for path in study.iterdir() if path.suffix == ".h5"]


def test_a_label_that_no_class_has_stops_the_stage(study):
    Image.new("L", (9, 9), 255).save(study / "data/annotations/training/image1.png")
    with pytest.raises(ValueError, match="image1.png holds the label 255, but the"):
        run_stage(study)


def test_a_mask_that_went_missing_is_named(study):
    (study / "data/annotations/validation/image3.png").unlink()
    with pytest.raises(
        ValueError, match="annotations/validation/image3.png: put it back"
    ):
        run_stage(study)


def test_a_list_without_test_images_is_refused(study):
    path = study / "splits.csv"
    path.write_text(path.read_text().replace(",test,", ",train,"))
    with pytest.raises(ValueError, match="lists no image of the split test"):
        run_stage(study)


@pytest.mark.parametrize("swapped", [["images"], ["splits"], ["images", "splits"]])
def test_images_listed_in_another_order_are_refused(study, swapped):
    for name in swapped:
        path = study / f"{name}.csv"
        header, first, second, *rest = path.read_text().splitlines()
        path.write_text("\n".join([header, second, first, *rest]))
    names = r"images\.csv and .*" + ("labels" if len(swapped) == 2 else r"splits\.csv")
    with pytest.raises(ValueError, match=f"{names}.* order their images differently"):
        run_stage(study)
