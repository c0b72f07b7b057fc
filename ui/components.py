"""Components that Gradio does not have: inputs that can be trusted, and open choices.

They know files and widgets; what a picture must be to be safe is said by `models.images`.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder

from models.images import ROOM, OpenedImage
from models.schema import UserError, quoted

EXAMPLE = Path(__file__).parents[1] / "examples" / "caption.png"  # of the API's samples
Value = TypeVar("Value")
PICTURE_SCHEMA: dict[str, Any] = {
    "title": "UploadedPicture",
    "type": "object",
    "description": "A picture that was uploaded to /gradio_api/upload as field `files`.",
    "properties": {
        "path": {"type": "string", "description": "as the upload returned it"},
        "meta": {
            "type": "object",
            "properties": {"_type": {"type": "string", "const": "gradio.FileData"}},
        },
    },
    "required": ["path"],
}


def as_error(error: UserError) -> gr.Error:
    """The failure for API callers: what is wrong, then what to do. The page says it in its status,
    so that no second message covers it and stays after the next answer."""
    # Gradio renders the message as HTML where it is shown, and it may quote what somebody typed.
    message = html.escape(str(error), quote=False)
    return gr.Error(message, print_exception=False, visible=False)


class SafeImage(gr.Image):
    """An image input that hands its handler a `models.images.OpenedImage`, or why there is none.

    Gradio's own component opens any path that a caller posts. This one opens only files that came
    through an upload (or from the app itself) and lie in Gradio's cache, never a `data:` or web
    address, and leaves the decoding to `models.images.ROOM`, which looks at the format and
    the number of pixels first. (No `__init__` of its own: Gradio reads the browser's settings from
    its signature.)
    """

    is_template = True  # the browser shows it as the image component it derives from

    # A handler takes what its own component gives, never that of the base class.
    def preprocess(  # type: ignore[override]
        self, payload: ImageData | None
    ) -> OpenedImage | UserError | None:
        """The opened picture, None where there is none, or the reason why it is not opened.

        The reason is returned, not raised: only a handler can put it on the page.
        """
        if payload is None:
            return None
        try:
            return ROOM.open(self.uploaded_path(payload))
        except UserError as error:
            return error

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Keep the server from fetching an address that a caller names."""
        refuse_address(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """The same where Gradio works without an event loop."""
        refuse_address(url_or_file_path)
        return super().move_resource_to_block_cache(url_or_file_path)

    def example_payload(self) -> Any:
        """A picture of this server's own, which is accepted as it stands."""
        path = super().move_resource_to_block_cache(str(EXAMPLE))
        if path:
            self.keep_in_cache.add(path)
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def example_value(self) -> Any:
        """The file of that picture."""
        return str(EXAMPLE)

    def api_info(self) -> dict[str, Any]:
        """What is accepted: an uploaded file. (Gradio's own offers addresses and base64 too.)"""
        return dict(PICTURE_SCHEMA)

    def uploaded_path(self, payload: ImageData) -> Path:
        """The posted path with links resolved, if it lies in the cache; UserError otherwise."""
        return uploaded_path(payload, self.GRADIO_CACHE)


def uploaded_path(payload: ImageData, cache: str) -> Path:
    """The posted path with links resolved, if it lies in the folder of uploads or in `cache`;
    UserError otherwise."""
    if (payload.url or "").startswith("data:") or not payload.path:
        raise UserError("The picture was not sent as a file.", "Upload it as a file.")
    if "://" in payload.path:
        raise UserError(
            "The picture was given as a web address.", "Download it and upload the file."
        )
    return uploaded_file(payload.path, cache)


def refuse_address(path: Any) -> None:
    """gr.Error where a caller names a web address in a file's place."""
    if isinstance(path, str) and "://" in path:
        raise gr.Error(
            "The picture was given as a web address. Download it and upload the file.",
            print_exception=False,
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def uploaded_file(given: str, *folders: str) -> Path:
    """The file at a path that an upload gave, with links resolved; UserError where it is not in the
    folder of uploads or in one of `folders`."""
    try:
        path = Path(given).resolve()
    except (OSError, ValueError):  # too long, or with a null character
        raise UserError("That file was not uploaded here.", "Upload the picture again.") from None
    allowed = {Path(each).resolve() for each in (*folders, get_upload_folder())}
    # One message for a file that is elsewhere and for one that is not there: a caller must
    # not learn which files exist.
    if not any(path.is_relative_to(folder) for folder in allowed) or not _is_file(path):
        raise UserError("That file was not uploaded here.", "Upload the picture again.")
    return path


class OpenRadio(gr.Radio):
    """A radio group whose choices depend on others; the catalog judges the value, not the widget.

    An API caller names size, variant and resolution at once, without the page having narrowed the
    choices first.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The value as posted."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """Any string or number, described in words."""
        names = ", ".join(str(value) for _, value in self.choices)
        return {"type": "string", "description": f"such as {names}"}


class OpenDropdown(gr.Dropdown):
    """A list whose choices depend on others; the handler judges the value, not the widget."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The value as posted."""
        return payload


class Slider(gr.Slider):
    """A slider that hands its handler the number, or in words why there is none.

    The reason is returned, not raised: only a handler knows whether the field is used for what is
    asked, and only a handler can put it on the page. `usable` raises it.
    """

    is_template = True

    # A handler takes what its own component gives, never that of the base class.
    def preprocess(self, payload: Any) -> float | UserError:  # type: ignore[override]
        """The number; an error that names the field and its range for anything else."""
        try:
            return super().preprocess(payload)
        except (TypeError, ValueError, gr.Error):
            return _no_number(self, payload)


class Number(gr.Number):
    """The same for a number field, which may be empty; with `precision=0` it is whole."""

    is_template = True

    def preprocess(self, payload: Any) -> float | int | UserError | None:  # type: ignore[override]
        """The number, None where the field is empty, an error as a slider's for anything else."""
        if self.precision == 0 and isinstance(payload, float) and not payload.is_integer():
            return UserError(f"{self.label} is {quoted(payload)}.", "Use a whole number.")
        try:
            return super().preprocess(payload)
        except (TypeError, ValueError, gr.Error):
            return _no_number(self, payload)


def usable(value: Value | UserError) -> Value:
    """What a field handed on; raises the UserError where that is the reason why it has no value."""
    if isinstance(value, UserError):
        raise value
    return value


def _no_number(field: gr.Slider | gr.Number, payload: Any) -> UserError:
    limits = "" if field.minimum is None else f" from {field.minimum:g} to {field.maximum:g}"
    return UserError(f"{field.label} is {quoted(payload)}.", f"Use a number{limits}.")
