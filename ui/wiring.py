"""Which event on the page calls which handler."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.handlers import Handlers
from ui.layout import Controls, Inputs, Model, Outputs

ANSWERS_AT_ONCE = 4  # more wait in the queue; the backend shares its model among these
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# On a phone the answer is below the controls: bring it into view when it starts.
SHOW_ANSWER = """() => {
  if (window.innerWidth > 768) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.querySelector("#answer-panel")
    ?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}"""


def wire(
    page: gr.Blocks,
    handlers: Handlers,
    inputs: Inputs,
    controls: Controls,
    model: Model,
    outputs: Outputs,
    cards: list[gr.Button],
) -> None:
    """Connect every event of the page with its handler."""
    _wire_inputs(handlers, inputs, controls)
    chosen = _wire_model(page, handlers, model)
    _wire_runs(page, handlers, inputs, controls, model, outputs, cards, chosen)


def _wire_inputs(handlers: Handlers, inputs: Inputs, controls: Controls) -> None:
    """Uploads are looked at, a task shows its fields, and the prompt follows them all."""
    inputs.image.input(
        fn=handlers.inspect, inputs=inputs.image, outputs=inputs.image_note, **PRIVATE
    ).failure(fn=handlers.refuse_picture, outputs=inputs.image_note, **PRIVATE)
    inputs.image.clear(fn=lambda: "", outputs=inputs.image_note, **PRIVATE)
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
        outputs=controls.prompt,
        trigger_mode="always_last",
        **PRIVATE,
    )


def _wire_model(page: gr.Blocks, handlers: Handlers, model: Model) -> list[Any]:
    """The pickers offer only what exists; returns what `Handlers.choose` updates."""
    pickers = [model.size, model.variant, model.resolution]
    chosen = [*pickers, model.adapter, model.notice, model.panel]
    gr.on(
        triggers=[picker.input for picker in pickers],
        fn=handlers.choose,
        inputs=[*pickers, model.adapter],
        outputs=chosen,
        **PRIVATE,
    )
    page.load(fn=handlers.choose, inputs=[*pickers, model.adapter], outputs=chosen, **PRIVATE)
    return chosen


def _wire_runs(
    page: gr.Blocks,
    handlers: Handlers,
    inputs: Inputs,
    controls: Controls,
    model: Model,
    outputs: Outputs,
    cards: list[gr.Button],
    chosen: list[Any],
) -> None:
    """Run, Enter in a field and an example card start an answer; Stop and leaving end it."""
    buttons = [controls.run, controls.stop]
    typed = [inputs.question, inputs.answer, inputs.objects, inputs.text]
    started = gr.on(
        triggers=[controls.run.click, *(field.submit for field in typed)],
        fn=handlers.begin,
        js=SHOW_ANSWER,
        outputs=buttons,
        **PRIVATE,
    )
    runs = [_answer_after(started, handlers, inputs, model, outputs, buttons, "answer")]
    if cards:
        filled = gr.on(
            triggers=[card.click for card in cards],
            fn=handlers.use_example,
            inputs=model.adapter,
            outputs=[inputs.image, *inputs.prompt_parts, *chosen],
            **PRIVATE,
        )
        begun = filled.success(fn=handlers.begin, js=SHOW_ANSWER, outputs=buttons, **PRIVATE)
        runs.append(_answer_after(begun, handlers, inputs, model, outputs, buttons, None))
    stopped = controls.stop.click(
        fn=handlers.stop, outputs=outputs.status, cancels=runs, **PRIVATE
    ).then(fn=handlers.end, outputs=buttons, **PRIVATE)
    # Said once more: an update that was on its way while Stop was pressed may have come after it.
    stopped.then(fn=handlers.say_stopped, outputs=outputs.status, **PRIVATE)
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
    run.then(fn=handlers.end, outputs=buttons, **PRIVATE)
    run.failure(fn=handlers.end, outputs=buttons, **PRIVATE)
    return run
