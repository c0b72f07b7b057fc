"""Pictures from strangers are read in the colours that a screen shows."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.images import open_image
from tests.picture_files import RED, WHITE, encoded, pixel, plain, with_chunk


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
