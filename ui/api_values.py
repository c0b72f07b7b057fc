"""What a program posts to the named endpoint, judged before Gradio queues it.

Gradio turns some values into text, and answers others with `{"error": null}` or a status of 500.
Here each is one sentence that names the field and what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from pydantic import ValidationError

from models.schema import UserError, quoted
from ui.components import OpenRadio, SafeImage
from ui.several import FurtherPictures

TEXTS = (gr.Textbox, gr.Radio, gr.Dropdown)
NUMBERS = (gr.Number, gr.Slider)


def check_names(given: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]]) -> None:
    """UserError where a named argument is not one of an endpoint's, or one is missing.

    `parameters` are those of Gradio's description of the endpoint.
    """
    known = [parameter["parameter_name"] for parameter in parameters]
    for name in given:
        if name not in known:
            raise UserError(
                f"There is no argument {quoted(name)}.", f"Use some of {', '.join(known)}."
            )
    for parameter in parameters:
        name = parameter["parameter_name"]
        if name not in given and not parameter["parameter_has_default"]:
            raise UserError(f"The argument {quoted(name)} is missing.", "Send it too.")


def check_values(
    data: Any, inputs: Sequence[gr.blocks.Block], parameters: Sequence[Mapping[str, Any]]
) -> None:
    """UserError where an endpoint's values are too few, too many or of another type."""
    if not isinstance(data, list):
        raise UserError("The values are not a list.", 'Send {"data": [...]}.')
    if len(data) != len(inputs):
        raise UserError(
            f"There are {len(data)} values.",
            f"Send {len(inputs)}: {', '.join(each['parameter_name'] for each in parameters)}.",
        )
    for value, field, parameter in zip(data, inputs, parameters, strict=True):
        check_value(parameter["parameter_name"], value, field)


def check_value(name: str, value: Any, field: gr.blocks.Block) -> None:
    """UserError where a field does not take values of this type; ranges are judged later."""
    if value is None:
        return
    if isinstance(field, gr.Image):
        if not isinstance(value, dict):
            raise UserError(
                f"{name} is {quoted(value)}.",
                'Upload the file, then send {"path": "…", "meta": {"_type": "gradio.FileData"}}.',
            )
        _check_picture(value, field)
    elif isinstance(field, FurtherPictures):
        field.check(name, value)
        for each in value:
            _check_picture(each, field)
    elif isinstance(field, NUMBERS):
        if isinstance(value, bool | list | dict) or _is_endless(value):
            raise UserError(f"{name} is {quoted(value)}.", "Send a number.")
    elif isinstance(field, TEXTS):
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not isinstance(value, str) and not is_number:
            raise UserError(f"{name} is {quoted(value)}.", "Send a text.")
        if isinstance(value, str) and not value.isprintable():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UserError(f"{name} is no text in Unicode.", "Send a text.") from None
        _check_choice(name, value, field)


def _check_choice(name: str, value: Any, field: gr.blocks.Block) -> None:
    """UserError where a field whose choices never change does not have this one."""
    is_open = isinstance(field, OpenRadio) or getattr(field, "allow_custom_value", False)
    if is_open or not isinstance(field, gr.Radio | gr.Dropdown):
        return
    choices = [str(each) for _, each in field.choices]
    if value not in choices:
        raise UserError(f"{name} is {quoted(value)}.", f"Use one of {', '.join(choices)}.")


def _check_picture(value: Mapping[str, Any], field: gr.Image | FurtherPictures) -> None:
    """UserError where a posted picture is not a file that was uploaded here."""
    try:
        payload = ImageData.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(
            f"The picture's {where or 'value'} is of the wrong type.", "Send its path as a text."
        ) from None
    if isinstance(field, SafeImage | FurtherPictures):
        field.uploaded_path(payload)


def _is_endless(value: Any) -> bool:
    """Whether a number is not finite as a float."""
    try:
        return isinstance(value, int | float) and not math.isfinite(value)
    except OverflowError:
        return True
