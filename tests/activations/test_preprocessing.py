"""An encoder must see what its authors let it see, and masks must follow."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitproto.activations.preprocessing import Geometry, Preprocessing
from vitproto.activations.torchvision_shim import import_open_clip

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def preprocessing(size: int, resize_mode: str, interpolation: str = "bicubic"):
    return Preprocessing(
        height=size,
        width=size,
        resize_mode=resize_mode,
        interpolation=interpolation,
        mean=MEAN,
        std=STD,
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(20, 90),
    height=st.integers(20, 90),
    size=st.sampled_from([16, 31, 64]),
    resize_mode=st.sampled_from(["shortest", "squash", "longest"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
def test_pixels_are_those_of_open_clip(width, height, size, resize_mode, interpolation):
    transform = import_open_clip().transform.image_transform(
        size,
        is_train=False,
        mean=MEAN,
        std=STD,
        resize_mode=resize_mode,
        interpolation=interpolation,
    )
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(noise)
    window = preprocessing(size, resize_mode, interpolation).apply(image)
    ours = torch.from_numpy(np.array(window)).permute(2, 0, 1).float().div(255)
    ours = (ours - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.equal(ours, transform(image))


def test_the_geometry_of_a_wide_image_by_hand():
    # 100 × 50 on a window of 20: 40 × 20, of which the middle 20 columns are seen.
    assert preprocessing(20, "shortest").geometry(100, 50) == Geometry(40, 20, 10, 0)
    assert preprocessing(20, "squash").geometry(100, 50) == Geometry(20, 20, 0, 0)
    # 20 × 10, with 5 rows of padding above and below.
    assert preprocessing(20, "longest").geometry(100, 50) == Geometry(20, 10, 0, -5)


def test_crop_pct_scales_beyond_the_window_and_crops():
    timm = Preprocessing(224, 224, "shortest", "bicubic", MEAN, STD, crop_pct=0.9)
    # 224 / 0.9 = 248.9, cut off to 248: 12 pixels fall off each side.
    assert timm.geometry(300, 300) == Geometry(248, 248, 12, 12)


def edges(resize_mode, width, height, n_patches=4):
    """The edges of the patches in an image, as lists."""
    x_E, y_F = preprocessing(20, resize_mode).patch_edges(n_patches, width, height)
    return x_E.tolist(), y_F.tolist()


def test_the_edges_of_patches_in_the_original_image_by_hand():
    # The window is the middle 50 × 50 of 100 × 50 pixels, in patches of 25.
    assert edges("shortest", 100, 50) == ([25, 50, 75], [0, 25, 50])
    assert edges("shortest", 50, 100) == ([0, 25, 50], [25, 50, 75])
    # All of the image, distorted.
    assert edges("squash", 100, 50) == ([0, 50, 100], [0, 25, 50])
    # 25 pixels of padding above and below the image, in its own pixels.
    assert edges("longest", 100, 50) == ([0, 50, 100], [-25, 25, 75])
    assert edges("longest", 50, 100) == ([-25, 25, 75], [0, 50, 100])


def test_pixels_that_fill_no_whole_patch_belong_to_none():
    # Three patches of 6 pixels in a window of 20, which shows 100 × 50: 2 are left.
    assert edges("squash", 100, 50, n_patches=9) == ([0, 30, 60, 90], [0, 15, 30, 45])


def test_crop_pct_leaves_out_a_margin_of_the_original_image():
    timm = Preprocessing(224, 224, "shortest", "bicubic", MEAN, STD, crop_pct=0.875)
    # Scaled to 256, less 16 on each side: of 512 pixels, 32 on each side.
    x_E, y_F = timm.patch_edges(256, 512, 1024)
    assert (x_E[0], x_E[1], x_E[-1]) == (32, 60, 480)
    assert (y_F[0], y_F[1], y_F[-1]) == (288, 316, 736)


@pytest.mark.parametrize("n_patches", [2, 50, 255])
def test_patches_that_form_no_grid_are_refused(n_patches):
    with pytest.raises(ValueError, match=f"{n_patches} patches form no grid"):
        preprocessing(64, "squash").grid(n_patches)


def test_a_window_that_is_no_square_has_more_columns_than_rows():
    wide = Preprocessing(32, 64, "squash", "bicubic", MEAN, STD)
    assert wide.grid(32) == (4, 8)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(40, 120),
    height=st.integers(40, 120),
    row=st.integers(0, 3),
    column=st.integers(0, 3),
    resize_mode=st.sampled_from(["shortest", "squash", "longest"]),
)
def test_a_square_painted_between_a_patchs_edges_fills_that_patch_alone(
    width, height, row, column, resize_mode
):
    """What lies between the edges in the image is what the encoder sees there."""
    prepared = preprocessing(64, resize_mode, "bilinear")
    x_E, y_F = prepared.patch_edges(16, width, height)
    painted = np.zeros((height, width, 3), np.uint8)
    inside_H = (np.arange(height) + 0.5 > y_F[row]) & (
        np.arange(height) + 0.5 < y_F[row + 1]
    )
    inside_W = (np.arange(width) + 0.5 > x_E[column]) & (
        np.arange(width) + 0.5 < x_E[column + 1]
    )
    painted[np.ix_(inside_H, inside_W)] = 255
    window = np.asarray(prepared.apply(Image.fromarray(painted)))[:, :, 0] / 255
    share_44 = window.reshape(4, 16, 4, 16).mean(axis=(1, 3))
    # How much of the patch lies in the image; the rest is padding.
    seen = np.clip(y_F[row + 1], 0, height) - np.clip(y_F[row], 0, height)
    seen *= np.clip(x_E[column + 1], 0, width) - np.clip(x_E[column], 0, width)
    seen /= (y_F[1] - y_F[0]) * (x_E[1] - x_E[0])
    assert share_44[row, column] == pytest.approx(seen, abs=0.2)
    # Resampling spills a little over the edges, and only to neighbours.
    assert share_44.sum() - share_44[row, column] < 0.4
    if seen > 0.5:
        assert share_44.argmax() == 4 * row + column


def test_preprocessing_comes_back_from_the_text_that_shards_keep():
    kept = preprocessing(20, "longest")
    text = json.dumps(dataclasses.asdict(kept))
    assert Preprocessing.from_json(text) == kept


def test_grey_and_transparent_images_become_three_channels(tmp_path):
    for mode in ("L", "RGBA", "P", "CMYK"):
        file = tmp_path / f"{mode}.{'jpg' if mode in ('L', 'CMYK') else 'png'}"
        Image.new(mode, (30, 20)).save(file)
        assert preprocessing(16, "shortest").read(file).shape == (3, 16, 16)


def test_a_damaged_image_is_named(tmp_path):
    good = tmp_path / "good.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(good)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:2000])
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for bad in (cut, text):
        with pytest.raises(ValueError, match=f"{bad.name} cannot be read as an image"):
            preprocessing(16, "shortest").read(bad)
    with pytest.raises(ValueError, match=r"there is no .*gone\.jpg: put it back"):
        preprocessing(16, "shortest").read(tmp_path / "gone.jpg")
