"""Pictures from strangers become RGB or a sentence."""

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
from PIL import Image, ImageCms

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
    opened = open_image(encoded(stored, format, exif=exif, **lossless))
    assert opened.full_size == upright.size
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


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 with a description."""
    words = b"Made for a test\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(words)) + words + bytes(78),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        **tags,
    }
    table, content = struct.pack(">I", len(tags)), b""
    behind = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, behind + len(content), len(data))
        content += data.ljust(-(-len(data) // 4) * 4, b"\0")
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI", behind + len(content), b"test", 0x02400000) + kind + space
    head += connection + bytes(12) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + content


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def wide_rgb() -> bytes:
    """The primaries of Display P3, adapted to D50, with a gamma of 2.2."""
    return profile(
        b"RGB ",
        {
            b"rXYZ": xyz(0.51512, 0.2412, -0.00105),
            b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
            b"bXYZ": xyz(0.1571, 0.06657, 0.78407),
            **{name: gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")},
        },
    )


def green_cmyk() -> bytes:
    """A printer that makes the same green of every ink."""
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0))
    table += b"".join(struct.pack(">i", v) for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table += bytes(range(256)) * 4 + bytes((150, 70, 170)) * 16 + bytes(range(256)) * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_colour_profile_is_followed(format):
    options = {"lossless": True} if format == "WEBP" else {}
    opened = open_image(encoded(plain(), format, icc_profile=wide_rgb(), **options))
    red, green, _ = pixel(opened)
    assert red > 212 and green < 22, "the same red is more saturated in wider primaries"
    assert opened.notes == ("Colours were converted to sRGB from Made for a test.",)


def test_a_profile_of_transparent_and_of_indexed_colours_is_followed():
    clear = plain().convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    whole = pixel(open_image(encoded(plain(), icc_profile=wide_rgb())))
    opened = open_image(encoded(clear, icc_profile=wide_rgb()))
    assert (pixel(opened), pixel(opened, (0, 0))) == (whole, WHITE)
    assert pixel(open_image(encoded(plain().quantize(4), icc_profile=wide_rgb()))) == whole


def test_a_printers_profile_is_followed():
    red, green, blue = pixel(
        open_image(encoded(plain().convert("CMYK"), "JPEG", icc_profile=green_cmyk()))
    )
    assert green > red + 50 and green > blue + 50


def test_a_grey_profile_is_followed():
    dark = profile(b"GRAY", {b"kTRC": gamma(1.0)})
    opened = open_image(encoded(Image.new("L", (4, 4), 55), icc_profile=dark))
    assert abs(pixel(opened)[0] - 128) <= 3, "a fifth of the light is half of the brightness"


def test_srgb_under_its_own_name_changes_nothing():
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image in (plain(), plain().convert("RGBA")):
        opened = open_image(encoded(image, icc_profile=own))
        assert (pixel(opened), opened.notes) == (RED, ())
    grey = open_image(encoded(Image.new("L", (4, 4), 90), icc_profile=own))
    assert (pixel(grey), grey.notes) == ((90,) * 3, ())


@pytest.mark.parametrize(
    "data, word", [(b"no profile", "damaged"), (wide_rgb()[:300], "damaged"), (None, "other")]
)
def test_a_profile_of_no_use_is_ignored_and_named(data, word):
    opened = open_image(encoded(plain(), icc_profile=data or green_cmyk()))
    assert pixel(opened) == RED
    assert f"is {word}" in opened.notes[0] or f"of {word}" in opened.notes[0]


def test_lab_is_seen_in_its_colours():
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (255, 128, 128)])
    assert np.allclose(pixel(open_image(encoded(lab, "TIFF"))), WHITE, atol=3)


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with a further chunk behind its header."""
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + struct.pack(">I", len(data)) + kind + data + crc + png[33:]


def test_the_gamma_of_a_png_is_followed():
    linear, usual = struct.pack(">I", 100_000), struct.pack(">I", 45_455)
    data = encoded(plain((55, 55, 55)))
    assert abs(pixel(open_image(with_chunk(data, b"gAMA", linear)))[0] - 128) <= 3
    assert open_image(with_chunk(data, b"gAMA", usual)).notes == ()
    marked = with_chunk(with_chunk(data, b"gAMA", linear), b"sRGB", b"\0")
    assert pixel(open_image(marked)) == (55, 55, 55)


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
    assert (opened.image.size, opened.full_size) == ((32, 20), (64, 40))
    assert "32 × 20" in opened.notes[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = open_image(encoded(plain(size=(64, 40)), "JPEG", exif=exif), reduce_above=1000)
    assert (turned.image.size, turned.full_size) == ((20, 32), (40, 64))
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


def test_wide_numbers_are_rescaled_alike_in_every_band(monkeypatch):
    monkeypatch.setattr("models.images.colours._BAND_PIXELS", 8)
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
