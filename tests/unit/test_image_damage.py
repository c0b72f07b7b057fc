"""What is no picture, is damaged or too large is refused in words; nearly whole files are taken."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images import MAX_PIXELS, open_image
from models.schema import UserError
from tests.picture_files import RED, encoded, pixel, plain, png_header, refusal

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 600_000_000


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


@pytest.mark.parametrize("kind", [b"IDAT", b"IEND"])
def test_a_png_with_a_wrong_checksum_is_refused(kind):
    data = bytearray(encoded(plain()))
    at = data.index(kind) - 4
    (length,) = struct.unpack(">I", data[at : at + 4])
    data[at + 8 + length] ^= 1
    assert kind.decode() in str(refusal(bytes(data)))


def test_a_png_without_its_end_is_taken_where_its_pixels_are_there():
    data = encoded(plain())
    opened = open_image(data[:-12])
    assert pixel(opened) == RED
    assert "but no part of the picture" in opened.notes[0]


def photo() -> Image.Image:
    noise = np.random.default_rng(0).normal(128, 30, (400, 320, 3))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def with_thumbnail() -> Image.Exif:
    """Bytes in front of the picture in which a whole JPEG begins."""
    exif = Image.Exif()
    exif[0x010E] = encoded(plain(), "JPEG")
    return exif


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("cut", [1, 2, 3, 400])
def test_a_jpeg_without_its_last_bytes_is_taken(options, cut):
    data = encoded(photo(), "JPEG", exif=with_thumbnail(), **options)
    opened = open_image(data[:-cut])
    whole = np.asarray(open_image(data).image)
    wrong = np.flatnonzero((np.asarray(opened.image) != whole).any((1, 2)))
    assert "The end of the file is missing" in opened.notes[0]
    if not wrong.size:
        assert "but no part of the picture" in opened.notes[0]
        return
    (said,) = re.findall(r"the last ([\d.]+)% of rows", opened.notes[0])
    assert abs(400 - wrong[0] - float(said) * 4) < 0.5
    assert 0 < float(said) <= 5


def test_a_jpeg_that_lacks_more_is_refused():
    data = encoded(photo(), "JPEG", quality=90)
    refusal(data[: len(data) * 9 // 10])
    several = encoded(photo(), "JPEG", quality=90, progressive=True)
    starts = [match.start() for match in re.finditer(b"\xff\xda", several)]
    assert len(starts) > 2
    for start in starts[1:]:
        refusal(several[:start])


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

    monkeypatch.setattr("models.images.opening._normalise", fail)
    assert "too large" in str(refusal(encoded(plain())))


def test_an_error_of_ours_is_not_taken_for_damage(monkeypatch):
    def fail(*arguments):
        raise IndexError("of this code")

    monkeypatch.setattr("models.images.colours._from_deep", fail)
    with pytest.raises(IndexError, match="of this code"):
        open_image(encoded(Image.new("F", (4, 4)), "TIFF"))


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


def test_a_file_that_the_system_cannot_read_is_refused():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(UserError, match=r"cannot be read \(Input/output error\)"):
        open_image(Broken(b"x" * 100))


@pytest.mark.parametrize(
    "source, words", [("", "no path"), ("http://x/y.png", r"http://x/y\.png does not exist")]
)
def test_a_path_that_is_none_is_shown_as_it_was_written(source, words):
    with pytest.raises(UserError, match=words):
        open_image(source)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "group4"])
def test_a_broken_tiff_is_told_in_one_sentence_and_nowhere_else(compression, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80), np.uint8)
    image = Image.fromarray(noise)
    image = image.convert("1") if compression == "group4" else image
    data = bytearray(encoded(image, "TIFF", compression=compression))
    at = len(data) // 3
    data[at : at + 60] = bytes(each ^ 0xFF for each in data[at : at + 60])
    try:
        open_image(bytes(data))
    except UserError as error:
        assert "damaged" in error.problem
    assert capfd.readouterr() == ("", "")
