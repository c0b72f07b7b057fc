"""Pictures from strangers become RGB, upright and whole."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from models.images import open_image, stored_size
from tests.picture_files import RED, WHITE, encoded, pixel, plain, refusal


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_common_formats_open_without_notes(format):
    opened = open_image(encoded(plain(), format))
    assert opened.notes == ()
    assert opened.image.size == (8, 6)
    assert np.allclose(pixel(opened), RED, atol=12)


def test_paths_bytes_and_files_give_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(plain()))
    with path.open("rb") as file:
        opened = [open_image(path), open_image(str(path)), open_image(path.read_bytes())]
        opened.append(open_image(file))
    assert {pixel(each) for each in opened} == {RED}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation, format):
    upright = Image.new("RGB", (3, 2))
    upright.putdata([(index * 40, 0, 0) for index in range(6)])
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format == "WEBP" else {}
    file = encoded(stored, format, exif=exif, **lossless)
    opened = open_image(file)
    assert opened.full_size == upright.size
    seen = stored_size(file)
    assert (seen.size, seen.upright) == (stored.size, upright.size)
    assert seen.orientation == orientation
    assert opened.image.tobytes() == upright.tobytes()
    assert bool(opened.notes) == (orientation > 1)


def test_a_damaged_exif_block_is_ignored():
    assert pixel(open_image(encoded(plain(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"))) == RED


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_become_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    if mode == "P":
        image = image.quantize(4)
    opened = open_image(encoded(image.convert(mode)))
    assert pixel(opened) == WHITE
    assert pixel(opened, (0, 0)) == (0, 0, 0)
    assert "white" in opened.notes[0]


def test_a_half_transparent_pixel_is_mixed_with_white():
    opened = open_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128))))
    assert abs(pixel(opened)[0] - 127) <= 1


def test_a_colour_declared_transparent_becomes_white():
    assert pixel(open_image(encoded(plain(), transparency=RED))) == WHITE


def test_an_opaque_alpha_channel_changes_nothing():
    opened = open_image(encoded(plain().convert("RGBA")))
    assert (pixel(opened), opened.notes) == (RED, ())


@pytest.mark.parametrize("dtype, format", [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF")])
def test_sixteen_bits_keep_their_brightness(dtype, format):
    grey = Image.fromarray(np.full((4, 4), 0x8000, "<u2"))
    if dtype == ">u2":
        data = encoded(grey, "TIFF", big_endian=True)
    else:
        data = encoded(grey, format)
    opened = open_image(data)
    assert pixel(opened) == (128, 128, 128)
    assert opened.notes


@pytest.mark.parametrize(
    "values, expected", [(np.int32(0x8000), 128), (np.float32(0.5), 128), (np.float32(100), 100)]
)
def test_wide_numbers_are_rescaled(values, expected):
    array = np.full((4, 4), values)
    assert pixel(open_image(encoded(Image.fromarray(array), "TIFF"))) == (expected,) * 3


def tiff(pixels: bytes, bits: tuple[int, ...], kind: int, photometric: int, order="<") -> bytes:
    """A TIFF of 4 × 4 pixels in one strip, in forms that Pillow reads but does not write."""
    entries = [
        (256, 3, (4,)),
        (257, 3, (4,)),
        (258, 3, bits),
        (259, 3, (1,)),
        (262, 3, (photometric,)),
        (273, 4, (8,)),
        (277, 3, (len(bits),)),
        (278, 3, (4,)),
        (279, 4, (len(pixels),)),
        (339, 3, (kind,) * len(bits)),
    ]
    at = 8 + len(pixels)
    behind = at + 2 + 12 * len(entries) + 4
    head, extra = struct.pack(order + "H", len(entries)), b""
    for tag, type_, values in entries:
        packed = b"".join(struct.pack(order + "HI"[type_ == 4], value) for value in values)
        if len(packed) > 4:
            packed, extra = struct.pack(order + "I", behind + len(extra)), extra + packed
        head += struct.pack(order + "HHI", tag, type_, len(values)) + packed.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "I", at) + pixels + head + bytes(4) + extra


@pytest.mark.parametrize(
    "pixels, bits, kind, photometric, expected",
    [
        (np.full(16, 3 << 30, "<u4").tobytes(), 32, 1, 1, 191),  # unsigned, above the signed
        (np.full(16, 0xC000, "<u4").tobytes(), 32, 1, 1, 191),
        (b"\x80\x08\x00" * 8, 12, 1, 1, 128),
        (np.full(16, 0x4000, "<u2").tobytes(), 16, 1, 0, 191),  # 0 is white
        (np.full(16, 0.25, "<f4").tobytes(), 32, 3, 0, 191),
    ],
)
def test_rare_depths_of_tiff_keep_their_brightness(pixels, bits, kind, photometric, expected):
    opened = open_image(tiff(pixels, (bits,), kind, photometric))
    assert pixel(opened) == (expected,) * 3
    assert opened.notes


@pytest.mark.parametrize(
    "dtype, kind, words",
    [("f4", 3, "3 × 32-bit floating-point"), ("u4", 1, "3 × 32-bit unsigned")],
)
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_of_unread_depth_is_refused_by_its_name(dtype, kind, words, order):
    bits = (32, 32, 32)
    data = tiff(np.full(48, 0.5, order + dtype).tobytes(), bits, kind, 2, order)
    error = refusal(data)
    assert words in str(error)
    assert "16 bits" in error.remedy


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_only_the_first_frame_of_an_animation_is_used(format):
    options = {"lossless": True} if format == "WEBP" else {}
    frames = [plain(WHITE), plain((0, 0, 0))]
    data = encoded(plain(), format, save_all=True, append_images=frames, duration=50, **options)
    opened = open_image(data)
    assert np.allclose(pixel(opened), RED, atol=12)
    assert "first" in opened.notes[0]


def test_a_large_jpeg_is_reduced_and_says_so():
    data = encoded(plain(size=(64, 40)), "JPEG")
    opened = open_image(data, reduce_above=1000)
    assert (opened.image.size, opened.full_size) == ((32, 20), (64, 40))
    assert "32 × 20" in opened.notes[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_image(encoded(plain(size=(64, 40)), "JPEG", exif=exif), reduce_above=1000)
    assert (turned.image.size, turned.full_size) == ((20, 32), (40, 64))
    assert open_image(data, reduce_above=None).image.size == (64, 40)


def test_wide_numbers_are_rescaled_alike_in_every_band(monkeypatch):
    monkeypatch.setattr("models.images.colours._BAND_PIXELS", 8)
    values = np.repeat(np.float32([[10], [20], [np.nan], [250]]), 5, axis=1)
    opened = open_image(encoded(Image.fromarray(values), "TIFF"))
    assert [opened.image.getpixel((4, row))[0] for row in range(4)] == [10, 20, 0, 250]


def test_the_opened_picture_outlives_its_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(plain()))
    opened = open_image(path)
    path.unlink()
    assert pixel(opened) == RED
