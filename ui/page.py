"""The page: its components, where they stand and which handler each of them calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from models.prompts import Task
from models.service import Backend
from ui import choices, markup
from ui.components import OpenRadio, SafeImage
from ui.examples import Example
from ui.handlers import NO_ADAPTER, Handlers

TITLE = "PaliGemma 2"
HEADER = (
    '<header class="masthead"><h1>PaliGemma 2</h1>'
    "<p>Show it a picture, choose a task, and read the answer as it is written.</p></header>"
)
ANSWERS_AT_ONCE = 4  # more wait in the queue; the backend shares its model among these
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# On a phone the answer is below the controls: bring it into view when it starts.
SHOW_ANSWER = """() => {
  if (window.innerWidth > 768) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.querySelector("#answer-panel")
    ?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}"""


@dataclass(frozen=True)
class Inputs:
    """What a visitor gives: in the order in which the handlers take it."""

    image: SafeImage
    task: gr.Radio
    language: gr.Dropdown
    question: gr.Textbox
    answer: gr.Textbox
    objects: gr.Textbox
    box: tuple[gr.Number, gr.Number, gr.Number, gr.Number]
    box_row: gr.Group
    text: gr.Textbox

    @property
    def prompt_parts(self) -> list[Any]:
        """Everything that the prompt is made of."""
        fields = [self.task, self.language, self.question, self.answer, self.objects]
        return [*fields, *self.box, self.text]


@dataclass(frozen=True)
class Model:
    """Which checkpoint answers, and how it decodes."""

    panel: gr.Accordion
    notice: gr.HTML
    size: gr.Radio
    variant: gr.Radio
    resolution: gr.Radio
    precision: gr.Dropdown
    adapter: gr.Dropdown
    decoding: tuple[Any, ...]


@dataclass(frozen=True)
class Outputs:
    """Where an answer appears: in the order in which `Handlers.answer` yields it."""

    status: gr.HTML
    text: gr.Textbox
    annotated: gr.AnnotatedImage
    table: gr.HTML
    figures: gr.HTML
    details: gr.JSON

    @property
    def all(self) -> list[Any]:
        """The outputs in order."""
        return [
            self.status,
            self.text,
            self.annotated,
            self.table,
            self.figures,
            self.details,
        ]


def build_page(backend: Backend, examples: tuple[Example, ...], cache_s: tuple[int, int]) -> Any:
    """The page over a backend; `cache_s` is how often and after which age uploads are deleted."""
    handlers = Handlers(backend, examples)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=cache_s) as page:
        gr.HTML(HEADER, padding=False)
        with gr.Row(equal_height=False, elem_id="table"):
            with gr.Column(scale=6, min_width=320, elem_id="ask-panel"):
                image, image_note, task = _picture_and_task()
                inputs = _inputs(image, task)
                with gr.Row(elem_id="run-row"):
                    run_button = gr.Button("Run", variant="primary", elem_id="run", scale=3)
                    stop_button = gr.Button("Stop", elem_id="stop", scale=1, interactive=False)
                prompt_box = gr.Textbox(
                    value="caption en",
                    label="Prompt, as it is sent",
                    interactive=False,
                    elem_id="prompt",
                    buttons=["copy"],
                    lines=1,
                )
                model = _model(backend)
            with gr.Column(scale=5, min_width=320, elem_id="answer-panel"):
                outputs = _outputs()
                example_buttons = _examples(examples)
        _wire(
            page, handlers, inputs, model, outputs, image_note, prompt_box, run_button, stop_button,
            example_buttons,
        )  # fmt: skip
    page.handlers = handlers
    return page


def _picture_and_task() -> tuple[SafeImage, gr.HTML, gr.Radio]:
    image = SafeImage(
        label="Picture",
        sources=["upload", "clipboard", "webcam"],
        height=340,
        elem_id="picture",
        buttons=["fullscreen"],
        placeholder="Drop a picture here\nor click to choose one",
    )
    note = gr.HTML("", elem_id="picture-note", padding=False)
    task = gr.Radio(choices.task_choices(), value=str(Task.CAPTION), label="Task", elem_id="task")
    return image, note, task


def _inputs(image: SafeImage, task: gr.Radio) -> Inputs:
    """The fields of every task; only those of the chosen one show, and all keep their text."""
    question = gr.Textbox(
        label="Question",
        placeholder="What is on the left?",
        visible=False,
        elem_id="question",
        max_length=500,
    )
    answer = gr.Textbox(
        label="Answer that the question should have",
        placeholder="two",
        visible=False,
        elem_id="given-answer",
        max_length=500,
    )
    objects = gr.Textbox(
        label="Objects, separated by ;",
        placeholder="cat ; dog",
        visible=False,
        elem_id="objects",
        max_length=500,
    )
    with gr.Group(visible=False, elem_id="box") as box_row:
        with gr.Row():
            box = tuple(
                gr.Number(value, label=f"{edge} %", minimum=0, maximum=100, min_width=72)
                for edge, value in (("Left", 25), ("Top", 25), ("Right", 75), ("Bottom", 75))
            )
    text = gr.Textbox(
        label="Free prompt",
        placeholder="Anything a mix checkpoint may understand",
        visible=False,
        elem_id="free-prompt",
        max_length=500,
    )
    language = gr.Dropdown(
        choices.language_choices(), value="en", label="Language", elem_id="language"
    )
    return Inputs(image, task, language, question, answer, objects, box, box_row, text)


def _model(backend: Backend) -> Model:
    """Pickers of the checkpoint and the decoding, one click away."""
    start = choices.settle(choices.size_choices()[0][1], "mix", 224)
    adapters = backend.adapters(start.checkpoint.name)
    notice = gr.HTML(elem_id="model-notice", padding=False)
    with gr.Accordion(f"Model: {start.summary}", open=False, elem_id="model") as panel:
        size = gr.Radio(
            choices.size_choices(), value=start.checkpoint.size, label="Size", elem_id="size"
        )
        resolution = OpenRadio(
            list(start.resolutions),
            value=str(start.checkpoint.resolution),
            label="Resolution",
            elem_id="resolution",
        )
        variant = OpenRadio(
            list(start.variants), value=start.checkpoint.variant, label="Variant", elem_id="variant"
        )
        with gr.Row():
            precision = gr.Dropdown(
                choices.precision_choices(), value="auto", label="Precision", min_width=140
            )
            adapter = gr.Dropdown(
                [("None", NO_ADAPTER), *((name, name) for name in adapters)],
                value=NO_ADAPTER,
                label="Adapter",
                allow_custom_value=True,
                min_width=140,
            )
    with gr.Accordion("Decoding", open=False, elem_id="decoding"):
        with gr.Row():
            max_tokens = gr.Slider(
                0, 1024, 0, step=1, label="Maximum tokens", info="0: as the task needs"
            )
            temperature = gr.Slider(
                0, 2, 0, step=0.05, label="Temperature", info="0: always the likeliest token"
            )
        with gr.Row():
            top_k = gr.Slider(0, 200, 0, step=1, label="Top-k", info="0: off")
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="1: off")
        with gr.Row():
            beams = gr.Slider(1, 8, 1, step=1, label="Beams", info="1: off")
            seed = gr.Number(0, label="Seed", info="for temperatures above 0", precision=0)
    decoding = (max_tokens, temperature, top_k, top_p, beams, seed)
    return Model(panel, notice, size, variant, resolution, precision, adapter, decoding)


def _outputs() -> Outputs:
    status = gr.HTML(markup.status(""), elem_id="status", padding=False)
    text = gr.Textbox(
        label="Answer",
        interactive=False,
        lines=3,
        max_lines=14,
        buttons=["copy"],
        elem_id="answer",
        placeholder="The answer appears here, word by word.",
    )
    annotated = gr.AnnotatedImage(
        label="Found in the picture", visible=False, elem_id="annotated", buttons=["fullscreen"]
    )
    table = gr.HTML(visible=False, elem_id="boxes", padding=False)
    figures = gr.HTML(markup.timing_figures(None), elem_id="figures", padding=False)
    with gr.Accordion("Details: prompt sent, raw text, numbers", open=False, elem_id="details"):
        details = gr.JSON(label="Result", show_label=False)
    return Outputs(status, text, annotated, table, figures, details)


def _examples(examples: tuple[Example, ...]) -> list[gr.Button]:
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
                elem_classes=["example"],
                min_width=120,
            )
            for index, example in enumerate(examples)
        ]
    for button in buttons:
        button.keep_in_cache.add(button.icon["path"])  # the cards outlive the uploads
    return buttons


def _wire(
    page: gr.Blocks,
    handlers: Handlers,
    inputs: Inputs,
    model: Model,
    outputs: Outputs,
    image_note: gr.HTML,
    prompt_box: gr.Textbox,
    run_button: gr.Button,
    stop_button: gr.Button,
    example_buttons: list[gr.Button],
) -> None:
    """Connect every event with its handler."""
    pickers = [model.size, model.variant, model.resolution]
    chosen = [*pickers, model.adapter, model.notice, model.panel]
    buttons = [run_button, stop_button]

    inputs.image.input(
        fn=handlers.inspect, inputs=inputs.image, outputs=image_note, **PRIVATE
    ).failure(fn=handlers.refuse_picture, outputs=image_note, **PRIVATE)
    inputs.image.clear(fn=lambda: "", outputs=image_note, **PRIVATE)
    fields = [inputs.language, inputs.question, inputs.answer, inputs.objects]
    inputs.task.change(
        fn=handlers.show_inputs,
        inputs=inputs.task,
        outputs=[*fields, inputs.box_row, inputs.text],
        **PRIVATE,
    )
    gr.on(
        triggers=[part.change for part in inputs.prompt_parts],
        fn=handlers.preview,
        inputs=inputs.prompt_parts,
        outputs=prompt_box,
        trigger_mode="always_last",
        **PRIVATE,
    )
    gr.on(
        triggers=[picker.input for picker in pickers],
        fn=handlers.choose,
        inputs=[*pickers, model.adapter],
        outputs=chosen,
        **PRIVATE,
    )
    page.load(fn=handlers.choose, inputs=[*pickers, model.adapter], outputs=chosen, **PRIVATE)

    typed = [inputs.question, inputs.answer, inputs.objects, inputs.text]
    started = gr.on(
        triggers=[run_button.click, *(field.submit for field in typed)],
        fn=_begin,
        js=SHOW_ANSWER,
        outputs=buttons,
        **PRIVATE,
    )
    runs = [_answer_after(started, handlers, inputs, model, outputs, buttons, "answer")]
    if example_buttons:
        filled = gr.on(
            triggers=[button.click for button in example_buttons],
            fn=handlers.use_example,
            inputs=model.adapter,
            outputs=[inputs.image, *inputs.prompt_parts, *chosen],
            **PRIVATE,
        )
        begun = filled.success(fn=_begin, js=SHOW_ANSWER, outputs=buttons, **PRIVATE)
        runs.append(_answer_after(begun, handlers, inputs, model, outputs, buttons, None))
    stop_button.click(
        fn=handlers.stop,
        outputs=outputs.status,
        cancels=runs,
        **PRIVATE,
    ).then(fn=_end, outputs=buttons, **PRIVATE)
    page.unload(handlers.leave)


def _answer_after(
    event: Any,
    handlers: Handlers,
    inputs: Inputs,
    model: Model,
    outputs: Outputs,
    buttons: list[gr.Button],
    api_name: str | None,
) -> Any:
    """Run the answer after an event and give the buttons back whatever becomes of it."""
    run = event.then(
        fn=handlers.answer,
        inputs=[
            inputs.image,
            *inputs.prompt_parts,
            model.size,
            model.variant,
            model.resolution,
            model.precision,
            model.adapter,
            *model.decoding,
        ],
        outputs=outputs.all,
        concurrency_limit=ANSWERS_AT_ONCE,
        concurrency_id="answer",
        show_progress="hidden",
        api_name=api_name,
        api_visibility="public" if api_name else "private",
    )
    run.then(fn=_end, outputs=buttons, **PRIVATE)
    run.failure(fn=_end, outputs=buttons, **PRIVATE)
    return run


def _begin() -> tuple[dict[str, Any], dict[str, Any]]:
    """Run is busy and Stop can be pressed."""
    return gr.update(value="Running …", interactive=False), gr.update(interactive=True)


def _end() -> tuple[dict[str, Any], dict[str, Any]]:
    """Run can be pressed again."""
    return gr.update(value="Run", interactive=True), gr.update(interactive=False)
