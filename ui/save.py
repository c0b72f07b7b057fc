"""The part of the page that takes an answer away: files of it, and its request as a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.events import AT_ONCE, PRIVATE, SCRIPTED, call
from ui.save_handlers import SAVED_TEMPLATE, SavedFile, SaveHandlers

KINDS = (
    ("picture", "Picture with boxes"),
    ("masks", "Masks"),
    ("cut-outs", "Cut-outs"),
    ("json", "JSON"),
)
LANGUAGES = (
    ("python", "Copy as Python"),
    ("bash", "Copy as curl"),
    ("javascript", "Copy as JavaScript"),
)
SAVED_AT_ONCE = 2  # each holds a picture in memory


@dataclass(frozen=True)
class Save:
    """The buttons, and where what they made appears."""

    files: tuple[gr.Button, ...]
    saved: SavedFile
    programs: tuple[gr.Button, ...]
    program: gr.Textbox


def save_panel() -> Save:
    """Folded: a row of files to save, and one of programs to copy."""
    with gr.Accordion("Save and copy: files, code", open=False, elem_id="saving"):
        with gr.Row(elem_classes=["chips"]):
            files = tuple(
                gr.Button(
                    name,
                    size="sm",
                    min_width=0,
                    scale=0,
                    elem_id=f"save-{kind}",
                    interactive=False,
                )
                for kind, name in KINDS
            )
        saved = SavedFile(
            html_template=SAVED_TEMPLATE,
            elem_id="saved",
            apply_default_css=False,
            padding=False,
            js_on_load=None,
        )
        with gr.Row(elem_classes=["chips"]):
            programs = tuple(
                gr.Button(name, size="sm", min_width=0, scale=0, elem_id=f"copy-{language}")
                for language, name in LANGUAGES
            )
        program = gr.Textbox(
            label="Program",
            interactive=False,
            visible=False,
            lines=3,
            max_lines=16,
            buttons=["copy"],
            elem_id="program",
        )
    return Save(files, saved, programs, program)


def wire_save(handlers: SaveHandlers, save: Save, question: list[Any], details: gr.JSON) -> None:
    """A button makes its file and the browser fetches it; another copies what is asked now.

    `question` begins with the picture.
    """
    image, *fields = question  # the further pictures last
    gr.on(
        triggers=[button.click for button in save.files],
        fn=handlers.save,
        inputs=[image, details],
        outputs=save.saved,
        concurrency_limit=SAVED_AT_ONCE,
        concurrency_id="save",
        **PRIVATE,
    ).success(fn=None, js=call("fetchSaved"), inputs=save.saved, **SCRIPTED)
    gr.on(
        triggers=[button.click for button in save.programs],
        fn=handlers.program,
        inputs=fields,
        outputs=[save.program, save.saved],
        **AT_ONCE,
    ).success(fn=None, js=call("copyProgram"), inputs=save.program, **SCRIPTED)
