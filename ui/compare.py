"""The tab "Compare": one picture and prompt, answered by several models side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from models.limits import MAX_PROMPT_CHARACTERS
from models.serving.backend import Backend
from ui import choices, compare_markup, markup
from ui.ask import AskTab
from ui.compare_handlers import CompareHandlers
from ui.components import OpenDropdown, SafeImage
from ui.events import AT_ONCE, EVERY, PRIVATE, SCRIPTED, call
from ui.examples import Example
from ui.found_picture import TEMPLATE, FoundPicture
from ui.handlers import Handlers
from ui.preset_examples import FIRST_PROMPT
from ui.sides import FEWEST, LETTERS, MOST, Side, decoding_choices, describe, starting_sides
from ui.wiring import AS_ANSWERS, INSPECTED_AT_ONCE

ABOUT = (
    '<p class="about">The same picture and prompt, answered at once by two to four models, '
    "adapters, precisions or ways of decoding. What differs is marked.</p>"
)


@dataclass(frozen=True)
class Fields:
    """A side's settings: in the order of `sides.Side`, and what to know about them."""

    column: gr.Column
    checkpoint: OpenDropdown
    adapter: gr.Dropdown
    precision: OpenDropdown
    decoding: OpenDropdown
    note: gr.HTML

    @property
    def values(self) -> list[Any]:
        """The fields that say what the side is."""
        return [self.checkpoint, self.adapter, self.precision, self.decoding]

    @property
    def all(self) -> list[Any]:
        """Those and the note."""
        return [*self.values, self.note]


@dataclass(frozen=True)
class Shown:
    """Where a side's answer appears."""

    column: gr.Column
    card: gr.HTML
    picture: FoundPicture


@dataclass(frozen=True)
class Asked:
    """What all sides are asked, and how many there are."""

    image: SafeImage
    image_note: gr.HTML
    prompt: gr.Textbox
    count: gr.Radio


@dataclass(frozen=True)
class Buttons:
    """What fills the tab in, starts and stops."""

    presets: list[gr.Button]
    preset_note: gr.HTML
    run: gr.Button
    stop: gr.Button


def build_compare(
    page: gr.Blocks,
    tab: gr.Tab,
    backend: Backend,
    handlers: Handlers,
    examples: tuple[Example, ...],
    ask: AskTab,
) -> None:
    """Put the tab's components in place and connect them; called inside its `tab`."""
    own = CompareHandlers(backend, examples, handlers.runs)
    gr.HTML(ABOUT, padding=False)
    with gr.Row(equal_height=False, elem_id="compare-asked"):
        with gr.Column(scale=2, min_width=260):
            image = _picture()
            image_note = gr.HTML("", elem_id="compare-picture-note", padding=False)
        with gr.Column(scale=5, min_width=320):
            prompt = gr.Textbox(
                FIRST_PROMPT,
                label="Prompt for all sides",
                placeholder=FIRST_PROMPT,
                elem_id="compare-prompt",
                max_length=MAX_PROMPT_CHARACTERS,
            )
            gr.HTML('<h2 class="section">Begin with</h2>', padding=False)
            with gr.Row(elem_id="presets"):
                presets = [
                    gr.Button(name, size="sm", elem_id=f"preset-{value}", min_width=0, scale=0)
                    for name, value in own.presets.offered()
                ]
            preset_note = gr.HTML("", elem_id="preset-note", padding=False)
            counts = [str(number) for number in range(FEWEST, MOST + 1)]
            count = gr.Radio(counts, value=str(FEWEST), label="Sides", elem_id="sides")
    with gr.Row(equal_height=False, elem_id="sides-row"):
        start = starting_sides(own.presets, backend.catalog.default)
        sides = [_fields(backend, index, side) for index, side in enumerate(start)]
    with gr.Row(elem_id="compare-run-row"):
        run = gr.Button("Compare", variant="primary", elem_id="compare-run", scale=3)
        stop = gr.Button("Stop", elem_id="compare-stop", scale=1, interactive=False)
    status = gr.HTML(markup.status(""), elem_id="compare-status", padding=False)
    with gr.Row(equal_height=False, elem_id="compare-answers"):
        shown = [_shown(index, side) for index, side in enumerate(start)]
    votes = gr.HTML("", elem_id="votes", padding=False)
    gr.HTML(compare_markup.KEPT, elem_id="votes-kept", padding=False)
    asked = Asked(image, image_note, prompt, count)
    buttons = Buttons(presets, preset_note, run, stop)
    _wire_asked(tab, handlers, own, ask, asked, sides, shown, buttons)
    _wire_runs(page, own, asked, sides, shown, buttons, status, votes)


def _picture() -> SafeImage:
    return SafeImage(
        type="pil",
        label="Picture",
        sources=["upload", "clipboard", "webcam"],
        height=230,
        elem_id="compare-picture",
        buttons=["fullscreen"],
        placeholder="Drop a picture here\nor click to choose one",
    )


def _fields(backend: Backend, index: int, side: Side) -> Fields:
    """A side's settings, which begin as `side`."""
    letter = LETTERS[index]
    adapters = backend.adapters(side.checkpoint)
    with gr.Column(visible=index < FEWEST, min_width=220, elem_classes=["side"]) as column:
        checkpoint = OpenDropdown(
            [each.name for each in backend.catalog.checkpoints],
            value=side.checkpoint,
            label=f"Model {letter}",
            elem_id=f"side-model-{letter}",
        )
        adapter = gr.Dropdown(
            [("None", choices.NO_ADAPTER), *((name, name) for name in adapters)],
            value=choices.NO_ADAPTER,
            label=f"Adapter {letter}",
            allow_custom_value=True,
        )
        precision = OpenDropdown(
            choices.precision_choices(backend.precisions()),
            value=side.precision,
            label=f"Precision {letter}",
        )
        decoding = OpenDropdown(decoding_choices(), value=side.decoding, label=f"Decoding {letter}")
        note = gr.HTML("", padding=False)
    return Fields(column, checkpoint, adapter, precision, decoding, note)


def _shown(index: int, side: Side) -> Shown:
    with gr.Column(visible=index < FEWEST, min_width=220, elem_classes=["side"]) as column:
        card = gr.HTML(compare_markup.card(LETTERS[index], describe(side), None), padding=False)
        picture = FoundPicture(
            label=f"Found by {LETTERS[index]}",
            html_template=TEMPLATE,
            visible=False,
            elem_classes=["side-picture"],
            apply_default_css=False,
            padding=False,
            js_on_load=None,
        )
    return Shown(column, card, picture)


def _wire_asked(
    tab: gr.Tab,
    handlers: Handlers,
    own: CompareHandlers,
    ask: AskTab,
    asked: Asked,
    sides: list[Fields],
    shown: list[Shown],
    buttons: Buttons,
) -> None:
    """The picture is looked at, fields follow each other, and what is asked comes from Ask."""
    asked.image.input(
        fn=handlers.inspect,
        inputs=asked.image,
        outputs=[asked.image, asked.image_note],
        concurrency_id="inspect",
        concurrency_limit=INSPECTED_AT_ONCE,
        trigger_mode="always_last",
        **PRIVATE,
    ).failure(fn=handlers.refuse_picture, outputs=[asked.image, asked.image_note], **AT_ONCE)
    asked.count.change(
        fn=own.show_sides,
        inputs=asked.count,
        outputs=[*(each.column for each in sides), *(each.column for each in shown)],
        trigger_mode="always_last",
        **AT_ONCE,
    )
    for side in sides:
        gr.on(
            triggers=[side.checkpoint.input, side.adapter.input, side.precision.input],
            fn=own.choose,
            inputs=[side.checkpoint, side.adapter, side.precision],
            outputs=[side.adapter, side.note],
            trigger_mode="always_last",
            **AT_ONCE,
        )
    gr.on(
        triggers=[button.click for button in buttons.presets],
        fn=own.use_preset,
        inputs=[asked.image, asked.prompt, sides[0].checkpoint],
        outputs=[
            asked.image,
            asked.prompt,
            asked.count,
            *sides[0].all,
            *sides[1].all,
            buttons.preset_note,
        ],
        **AT_ONCE,
    )
    taken = [asked.image, asked.prompt]
    from_ask = [ask.inputs.image, ask.controls.prompt]
    question = _question(asked, sides)
    tab.select(
        fn=None,
        js=call("takeFirst"),
        inputs=[*from_ask, *question],
        outputs=question,
        **SCRIPTED,
    )
    ask.compare.click(
        fn=None, js=call("takeAsked"), inputs=from_ask, outputs=taken, **SCRIPTED
    ).then(fn=own.as_asked, inputs=ask.model.settings, outputs=sides[0].all, **AT_ONCE)


def _wire_runs(
    page: gr.Blocks,
    own: CompareHandlers,
    asked: Asked,
    sides: list[Fields],
    shown: list[Shown],
    buttons: Buttons,
    status: gr.HTML,
    votes: gr.HTML,
) -> None:
    """Compare and Enter in the prompt answer on all sides; Stop and leaving end them."""
    question = _question(asked, sides)
    asks = [buttons.run.click, asked.prompt.submit]
    both = [buttons.run, buttons.stop]
    gr.on(triggers=asks, fn=None, js=call("compareAsked"), inputs=question, **SCRIPTED)
    gr.on(
        triggers=[field.change for field in question],
        fn=None,
        js=call("compareChanged"),
        inputs=question,
        **SCRIPTED,
    )
    run = gr.on(triggers=asks, fn=own.begin, outputs=[*both, status], **AT_ONCE).then(
        fn=own.compare,
        inputs=question,
        outputs=[
            status,
            *(each.card for each in shown),
            *(each.picture for each in shown),
            votes,
        ],
        **AS_ANSWERS,
        **EVERY,
        **PRIVATE,
    )
    run.success(fn=own.end, outputs=both, **AT_ONCE, **EVERY)
    run.failure(fn=own.fail, outputs=[*both, status], **AT_ONCE, **EVERY)
    buttons.stop.click(fn=own.stop, **AT_ONCE)
    page.unload(own.leave)


def _question(asked: Asked, sides: list[Fields]) -> list[Any]:
    """All that a comparison depends on, in the order of `CompareHandlers.compare`."""
    fields = [field for side in sides for field in side.values]
    return [asked.image, asked.prompt, asked.count, *fields]
