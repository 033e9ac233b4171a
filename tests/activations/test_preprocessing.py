"""An encoder must see what its authors let it see, and masks must follow."""

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
    for bad in (cut, text, tmp_path / "gone.jpg"):
        with pytest.raises(ValueError, match=f"{bad.name} cannot be read as an image"):
            preprocessing(16, "shortest").read(bad)
