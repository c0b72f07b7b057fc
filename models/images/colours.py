"""Decoded pixels of any depth, colour space and transparency -> sRGB of 8 bits, as a screen shows.

This module knows pixels and colour profiles, no files.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageCms

from models.images.damage import DECODER_ERRORS, damaged

_BAND_PIXELS = 4_000_000  # worked on at once where a conversion needs wide numbers
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # by colour space
_SAME_COLOUR = 3  # of 255: profiles that differ from sRGB by less are sRGB under another name
_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_SAMPLE_FORMAT = 258, 262, 339  # of TIFF
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_SCREEN_GAMMA = 2.2


def to_srgb(image: Image.Image, notes: list[str], name: str) -> Image.Image:
    """A loaded picture as RGB; what was changed is added to `notes`.

    UserError where its colours or palette turn out to be broken. The picture may be closed.
    """
    profile, gamma = image.info.get("icc_profile"), image.info.get("gamma")
    is_screen = "srgb" in image.info
    if image.mode in _DEEP_MODES:
        notes.append("Brightness was reduced to 8 bits.")
        image = _from_deep(image)
    alpha = None
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        if image.mode not in ("RGBA", "LA") or "transparency" in image.info:
            image = _replaced(image, "RGBA", name)
        alpha = image.getchannel("A")
    if profile:
        rgb = _by_profile(image, profile, notes, name)
    elif image.mode == "LAB":
        rgb = _transformed(image, _lab_to_srgb())
    else:
        rgb = _converted(image, "RGB", name)
        if gamma and not is_screen:
            rgb = _by_gamma(rgb, gamma, notes)
    if alpha is not None and _ranges(alpha)[0][0] < 255:
        notes.append("Transparent parts were put on white.")
        rgb.paste("white", mask=ImageChops.invert(alpha))
    return rgb


def _by_profile(image: Image.Image, data: bytes, notes: list[str], name: str) -> Image.Image:
    """RGB by the ICC profile that a file has; without it where it is broken or of other colours."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = _PROFILE_MODES.get(profile.profile.xcolor_space.strip())
        fits = mode == image.mode or (mode == "RGB" and image.mode not in ("CMYK", "LAB"))
        fits = fits or (mode == "L" and image.mode in ("1", "LA"))
        transform = _transform(profile, mode) if mode and fits else None
    except (OSError, ImageCms.PyCMSError, ValueError, TypeError):
        notes.append("The colour profile of the file is damaged and was ignored.")
        return _converted(image, "RGB", name)
    if transform is None or mode is None:
        notes.append("The colour profile of the file is of other colours and was ignored.")
        return _converted(image, "RGB", name)
    source = _converted(image, mode, name)
    if mode in ("RGB", "L") and _is_srgb(transform, mode):
        return _converted(source, "RGB", name)
    notes.append(f"Colours were converted to sRGB{_named(profile)}.")
    return _transformed(source, transform)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    """From a profile to sRGB, in the way that the profile prefers, black onto black."""
    return ImageCms.buildTransform(
        profile,
        _srgb(),
        mode,
        "RGB",
        ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return _transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves colours as they are."""
    colours = _sample_colours().convert(mode)
    changed = ImageChops.difference(transform.apply(colours), colours.convert("RGB"))
    return max(high for _, high in _ranges(changed)) <= _SAME_COLOUR


def _ranges(image: Image.Image) -> tuple[tuple[float, float], ...]:
    """The least and the greatest value of each band."""
    found: Any = image.getextrema()  # of one band it is not in a tuple
    return found if len(image.getbands()) > 1 else (found,)


@cache
def _sample_colours() -> Image.Image:
    """Colours from all over RGB, nine steps an edge."""
    steps = [round(step * 255 / 8) for step in range(9)]
    return Image.frombytes(
        "RGB", (9, 81), bytes(itertools.chain(*itertools.product(steps, repeat=3)))
    )


def _transformed(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    if image.mode == "RGB":
        return transform.apply_in_place(image)
    return transform.apply(image)


def _named(profile: ImageCms.ImageCmsProfile) -> str:
    """ " from Display P3": the profile's own name, where it is one that can be shown."""
    try:
        name = " ".join(ImageCms.getProfileDescription(profile).split())
    except ImageCms.PyCMSError:
        return ""
    is_plain = all(letter.isalnum() or letter in " .,-+_()%" for letter in name)
    return f" from {name}" if 0 < len(name) <= 60 and is_plain else ""


def _by_gamma(rgb: Image.Image, gamma: float, notes: list[str]) -> Image.Image:
    """The brightness of a PNG that names its gamma instead of a profile."""
    exponent = 1 / (_SCREEN_GAMMA * gamma)
    curve = [round(255 * (level / 255) ** exponent) for level in range(256)]
    if max(abs(level - new) for level, new in enumerate(curve)) <= _SAME_COLOUR:
        return rgb
    notes.append("Brightness was converted to sRGB by the gamma that the file names.")
    return rgb.point(curve * 3)


def _replaced(image: Image.Image, mode: str, name: str) -> Image.Image:
    """As `_converted`, with the memory of the former returned first where it is another."""
    converted = _converted(image, mode, name)
    if converted is not image:
        Image.Image.close(image)
    return converted


def _converted(image: Image.Image, mode: str, name: str) -> Image.Image:
    """Pillow's conversion, where what a file's colours or palette break shows at last."""
    if image.mode == mode:
        return image
    try:
        return image.convert(mode)
    except DECODER_ERRORS as error:
        raise damaged(name, error) from None


def _from_deep(image: Image.Image) -> Image.Image:
    """8-bit grey from 12, 16 or 32 bits or floating point, relative to the range of the type.

    It goes by bands: the wide numbers of all pixels would take several times the picture's memory.
    """
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    is_unsigned = tags.get(_TAG_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    is_wide = image.mode == "I" and is_unsigned and tags.get(_TAG_BITS) == (32,)
    if image.mode.startswith("I;16"):
        white = 4095.0 if tags.get(_TAG_BITS) == (12,) else 65535.0
    else:
        white = _white(image, is_wide)
    grey = Image.new("L", image.size)
    for at, band in _bands(image, is_wide):
        grey.paste(
            Image.fromarray((band.clip(0, white) * (255 / white) + 0.5).astype(np.uint8)), (0, at)
        )
    # Of these, Pillow inverts only those of 8 bits and fewer.
    return ImageChops.invert(grey) if tags.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def _white(image: Image.Image, is_wide: bool) -> float:
    """White where the type does not say what it is: 1 for fractions, else what its depth allows."""
    top = max((float(band.max(initial=0.0)) for _, band in _bands(image, is_wide)), default=0.0)
    limits: tuple[float, ...] = (1.0, 255.0, 65535.0)
    if image.mode == "I":
        limits = (65535.0, 2.0**32 - 1) if is_wide else (65535.0,)
    return next((limit for limit in limits if top <= limit), top)


def _bands(image: Image.Image, is_wide: bool) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, finite float32[rows, width]) of parts from top to bottom.

    `is_wide`: the numbers are unsigned, although Pillow has them as signed.
    """
    width, height = image.size
    rows = max(1, _BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        values = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        values = (values.view(np.uint32) if is_wide else values).astype(np.float32)
        yield top, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
