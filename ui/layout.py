"""The components of the page and where they stand; they call nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from models.limits import MAX_PROMPT_CHARACTERS
from models.prompts.grammar import Task, yields_boxes
from models.serving.backend import Backend
from ui import choices, markup, nano
from ui.components import Number, SafeImage, Slider
from ui.examples import Example
from ui.found_picture import TEMPLATE, FoundPicture
from ui.history import History, history_panel
from ui.model_bar import ModelBar
from ui.model_handlers import ModelHandlers
from ui.part import Part, part_controls
from ui.save import Save, save_panel
from ui.several import Several, add_button, several_row


@dataclass(frozen=True)
class Inputs:
    """What a visitor gives: in the order in which the handlers take it."""

    image: SafeImage
    image_note: gr.HTML
    part: Part
    several: Several
    task: gr.Radio
    language: gr.Dropdown
    limits_note: gr.HTML
    question: gr.Textbox
    answer: gr.Textbox
    objects: gr.Textbox
    box: tuple[gr.Number, gr.Number, gr.Number, gr.Number]
    box_row: gr.Column
    text: gr.Textbox

    @property
    def prompt_parts(self) -> list[Any]:
        """Everything that the prompt is made of."""
        fields = [self.task, self.language, self.question, self.answer, self.objects]
        return [*fields, *self.box, self.text]


@dataclass(frozen=True)
class Controls:
    """What starts and stops an answer, and the prompt that would be sent."""

    run: gr.Button
    stop: gr.Button
    prompt: gr.Textbox


@dataclass(frozen=True)
class Model:
    """Which checkpoint answers, and how it decodes."""

    bar: ModelBar
    needs: gr.HTML
    knowledge: gr.Accordion
    precision: gr.Dropdown
    decoding: tuple[Any, ...]

    @property
    def settings(self) -> list[Any]:
        """Everything that says what answers and how, in the order in which handlers take it."""
        bar = self.bar
        pickers = [bar.size, bar.variant, bar.resolution, self.precision, bar.adapter]
        return [*pickers, *self.decoding]


@dataclass(frozen=True)
class Outputs:
    """Where an answer appears: in the order in which `Handlers.answer` yields it."""

    status: gr.HTML
    text: gr.Textbox
    annotated: FoundPicture
    table: gr.HTML
    figures: gr.HTML
    details: gr.JSON
    expected: gr.HTML
    explain: gr.Button
    explanation: gr.HTML
    save: Save
    history: History
    use: gr.Button

    @property
    def all(self) -> list[Any]:
        """The outputs in order; `expected` is the example's, not the answer's."""
        return [
            self.status,
            self.text,
            self.annotated,
            self.table,
            self.figures,
            self.details,
        ]


def inputs_panel() -> Inputs:
    """The picture, the row of tasks and the fields of every task.

    Only the chosen task's fields show; all keep what was typed. The others are hidden, not absent:
    a field that has to be made first comes after the one before it has gone, and all moves twice.
    """
    image = SafeImage(
        type="pil",
        label="Picture",
        sources=["upload", "clipboard", "webcam"],
        height=340,
        elem_id="picture",
        buttons=["fullscreen"],
        placeholder="Drop a picture here\nor click to choose one",
    )
    image_note = gr.HTML("", elem_id="picture-note", padding=False)
    with gr.Row(elem_id="part-row", elem_classes=["chips"]):
        part = part_controls()
        add = add_button()
        # On a phone they are three screens below.
        gr.HTML('<a href="#examples">Try an example</a>', elem_id="to-examples", padding=False)
    several = several_row(add)
    task = gr.Radio(choices.task_choices(), value=str(Task.CAPTION), label="Task", elem_id="task")
    question = gr.Textbox(
        "",
        label="Question",
        placeholder="What is on the left?",
        visible="hidden",
        elem_id="question",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    answer = gr.Textbox(
        "",
        label="Answer to write a question for",
        placeholder="two",
        visible="hidden",
        elem_id="given-answer",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    objects = gr.Textbox(
        "",
        label="Objects to find (comma-separated)",
        placeholder="cat, dog",
        visible="hidden",
        elem_id="objects",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    low, high = choices.EDGE_RANGE.low, choices.EDGE_RANGE.high
    with gr.Column(visible=False, elem_id="box") as box_row:  # a Group's id is there twice
        with gr.Row():
            left, top, right, bottom = (
                Number(value, label=f"{edge} %", minimum=low, maximum=high, min_width=72)
                for edge, value in zip(
                    ("Left", "Top", "Right", "Bottom"), choices.DEFAULT_BOX, strict=True
                )
            )
    text = gr.Textbox(
        "",
        label="Your prompt",
        placeholder="Anything a mix model may understand",
        visible="hidden",
        elem_id="free-prompt",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    language = gr.Dropdown(
        choices.language_choices(), value="en", label="Language", elem_id="language"
    )
    limits_note = gr.HTML("", elem_id="limits-note", padding=False)
    return Inputs(
        image=image,
        image_note=image_note,
        part=part,
        several=several,
        task=task,
        language=language,
        limits_note=limits_note,
        question=question,
        answer=answer,
        objects=objects,
        box=(left, top, right, bottom),
        box_row=box_row,
        text=text,
    )


def controls_panel() -> Controls:
    """Run, Stop, and the live prompt."""
    with gr.Row(elem_id="run-row"):
        run = gr.Button("Run", variant="primary", elem_id="run", scale=3)
        stop = gr.Button("Stop", elem_id="stop", scale=1, interactive=False)
    prompt = gr.Textbox(
        value="caption en",
        label="Prompt to be sent",
        interactive=False,
        elem_id="prompt",
        buttons=["copy"],
        lines=1,
    )
    return Controls(run, stop, prompt)


def model_panel(backend: Backend, bar: ModelBar) -> Model:
    """What of the model is folded: what nano knows, precision and memory, decoding."""
    chosen = choices.start(backend.catalog).checkpoint
    known = (
        ("Objects", ", ".join(nano.OBJECTS)),
        ("Background colours", ", ".join(nano.BACKGROUNDS)),
        ("Print", nano.READS),
    )
    is_nano = chosen.size == "nano"
    with gr.Accordion(
        "What nano knows", open=False, visible=is_nano, elem_id="nano-knows"
    ) as knowledge:
        gr.HTML(markup.knowledge(known), padding=False)
    with gr.Accordion("Precision and memory", open=False, elem_id="model"):
        precision = gr.Dropdown(
            choices.precision_choices(backend.precisions()),
            value=choices.DEFAULT_PRECISION,
            label="Precision",
        )
        found = ModelHandlers(backend).needs(chosen.name)
        needs = gr.HTML(found, elem_id="needs", padding=False)
    tokens, heat, k, p, width, start_seed = choices.DEFAULT_DECODING
    ranges = [(each.low, each.high) for each in choices.DECODING_RANGES]
    with gr.Accordion("Decoding", open=False, elem_id="decoding"):
        with gr.Row():
            max_tokens = Slider(
                *ranges[0],
                tokens,
                step=1,
                label="Maximum tokens",
                info="0: as many as the task needs",
            )
            temperature = Slider(
                *ranges[1],
                heat,
                step=0.05,
                label="Temperature",
                info="0: always the most likely token",
            )
        with gr.Row():
            top_k = Slider(*ranges[2], k, step=1, label="Top-k", info="0: off")
            top_p = Slider(*ranges[3], p, step=0.05, label="Top-p", info="1: off")
        with gr.Row():
            beams = Slider(*ranges[4], width, step=1, label="Beams", info="1: off")
            seed = Number(start_seed, label="Seed", info="for temperatures above 0", precision=0)
    decoding = (max_tokens, temperature, top_k, top_p, beams, seed)
    return Model(bar, needs, knowledge, precision, decoding)


def outputs_panel() -> Outputs:
    """The answer: status, text, boxes on the picture and in a table, figures, details."""
    status = gr.HTML(markup.status(""), elem_id="status", padding=False)
    text = gr.Textbox(
        label="Answer",
        interactive=False,
        lines=3,
        max_lines=14,
        buttons=["copy"],
        elem_id="answer",
        placeholder="The answer will appear here, word by word.",
    )
    use = gr.Button(
        "Use as question",
        size="sm",
        elem_id="use-question",
        min_width=0,
        scale=0,
        interactive=False,
    )
    expected = gr.HTML("", elem_id="expected", padding=False)
    gr.HTML(markup.ROOM, elem_id="room", padding=False)
    # Its label would lie over the picture's corner, where objects may be.
    annotated = FoundPicture(
        label="Found in the picture",
        html_template=TEMPLATE,
        visible=False,
        elem_id="annotated",
        apply_default_css=False,
        padding=False,
        js_on_load=None,
    )
    table = gr.HTML(visible=False, elem_id="boxes", padding=False)
    figures = gr.HTML(markup.timing_figures(None), elem_id="figures", padding=False)
    with gr.Accordion("Explain: how sure, and where it looked", open=False, elem_id="explaining"):
        explain = gr.Button("Explain this answer", size="sm", elem_id="explain", interactive=False)
        explanation = gr.HTML("", elem_id="explanation", padding=False)
    save = save_panel()
    with gr.Accordion("Details: prompt, raw text and numbers", open=False, elem_id="details"):
        details = gr.JSON(label="Result", show_label=False)
    shown = (status, text, annotated, table, figures, details)
    return Outputs(*shown, expected, explain, explanation, save, history_panel(), use)


def examples_panel(examples: tuple[Example, ...]) -> list[gr.Button]:
    """A card an example: its picture over its prompt. A click fills in and runs."""
    if not examples:
        return []
    gr.HTML('<h2 class="section">Examples</h2>', padding=False)
    with gr.Row(elem_id="examples"):
        buttons = [
            gr.Button(
                example.title,
                icon=example.image,
                elem_id=f"example-{index}",
                elem_classes=["example", *(["finds"] if yields_boxes(example.parsed.task) else [])],
                min_width=120,
            )
            for index, example in enumerate(examples)
        ]
    for button in buttons:
        icon: Any = button.icon  # Gradio made a file of it
        button.keep_in_cache.add(icon["path"])  # the cards outlive the uploads
    return buttons
