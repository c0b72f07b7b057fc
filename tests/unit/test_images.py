"""Pictures from strangers become RGB or a sentence."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images import MAX_PIXELS, OpenedImage, open_image
from models.schema import UserError

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 600_000_000
RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(color=RED, size=(8, 6)) -> Image.Image:
    return Image.new("RGB", size, color)


def refusal(source, **options) -> UserError:
    with pytest.raises(UserError) as caught:
        open_image(source, **options)
    assert caught.value.remedy, "a refusal says what to do"
    assert "\n" not in str(caught.value)
    return caught.value


def pixel(opened: OpenedImage, at=(1, 1)) -> tuple[int, ...]:
    assert opened.image.mode == "RGB"
    return opened.image.getpixel(at)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size without having its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation):
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
    opened = open_image(encoded(stored, exif=exif))
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


def test_cmyk_is_seen_in_its_colours():
    opened = open_image(encoded(plain().convert("CMYK"), "JPEG"))
    assert np.allclose(pixel(opened), RED, atol=12)


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
    assert opened.image.size == (32, 20)
    assert "32 × 20" in opened.notes[0]
    assert open_image(data, reduce_above=None).image.size == (64, 40)


def test_text_named_like_a_picture_is_refused(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("This is a text.")
    assert "notes.png is not a picture" in str(refusal(path))


@pytest.mark.parametrize("data", [b"", b"\x00", b"<svg xmlns='x'/>", b"%PDF-1.7", b"8BPS\x00\x01"])
def test_other_files_are_refused(data):
    assert "not a picture" in str(refusal(data))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_truncated_files_are_refused(format):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format)
    refusal(data[: len(data) // 2])


def test_too_many_pixels_are_refused_before_decoding():
    error = refusal(png_header(13_000, 13_000))
    assert "169 million" in str(error)
    assert f"{MAX_PIXELS / 1e6:.0f} million" in error.remedy


def test_absurdly_many_pixels_are_refused():
    assert "too many pixels" in str(refusal(png_header(60_000, 60_000)))


def test_a_huge_text_chunk_is_refused():
    text = b"Comment\x00\x00" + zlib.compress(b"a" * 5_000_000)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    png = encoded(plain())
    assert "damaged" in str(refusal(png[:33] + chunk + png[33:]))


def test_too_little_memory_is_told_from_damage(monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("models.images._normalise", fail)
    assert "too large" in str(refusal(encoded(plain())))


def test_an_error_of_ours_is_not_taken_for_damage(monkeypatch):
    def fail(*arguments):
        raise IndexError("of this code")

    monkeypatch.setattr("models.images._from_deep", fail)
    with pytest.raises(IndexError, match="of this code"):
        open_image(encoded(Image.new("F", (4, 4)), "TIFF"))


def test_wide_numbers_are_rescaled_alike_in_every_band(monkeypatch):
    monkeypatch.setattr("models.images._BAND_PIXELS", 8)
    values = np.repeat(np.float32([[10], [20], [np.nan], [250]]), 5, axis=1)
    opened = open_image(encoded(Image.fromarray(values), "TIFF"))
    assert [opened.image.getpixel((4, row))[0] for row in range(4)] == [10, 20, 0, 250]


@pytest.mark.slow
@pytest.mark.parametrize("mode, format", [("I;16", "PNG"), ("F", "TIFF"), ("RGBA", "PNG")])
def test_the_largest_pictures_take_bounded_memory(tmp_path, mode, format):
    path = tmp_path / f"large.{format.lower()}"
    fast = {"compress_level": 1} if format == "PNG" else {"compression": "tiff_adobe_deflate"}
    Image.new(mode, (7000, 7000)).save(path, **fast)
    # VmHWM is of this process alone; ru_maxrss would start from that of the tests' own.
    code = (
        f"from models.images import open_image; opened = open_image({str(path)!r});"
        "assert opened.image.size == (7000, 7000);"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'));"
        "print(int(peak.split()[1]) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout) < LARGEST_BYTES, done.stderr


def test_heic_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = refusal(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    assert "HEIC" in str(error)
    assert "pillow-heif" in error.remedy


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_what_is_no_file_is_refused(tmp_path, name):
    refusal(tmp_path / name)


def test_the_opened_picture_outlives_its_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(plain()))
    opened = open_image(path)
    path.unlink()
    assert pixel(opened) == RED
