"""The examples that show what the presets of a comparison are about, and what they may replace."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from models.images import OpenedImage, open_image
from models.schema import UserError
from ui.examples import Example
from ui.sides import PRESETS

FIRST_PROMPT = "caption en"  # what the page asks before anybody typed


class PresetExamples:
    """Which of the page's examples goes with a preset."""

    def __init__(self, examples: tuple[Example, ...]):
        self._examples = examples

    def find(self, preset: str) -> Example | None:
        """An example that shows what a preset is about: one that needs it, else the first."""
        wanted = {
            "adapter": lambda each: each.adapter is not None,
            "resolution": lambda each: each.checkpoint.resolution == 448,
        }.get(preset, lambda each: True)
        return next(filter(wanted, self._examples), next(iter(self._examples), None))

    def bring(
        self, preset: str, image: OpenedImage | UserError | None, prompt: str
    ) -> tuple[Path | None, str | None]:
        """The (picture, prompt) that come with a preset, None for what stays.

        Somebody's own picture stays with its prompt. The picture of a preset gives way, and so does
        its prompt, or the first one; a prompt that somebody typed stays.
        """
        example = self.find(preset)
        brought = [each for _, value in PRESETS if (each := self.find(value))]
        if example is None or (image and not _is_of(image, brought)):
            return None, None
        of_page = {"", FIRST_PROMPT, *(each.prompt for each in brought)}
        return example.image, example.prompt if (prompt or "").strip() in of_page else None


def _is_of(image: OpenedImage | UserError, examples: list[Example]) -> bool:
    """Whether a picture is an example's, pixel for pixel: its file has another place by now."""
    if isinstance(image, UserError):
        return False
    return any(_is_same(image.image, open_image(each.image).image) for each in examples)


def _is_same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()
