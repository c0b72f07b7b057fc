"""The further pictures of a prompt with several: a button, a row of thumbnails, and their files.

The first is the page's own picture, which boxes and masks are on. `scripts/several.js` uploads the
others, shows them in their order and changes the value here; a prompt of one picture shows none of
it but the button.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioRootModel, ImageData

from models.catalog.catalog import Catalog
from models.images import ROOM, OpenedImage
from models.limits import MAX_IMAGES
from models.schema import UserError
from ui import markup
from ui.components import PICTURE_SCHEMA, refuse_address, uploaded_path
from ui.events import AT_ONCE, PRIVATE, SCRIPTED, call
from ui.model_bar import ModelBar

LIST = (
    '<ol id="several-list" aria-label="Further pictures" start="2" hidden></ol>'
    '<p id="several-said" role="status"></p>'
)


@dataclass(frozen=True)
class Upload:
    """A file as the page names it, and its place on this machine or why it has none."""

    file: ImageData
    path: Path | UserError

    def opened(self, number: int) -> OpenedImage:
        """The picture; UserError that says which one it is where it cannot be opened."""
        try:
            if isinstance(self.path, UserError):
                raise self.path
            return ROOM.open(self.path)
        except UserError as error:
            raise UserError(f"Picture {number}: {error.problem}", error.remedy) from None


class Files(GradioRootModel):
    """The uploaded files, in order."""

    root: list[ImageData]


class FurtherPictures(gr.HTML):
    """The files of the further pictures; it shows nothing. Opens only what was uploaded here."""

    data_model = Files

    # A handler takes what its own component gives, never that of the base class.
    def preprocess(self, payload: Files | None) -> tuple[Upload, ...]:  # type: ignore[override]
        """The uploads, none of them opened yet: the prompt alone needs only their number."""
        return tuple(Upload(each, self._path(each)) for each in (payload.root if payload else ()))

    def postprocess(self, value: Any) -> Files:  # type: ignore[override]
        """Files that were uploaded here; none for None."""
        return Files(root=list(value or ()))

    def check(self, name: str, value: Any) -> None:
        """UserError where posted JSON is not a list of as many uploads as a prompt may have."""
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise UserError(f"{name} is no list of uploaded files.", "Send [] for none.")
        if len(value) >= MAX_IMAGES:
            raise UserError(
                f"There are {len(value) + 1} pictures.", f"Use at most {MAX_IMAGES} in a prompt."
            )

    # As `SafeImage` has it. A class for both is not to be had: Gradio takes the name by which the
    # browser knows a component from the first of its bases.
    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Keep the server from fetching an address that a caller names."""
        refuse_address(url_or_file_path)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """The same where Gradio works without an event loop."""
        refuse_address(url_or_file_path)
        return super().move_resource_to_block_cache(url_or_file_path)

    def api_info(self) -> dict[str, Any]:
        """A list of uploaded files, after the first."""
        return {"type": "array", "items": PICTURE_SCHEMA, "maxItems": MAX_IMAGES - 1}

    def example_payload(self) -> Any:
        """No further picture."""
        return []

    def example_value(self) -> Any:
        """No further picture."""
        return []

    def uploaded_path(self, payload: ImageData) -> Path:
        """As `SafeImage.uploaded_path`."""
        return uploaded_path(payload, self.GRADIO_CACHE)

    def _path(self, file: ImageData) -> Path | UserError:
        try:
            return self.uploaded_path(file)
        except UserError as error:
            return error


@dataclass(frozen=True)
class Several:
    """`add` opens a list of files; the script presses `set`, which nobody sees."""

    add: gr.Button
    files: FurtherPictures
    note: gr.HTML
    set: gr.Button


def add_button() -> gr.Button:
    """Shows beside a picture where the checkpoint has room for another."""
    return gr.Button(
        "Add a picture", size="sm", elem_id="add-picture", min_width=0, scale=0, variant="secondary"
    )


def several_row(add: gr.Button) -> Several:
    """The thumbnails, which take no room while there are none."""
    with gr.Column(elem_id="several"):
        gr.HTML(LIST, padding=False)
        note = gr.HTML("", elem_id="several-note", padding=False)
        files = FurtherPictures(
            [], html_template="", elem_id="several-files", js_on_load=None, padding=False
        )
        changed = gr.Button("Set the further pictures", elem_id="set-several")
    return Several(add, files, note, changed)


def open_all(first: OpenedImage, further: Sequence[Upload]) -> list[OpenedImage]:
    """All pictures of a prompt, `first` among them; UserError where there are too many or one
    cannot be opened."""
    if len(further) >= MAX_IMAGES:
        raise UserError(
            f"There are {len(further) + 1} pictures.", f"Use at most {MAX_IMAGES} in a prompt."
        )
    return [first, *(each.opened(number) for number, each in enumerate(further, start=2))]


def inspect(further: Sequence[Upload]) -> tuple[Any, str]:
    """(The files that can be opened, where some cannot; what was done to them or why they went)."""
    kept, said, refused = [], [], []
    for number, each in enumerate(further, start=2):
        try:
            notes = each.opened(number).notes
            said += [f"Picture {number}: {note}" for note in notes]
            kept.append(each.file)
        except UserError as error:
            refused.append(str(error))
    if refused:
        return kept, markup.notice(" ".join(refused), "error")
    return gr.skip(), markup.notice(" ".join(said)) if said else ""


def rooms(catalog: Catalog) -> dict[str, tuple[str, int]]:
    """By "size variant resolution", a checkpoint's name and how many pictures it has room for."""
    return {
        f"{each.size} {each.variant} {each.resolution}": (each.name, each.max_images)
        for each in catalog.checkpoints
    }


def wire_several(several: Several, catalog: Catalog, image: gr.Image, bar: ModelBar) -> None:
    """What the script changes becomes the value, and it shows what the value has become."""
    several.set.click(fn=None, js=call("setSeveral"), outputs=several.files, **SCRIPTED)
    about: list[Any] = [several.files, image, bar.size, bar.variant, bar.resolution]
    gr.on(
        triggers=[each.change for each in about],
        fn=None,
        js=call("showSeveral", rooms(catalog)),
        inputs=about,
        **SCRIPTED,
    )
    several.files.change(
        fn=inspect,
        inputs=several.files,
        outputs=[several.files, several.note],
        concurrency_id="inspect",
        trigger_mode="always_last",
        **PRIVATE,
    ).failure(fn=_not_looked_at, outputs=several.note, **AT_ONCE)


def _not_looked_at() -> str:
    return markup.notice("A picture could not be looked at. Remove it and add it again.", "error")
