"""A mask must lie over the window as the image does, pixel by pixel."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.segmentation.labels.masks import check_size, cut_window, read_mask

MODES = ["shortest", "squash", "longest"]
sizes = st.integers(12, 70)
modes = st.sampled_from(MODES)


def prepared(size, resize_mode, crop_pct=1.0, width=None):
    return Preprocessing(
        *(size, width or size, resize_mode, "bilinear"),
        *((0.0,) * 3, (1.0,) * 3, crop_pct),
    )


def cut(rows, preprocessing):
    return cut_window(np.array(rows, np.uint16), preprocessing).tolist()


WIDE = [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_the_windows_of_a_wide_mask_by_hand():
    # The middle two columns.
    assert cut(WIDE, prepared(2, "shortest")) == [[2, 3], [6, 7]]
    # Each pixel's centre lies on the line between two columns: the right one.
    assert cut(WIDE, prepared(2, "squash")) == [[2, 4], [6, 8]]
    # One row of padding above and below.
    padded = [[0] * 4, *WIDE, [0] * 4]
    assert cut(WIDE, prepared(4, "longest")) == padded
    assert cut(WIDE, prepared(4, "squash")) == [WIDE[0]] * 2 + [WIDE[1]] * 2


def test_the_windows_of_a_high_mask_by_hand():
    high = np.array(WIDE).T.tolist()
    assert cut(high, prepared(2, "shortest")) == [[2, 6], [3, 7]]
    padded = [[0, *row, 0] for row in high]
    assert cut(high, prepared(4, "longest")) == padded


def test_crop_pct_leaves_out_a_margin():
    mask_HW = np.arange(64).reshape(8, 8)
    # Scaled to 4 / 0.5 = 8, so by nothing; 2 pixels of each side are cut off.
    window = cut(mask_HW, prepared(4, "shortest", crop_pct=0.5))
    assert window == mask_HW[2:6, 2:6].tolist()


def test_a_window_that_is_no_square_is_cut_as_such():
    assert cut(WIDE, prepared(2, "squash", width=4)) == WIDE


@settings(max_examples=150, deadline=None)
@given(width=sizes, height=sizes, size=st.integers(4, 48), resize_mode=modes)
def test_labels_are_those_of_the_pixels_in_which_the_centres_lie(
    width, height, size, resize_mode
):
    """Slowly: each centre is taken back into the image by `Geometry.to_image`."""
    preprocessing = prepared(size, resize_mode)
    mask_HW = np.arange(1, width * height + 1).reshape(height, width)
    window_HW = cut_window(mask_HW.astype(np.uint16), preprocessing)
    assert window_HW.shape == (size, size)
    geometry = preprocessing.geometry(width, height)
    centre_W = np.arange(size) + 0.5
    x_W, y_H = geometry.to_image(centre_W, centre_W, width, height)
    # A little to the right: where a centre lies on a line, rounding must not decide.
    column_W, row_H = (np.floor(at + 1e-9).astype(int) for at in (x_W, y_H))
    for row, y in enumerate(row_H):
        for column, x in enumerate(column_W):
            inside = 0 <= x < width and 0 <= y < height
            expected = mask_HW[y, x] if inside else 0
            assert window_HW[row, column] == expected


@settings(max_examples=150, deadline=None)
@given(width=sizes, height=sizes, size=st.integers(4, 48), resize_mode=modes)
def test_labels_are_those_that_pillow_takes_as_nearest(
    width, height, size, resize_mode
):
    """But where a centre lies on a line: there Pillow's rounding decides."""
    preprocessing = prepared(size, resize_mode)
    mask_HW = np.arange(1, width * height + 1).reshape(height, width).astype(np.uint16)
    geometry = preprocessing.geometry(width, height)
    scaled = Image.fromarray(mask_HW.astype(np.int32)).resize(
        (geometry.width, geometry.height), Image.Resampling.NEAREST
    )
    theirs = Image.new("I", (size, size), 0)
    theirs.paste(scaled, (-geometry.left, -geometry.top))
    centre_W = np.arange(size) + 0.5
    x_W, y_H = geometry.to_image(centre_W, centre_W, width, height)
    clear_W, clear_H = (np.abs(at - at.round()) > 1e-6 for at in (x_W, y_H))
    np.testing.assert_array_equal(
        cut_window(mask_HW, preprocessing)[np.ix_(clear_H, clear_W)],
        np.asarray(theirs)[np.ix_(clear_H, clear_W)],
    )


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(60, 150),
    height=st.integers(60, 150),
    crop_pct=st.sampled_from([1.0, 0.875]),
    resize_mode=modes,
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
def test_the_mask_lies_on_the_image_that_the_encoder_sees(
    width, height, crop_pct, resize_mode, interpolation
):
    """An image whose colours are its labels, in blocks, through both ways."""
    label_of_block = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    row_H, column_W = np.arange(height) * 3 // height, np.arange(width) * 3 // width
    mask_HW = label_of_block[row_H[:, None], column_W[None, :]]
    image = Image.fromarray(mask_HW * 25).convert("RGB")
    preprocessing = Preprocessing(
        *(64, 64, resize_mode, interpolation, (0.0,) * 3, (1.0,) * 3, crop_pct)
    )
    seen_HW = np.asarray(preprocessing.apply(image))[:, :, 0]
    window_HW = cut_window(mask_HW.astype(np.uint16), preprocessing)
    # Resampling mixes colours of neighbours, so the borders of blocks are left out.
    is_border_HW = np.zeros_like(window_HW, bool)
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            is_border_HW |= window_HW != np.roll(window_HW, shift, axis)
    assert is_border_HW.mean() < 0.5
    np.testing.assert_allclose(
        seen_HW[~is_border_HW], 25.0 * window_HW[~is_border_HW], atol=1
    )


def png(bits, color_type, row, width=4):
    """A PNG file of one row, packed as Pillow does not write it."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, 1, bits, color_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header)
    if color_type == 3:
        chunks += chunk(b"PLTE", bytes(range(48)))
    chunks += chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


SAME = prepared(2, "squash", width=4)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "I"])
def test_labels_are_read_in_every_kind_of_file_that_holds_one_a_pixel(tmp_path, mode):
    labels_HW = np.array(WIDE, np.uint8)
    file = tmp_path / f"mask.{'tif' if mode == 'I' else 'png'}"
    if mode == "P":
        image = Image.fromarray(labels_HW)
        image.putpalette([(255 - i) % 256 for i in range(768)])
    else:
        dtype = {"L": np.uint8, "I;16": np.uint16, "I": np.int32}[mode]
        image = Image.fromarray(labels_HW.astype(dtype))
    image.save(file)
    with Image.open(file) as saved:
        assert saved.mode == mode
    assert read_mask(file, 8, SAME).tolist() == WIDE


def test_labels_beyond_255_are_read(tmp_path):
    Image.fromarray(np.array(WIDE, np.uint16) * 300).save(tmp_path / "mask.png")
    window = read_mask(tmp_path / "mask.png", 3000, SAME)
    assert window.tolist() == (np.array(WIDE) * 300).tolist()


def test_indices_of_small_palettes_are_read_as_they_are(tmp_path):
    (tmp_path / "mask.png").write_bytes(png(4, 3, b"\x12\x3f"))
    read = read_mask(tmp_path / "mask.png", 15, prepared(1, "squash", width=4))
    assert read.tolist() == [[1, 2, 3, 15]]


def test_greys_that_pillow_would_stretch_are_refused(tmp_path):
    """Four bits of grey come back times 17: label 1 would silently be label 17."""
    for bits, row in ((4, b"\x12\x3f"), (2, b"\x1b")):
        file = tmp_path / f"{bits}.png"
        file.write_bytes(png(bits, 0, row))
        with pytest.raises(ValueError, match=f"{file} has pixels of type L;{bits}"):
            read_mask(file, 255, SAME)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1"])
def test_colours_are_refused(tmp_path, mode):
    file = tmp_path / "mask.png"
    Image.new(mode, (4, 2)).save(file)
    with pytest.raises(ValueError, match=f"mask.png has pixels of type {mode}"):
        read_mask(file, 8, SAME)


@pytest.mark.parametrize("preprocessing", [SAME, prepared(1, "shortest")])
def test_a_label_above_the_classes_is_refused_wherever_it_lies(tmp_path, preprocessing):
    Image.fromarray(np.array(WIDE, np.uint8)).save(tmp_path / "mask.png")
    expected = (
        r"mask.png holds the label 8, .*objectInfo\*.txt lists the classes 1 to 7"
    )
    with pytest.raises(ValueError, match=expected):
        read_mask(tmp_path / "mask.png", 7, preprocessing)


def test_a_negative_label_is_refused(tmp_path):
    Image.fromarray(np.full((2, 4), -1, np.int32)).save(tmp_path / "mask.tif")
    with pytest.raises(ValueError, match="mask.tif holds the label -1"):
        read_mask(tmp_path / "mask.tif", 8, SAME)


def test_a_damaged_mask_is_named(tmp_path):
    good = tmp_path / "good.png"
    noise_HW = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise_HW).save(good)
    cut_off, text = tmp_path / "cut.png", tmp_path / "text.png"
    cut_off.write_bytes(good.read_bytes()[:2000])
    text.write_text("no image")
    for bad in (cut_off, text):
        with pytest.raises(ValueError, match=f"{bad.name} cannot be read as a mask"):
            read_mask(bad, 255, SAME)
    with pytest.raises(ValueError, match=r"text\.png cannot be read as an image"):
        check_size(good, text)
    with pytest.raises(ValueError, match=r"there is no .*gone\.png: put it back"):
        read_mask(tmp_path / "gone.png", 255, SAME)
    with pytest.raises(ValueError, match=r"there is no .*gone\.png: put it back"):
        check_size(good, tmp_path / "gone.png")


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    mask, image = tmp_path / "mask.png", tmp_path / "image.jpg"
    Image.new("L", (8, 6)).save(mask)
    Image.new("RGB", (8, 6)).save(image)
    check_size(mask, image)
    Image.new("RGB", (6, 8)).save(image)
    expected = "mask.png has 8 × 6 pixels, but its image .*image.jpg has 6 × 8"
    with pytest.raises(ValueError, match=expected):
        check_size(mask, image)
