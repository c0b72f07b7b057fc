"""What happens when somebody saves something of an answer, or wants its request as a program."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_space, get_upload_folder

from models.images import OpenedImage
from models.prompts.grammar import Task, inputs_of
from models.results import result_from_json
from models.schema import Result, UserError
from ui.addresses import own_address
from ui.api_samples import samples
from ui.components import usable
from ui.downloads import KINDS
from ui.links import about
from ui.model_handlers import ModelHandlers
from ui.refusals import OWN_FAILURE

logger = logging.getLogger(__name__)

NO_ANSWER = UserError("There is no whole answer about this picture.", "Press Run first.")
SAVED_TEMPLATE = """{{#if value}}{{#if value.file}}
<p class="saved"><a href="{{value.file.url}}" download="{{value.file.orig_name}}">{{value.file.orig_name}}</a></p>
{{/if}}{{#if value.problem}}
<div class="notice notice-error">{{value.problem}}</div>
{{/if}}{{/if}}"""  # noqa: E501  # a line break would stand in the link


class SavedData(GradioModel):
    """A file that was made, or why there is none."""

    file: FileData | None
    problem: str


class SavedFile(gr.HTML):
    """A link to the file that was made last; `scripts/save.js` follows it at once."""

    data_model = SavedData

    # What may be given follows from `data_model`: Gradio's own components differ in it likewise.
    def postprocess(self, value: Any) -> SavedData | None:  # type: ignore[override]
        """What `SaveHandlers.save` gave, or nothing."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The schema of the value."""
        return self.data_model.model_json_schema()


class SaveHandlers:
    """The handlers of "Save and copy"; `answer` is the handler behind /answer, whose arguments
    programs name."""

    def __init__(self, model: ModelHandlers, answer: Callable[..., Any]):
        self._model = model
        pictures = ("image", "more_images", "session")
        self._names = [
            each for each in inspect.signature(answer).parameters if each not in pictures
        ]

    def save(
        self, event: gr.EventData, image: OpenedImage | UserError | None, details: Any
    ) -> SavedData:
        """Write what the pressed button, `save-KIND`, says of the answer whose JSON `details` is.

        The file lies in the folder of uploads and is deleted with them.
        """
        target: Any = event.target
        try:
            opened, result = answered(image, details)
            made = KINDS[target.elem_id.removeprefix("save-")](opened.image, result, details)
            path = save_bytes_to_cache(made.content, made.name, get_upload_folder())
            return SavedData(file=FileData(path=path, orig_name=made.name), problem="")
        except UserError as error:
            return SavedData(file=None, problem=str(error))
        except Exception:
            logger.exception("saving failed")
            return SavedData(file=None, problem=str(OWN_FAILURE))

    def program(
        self, session: gr.Request, event: gr.EventData, *values: Any
    ) -> tuple[dict[str, Any], Any]:
        """(An update with the program of the pressed button, `copy-LANGUAGE`, that asks what the
        page asks now; why there is none). `values` are those of all fields but the picture, the
        further pictures last."""
        target: Any = event.target
        *fields, further = values
        try:
            asked = self._asked(fields)
        except UserError as error:
            return gr.update(value="", visible=False), SavedData(file=None, problem=str(error))
        request: Any = session.request
        address = own_address(request.scope) or "http://127.0.0.1:7860"
        written = samples(address, get_space(), asked, further=len(further))
        language = target.elem_id.removeprefix("copy-")
        return gr.update(value=written[language], visible=True), None

    def _asked(self, values: Sequence[Any]) -> Mapping[str, str | float]:
        """What the task needs and what differs from the start, by the names of /answer; UserError
        where a field of it has no value."""
        task = values[0]
        needed = inputs_of(Task(task))
        fields = {"language", "question", "answer", "objects", "box", "text"}
        unused = {name for name in fields if name not in needed}
        defaults = about(self._model)["defaults"][1:-1]
        used = {
            name: (usable(value), default)
            for name, value, default in zip(self._names, values, defaults, strict=True)
            if name.split("_")[0] not in unused
        }
        return {
            name: value
            for name, (value, default) in used.items()
            if name == "task" or (value is not None and value != default)
        }


def answered(image: OpenedImage | UserError | None, details: Any) -> tuple[OpenedImage, Result]:
    """The picture and the whole answer about it that the page sent back; UserError where they do
    not belong together or one is missing."""
    if isinstance(image, UserError):
        raise image
    if image is None:
        raise NO_ANSWER
    try:
        return image, result_from_json(details, image.image.size)
    except ValueError:
        raise NO_ANSWER from None
