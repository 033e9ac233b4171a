"""Images of every mode are read as they look, and what cannot be read is named."""

import errno
import logging
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from vitproto.activations import image_file
from vitproto.activations.image_file import naming_image, open_image, read_image
from vitproto.core.unreadable import UnreadableError


def greys_of(image):
    """The grey of each pixel; all three channels must agree."""
    x_HW3 = np.asarray(image)
    assert image.mode == "RGB"
    assert (x_HW3 == x_HW3[..., :1]).all()
    return x_HW3[..., 0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_worked_out_by_hand(tmp_path, suffix):
    stored = np.array([[0, 257, 300], [25_700, 32_896, 65_535]], np.uint16)
    Image.fromarray(stored).save(tmp_path / f"deep.{suffix}")
    greys_HW = greys_of(read_image(tmp_path / f"deep.{suffix}"))
    assert greys_HW.tolist() == [[0, 1, 1], [100, 128, 255]]


def write_tiff(path, stored, bits, photometric):
    """A grey TIFF file without compression, of 12 packed bits or of 16."""
    flat = [int(value) for value in stored.ravel()]
    if bits == 12:
        pairs = zip(flat[::2], flat[1::2], strict=True)
        packed = [(a >> 4, (a & 15) << 4 | b >> 8, b & 255) for a, b in pairs]
        data = bytes(byte for three in packed for byte in three)
    else:
        data = struct.pack(f"<{len(flat)}H", *flat)
    height, width = stored.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    header = b"II*\0" + struct.pack("<I", 8 + len(data))
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(header + data + directory)


@pytest.mark.parametrize(("bits", "white"), [(12, 4095), (16, 65_535)])
def test_white_is_the_largest_value_of_a_files_bits_or_0_where_it_says_so(
    tmp_path, bits, white, caplog
):
    stored = np.array([[0, white], [white // 5, white * 3 // 5]])
    write_tiff(tmp_path / "black.tif", stored, bits, photometric=1)
    write_tiff(tmp_path / "white.tif", stored, bits, photometric=0)
    expected = np.array([[0, 255], [51, 153]])
    caplog.set_level(logging.INFO)
    image_file._say_once.cache_clear()
    found = greys_of(read_image(tmp_path / "black.tif"))
    np.testing.assert_array_equal(found, expected)
    assert caplog.messages == [f"16-bit grey images: 0 is black and {white:,} is white"]
    if bits == 12:  # Pillow knows no such file: refused by name, not read as black
        with pytest.raises(UnreadableError, match=r"white\.tif cannot be read"):
            read_image(tmp_path / "white.tif")
        return
    inverted = greys_of(read_image(tmp_path / "white.tif"))
    np.testing.assert_array_equal(inverted, 255 - expected)


def test_of_several_pages_the_first_is_read_and_that_is_said(tmp_path, caplog):
    pages = [Image.new("L", (4, 4), grey) for grey in (10, 200)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    caplog.set_level(logging.INFO)
    image_file._say_once.cache_clear()
    assert (greys_of(read_image(tmp_path / "stack.tif")) == 10).all()
    assert caplog.messages == [
        "images of several pages or frames: the first one is read"
    ]


def test_16_bit_grey_looks_as_the_same_image_of_8_bits(tmp_path):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(stored).save(tmp_path / "shallow.png")
    Image.fromarray(stored.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    shallow = greys_of(read_image(tmp_path / "shallow.png"))
    np.testing.assert_array_equal(greys_of(read_image(tmp_path / "deep.png")), shallow)


def test_floating_point_grey_goes_from_0_to_1(tmp_path):
    stored = np.array([[0, 0.2, 1], [0.5, 0.998, 0.25]], np.float32)
    Image.fromarray(stored).save(tmp_path / "a.tif")
    greys_HW = greys_of(read_image(tmp_path / "a.tif"))
    assert greys_HW.tolist() == [[0, 51, 255], [128, 254, 64]]


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (np.float32([[0, 300]]), "floating-point pixels from 0 to 300, and only 0 to"),
        (np.float32([[-0.1, 1]]), "floating-point pixels from -0.1 to 1"),
        (np.float32([[np.nan, 1]]), "pixels that are not finite"),
        (
            np.int32([[0, 70_000]]),
            "pixels of 32 bits, or of 16 bits with a sign",
        ),
    ],
)
def test_pixels_of_an_unknown_range_are_refused(tmp_path, stored, complaint):
    Image.fromarray(stored).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match=rf"a\.tif has {complaint}"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("most", [4095, 65_535])
def test_a_pgm_of_more_than_8_bits_is_scaled_by_its_maximum(tmp_path, most):
    values = np.array([[0, most // 2, most]], ">u2")
    header = b"P5\n3 1\n%d\n" % most
    (tmp_path / "a.pgm").write_bytes(header + values.tobytes())
    assert greys_of(read_image(tmp_path / "a.pgm")).tolist() == [[0, 127, 255]]


def test_what_is_taken_for_white_is_said_once(tmp_path, caplog):
    image_file._say_once.cache_clear()
    for i in range(3):
        Image.fromarray(np.ones((2, 2), np.uint16)).save(tmp_path / f"{i}.png")
    with caplog.at_level(logging.INFO):
        for i in range(3):
            read_image(tmp_path / f"{i}.png")
    assert caplog.messages == ["16-bit grey images: 0 is black and 65,535 is white"]


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_an_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (30, 20)).save(path)
    assert read_image(path, most_pixels=600).size == (30, 20)
    told = rf"a\.{suffix} has 30 × 20 pixels, more than most_pixels: 599: scale it down"
    with pytest.raises(UnreadableError, match=told):
        read_image(path, most_pixels=599)


def test_pillows_own_limit_is_not_the_studys(tmp_path):
    """Pillow refuses more than 178,956,970 pixels."""
    assert Image.MAX_IMAGE_PIXELS is None
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png", "an image", None) as image:
        assert image.size == (20_000, 10_000)


@pytest.mark.parametrize(
    "stored",
    [
        np.uint16([[100, 355, 610]]),
        np.int32([[-5, 0, 5]]),
        np.float32([[-1e6, 0, 1e6]]),
        np.float32([[0.25, 0.5, 0.75]]),
    ],
)
def test_an_image_is_scaled_by_its_own_values_if_asked_for(tmp_path, stored):
    Image.fromarray(stored).save(tmp_path / "a.tif")
    greys_HW = greys_of(read_image(tmp_path / "a.tif", "file"))
    assert greys_HW.tolist() == [[0, 128, 255]]


def test_equal_pixels_are_black_by_their_own_values(tmp_path):
    Image.fromarray(np.full((2, 2), 999, np.uint16)).save(tmp_path / "a.png")
    assert greys_of(read_image(tmp_path / "a.png", "file")).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("grey_range", ["type", "file"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path, bad, grey_range):
    Image.fromarray(np.float32([[0, bad]])).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match=r"a\.tif has pixels that are not fini"):
        read_image(tmp_path / "a.tif", grey_range)


def test_a_lack_of_memory_is_not_blamed_on_an_image(tmp_path, monkeypatch):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("PIL.Image.open", fail)
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


def test_8_bits_and_colours_are_left_as_they_are(tmp_path):
    stored = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", "file")
    assert np.asarray(image).tolist() == stored.tolist()
    Image.fromarray(stored[..., 0]).save(tmp_path / "b.png")
    greys_HW = greys_of(read_image(tmp_path / "b.png", "file"))
    assert greys_HW.tolist() == [[10, 40]]


def test_a_long_text_in_a_png_names_the_file(tmp_path):
    """Pillow refuses texts that would grow too long, by a plain ValueError."""
    text = zlib.compress(bytes(2 * PngImagePlugin.MAX_TEXT_CHUNK))
    Image.new("L", (3, 3)).save(tmp_path / "good.png")
    content = (tmp_path / "good.png").read_bytes()
    chunk = b"zTXtcomment\0\0" + text
    packed = struct.pack(">I", len(chunk) - 4) + chunk
    packed += struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(content[:33] + packed + content[33:])
    with pytest.raises(UnreadableError, match=r"a\.png cannot be read as an image"):
        read_image(tmp_path / "a.png")


FORMATS = ("bmp", "gif", "jpg", "pgm", "png", "ppm", "tif", "webp")


@settings(max_examples=300, deadline=None)
@given(
    suffix=st.sampled_from(FORMATS),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=6),
    kept=st.floats(0, 1),
)
def test_whatever_is_in_a_file_it_is_an_image_or_named(
    tmp_path_factory, suffix, flips, kept
):
    path = tmp_path_factory.getbasetemp() / f"mutated.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(noise)
    (image.convert("L") if suffix == "pgm" else image).save(path)
    content = bytearray(path.read_bytes())
    for place, change in flips:
        content[int(place * len(content))] ^= change
    path.write_bytes(content[: int(kept * len(content)) + 1])
    try:
        assert read_image(path).mode == "RGB"
    except UnreadableError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_an_error_of_the_file_system_does_not_blame_the_image(tmp_path, number):
    with (
        pytest.raises(UnreadableError, match="keep it"),
        naming_image(tmp_path / "a.png", "an image"),
    ):
        raise OSError(number, "whatever")
