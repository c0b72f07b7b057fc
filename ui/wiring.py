"""Which event on the page calls which handler."""

from __future__ import annotations

from typing import Any

import gradio as gr

from models.prompts.grammar import Task, inputs_of
from ui import links
from ui.events import AT_ONCE, EVERY, PRIVATE, SCRIPTED, call
from ui.handlers import Handlers
from ui.history import wire_history
from ui.layout import Controls, Inputs, Model, Outputs
from ui.part import wire_part
from ui.runs import PENDING_AT_MOST
from ui.save import wire_save
from ui.several import wire_several

# A few more than `Runs` lets in, so that an answer too many is refused at once instead of waiting
# in Gradio's queue; the backend orders the others. Not many more: each opens its picture first.
ANSWERS_LET_IN = PENDING_AT_MOST + 4
AS_ANSWERS: dict[str, Any] = {
    "concurrency_id": "answer",
    "concurrency_limit": ANSWERS_LET_IN,
}
INSPECTED_AT_ONCE = 2  # an upload of many pixels takes memory while it is looked at


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
    _wire_inputs(handlers, inputs, controls, model)
    chosen = _wire_model(page, handlers, inputs, controls, model)
    _wire_runs(page, handlers, inputs, controls, model, outputs, cards, chosen)
    question = _question(inputs, model)
    wire_save(handlers.saving, outputs.save, question, outputs.details)
    as_question = [inputs.task, inputs.question]
    outputs.use.click(
        fn=None, js=call("useQuestion"), inputs=outputs.text, outputs=as_question, **SCRIPTED
    )
    pickers: dict[str, Any] = {"inputs": model.settings[:5], "outputs": chosen}
    wire_history(
        handlers.history,
        outputs.history,
        question,
        [*outputs.all, outputs.expected],
        _script("asked"),
        _script("recallQuestion", handlers),
        lambda event: event.then(fn=handlers.model.choose, **pickers, **AT_ONCE),
    )
    gr.on(
        triggers=[part.change for part in question],
        fn=None,
        js=_script("changed"),
        inputs=question,
        **SCRIPTED,
    )


def _question(inputs: Inputs, model: Model) -> list[Any]:
    """All that an answer depends on, in the order of `Handlers.answer` and of `session.js`."""
    return [inputs.image, *inputs.prompt_parts, *model.settings, inputs.several.files]


def _script(name: str, handlers: Handlers | None = None) -> str:
    """A call of one of the page's scripts with the values of `_question`, with the indices of those
    that only some tasks need, by task, and, given `handlers`, with what `ui.links` says of them."""
    fields = ("language", "question", "answer", "objects", "box", "box", "box", "box", "text")
    needed = {
        str(task): [i for i, field in enumerate(fields, start=2) if field in inputs_of(task)]
        for task in Task
    }
    return call(name, needed, *([links.about(handlers.model)] if handlers else []))


def _wire_inputs(handlers: Handlers, inputs: Inputs, controls: Controls, model: Model) -> None:
    """Uploads are looked at, a task shows its fields, and the prompt follows them all."""
    inputs.image.input(
        fn=handlers.inspect,
        inputs=inputs.image,
        outputs=[inputs.image, inputs.image_note],
        concurrency_id="inspect",
        concurrency_limit=INSPECTED_AT_ONCE,
        # Removing a picture is an input too: what is uploaded right after it must be looked at.
        trigger_mode="always_last",
        **PRIVATE,
    ).failure(fn=handlers.refuse_picture, outputs=[inputs.image, inputs.image_note], **AT_ONCE)
    fields = [inputs.language, inputs.question, inputs.answer, inputs.objects]
    gr.on(
        triggers=[inputs.task.change, inputs.part.mark.change],
        fn=handlers.show_inputs,
        inputs=[inputs.task, inputs.part.mark],
        outputs=[*fields, inputs.box_row, inputs.text],
        **AT_ONCE,
    )
    gr.on(
        triggers=[part.change for part in (*inputs.prompt_parts, inputs.several.files)],
        fn=handlers.preview,
        inputs=[*inputs.prompt_parts, inputs.several.files],
        outputs=controls.prompt,
        trigger_mode="always_last",
        **AT_ONCE,
    )
    limiting: list[Any] = [model.bar.size, model.bar.variant, model.bar.adapter]
    limiting += [inputs.task, inputs.language, inputs.objects]
    gr.on(
        triggers=[part.change for part in limiting],
        fn=handlers.model.limits,
        inputs=limiting,
        outputs=inputs.limits_note,
        trigger_mode="always_last",
        **AT_ONCE,
    )
    wire_several(inputs.several, handlers.model.backend.catalog, inputs.image, model.bar)
    wire_part(inputs.part, inputs.image, inputs.image_note, inputs.box)


def _wire_model(
    page: gr.Blocks, handlers: Handlers, inputs: Inputs, controls: Controls, model: Model
) -> list[Any]:
    """The pickers offer only what exists; returns what `ModelHandlers.choose` updates."""
    pickers = model.settings[:5]
    bar = model.bar
    chosen: list[Any] = [bar.size, bar.variant, bar.resolution, bar.adapter, bar.notice]
    chosen += [model.needs, model.knowledge]
    gr.on(
        triggers=[picker.input for picker in pickers[:4]],
        fn=handlers.model.choose,
        inputs=pickers,
        outputs=chosen,
        trigger_mode="always_last",
        **AT_ONCE,
    )
    bar.adapter.input(
        fn=handlers.model.choose_adapter,
        inputs=pickers,
        outputs=chosen,
        trigger_mode="always_last",
        **AT_ONCE,
    )
    about: dict[str, Any] = {"inputs": model.settings, "outputs": [bar.settings, bar.defaults]}
    gr.on(
        triggers=[setting.change for setting in model.settings],
        fn=handlers.model.settings,
        **about,
        trigger_mode="always_last",
        **AT_ONCE,
    )
    bar.defaults.click(
        fn=handlers.model.reset,
        outputs=[model.precision, *model.decoding, *chosen],
        **AT_ONCE,
    )
    question = _question(inputs, model)
    bar.link.click(fn=None, js=_script("copyLink", handlers), inputs=question, **SCRIPTED)
    # What a link asks, or what was asked before the page was loaded again, such as after a lost
    # connection.
    page.load(
        fn=None, js=_script("restore", handlers), inputs=question, outputs=question, **SCRIPTED
    ).then(fn=handlers.model.restore, inputs=pickers, outputs=chosen, **AT_ONCE).then(
        fn=handlers.model.settings,
        **about,
        **AT_ONCE,  # the model may be loaded by now
    )
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
    question = _question(inputs, model)
    asks = [controls.run.click, *(field.submit for field in typed)]
    gr.on(triggers=asks, fn=None, js=_script("asked"), inputs=question, **SCRIPTED)
    started = gr.on(
        triggers=asks,
        fn=handlers.begin_own,
        outputs=[*buttons, outputs.status, outputs.expected],
        **AT_ONCE,
    )
    runs = [_answer_after(started, handlers, inputs, model, outputs, buttons, "answer")]
    if cards:
        filled = gr.on(
            triggers=[card.click for card in cards],
            fn=handlers.use_example,
            inputs=inputs.part.mark,
            outputs=[
                inputs.image,
                inputs.image_note,
                *inputs.prompt_parts,
                model.precision,
                *model.decoding,
                outputs.expected,
                *chosen,
                inputs.several.files,
                inputs.box_row,
            ],
            **AT_ONCE,
            **EVERY,
        )
        filled.success(fn=None, js=_script("asked"), inputs=question, **SCRIPTED, **EVERY)
        begun = filled.success(
            fn=handlers.begin, outputs=[*buttons, outputs.status], **AT_ONCE, **EVERY
        )
        runs.append(_answer_after(begun, handlers, inputs, model, outputs, buttons, None))
    others = [*(card.click for card in cards), outputs.history.recall.click]
    _wire_explanation(handlers, inputs, model, outputs, [*asks, *others])
    stopped = controls.stop.click(
        fn=handlers.stop, outputs=outputs.status, cancels=runs, **AT_ONCE
    ).then(fn=handlers.end, outputs=buttons, **AT_ONCE)
    # Said once more: an update that was on its way while Stop was pressed may have come after it.
    stopped.then(fn=handlers.say_stopped, outputs=outputs.status, **AT_ONCE)
    page.unload(handlers.leave)


def _wire_explanation(
    handlers: Handlers, inputs: Inputs, model: Model, outputs: Outputs, asks: list[Any]
) -> None:
    """An answer is explained when that is asked for, until another one is asked for."""
    explained = outputs.explain.click(
        fn=handlers.explaining.explain,
        inputs=[inputs.image, outputs.details, model.precision, inputs.several.files],
        outputs=outputs.explanation,
        **AS_ANSWERS,
        **PRIVATE,
    )
    gr.on(
        asks,
        fn=handlers.explaining.clear,
        outputs=outputs.explanation,
        cancels=[explained],  # what is on its way is about the answer before
        **AT_ONCE,
        **EVERY,
    )


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
        inputs=_question(inputs, model),
        outputs=outputs.all,
        show_progress="hidden",
        **AS_ANSWERS,
        **EVERY,
        api_name=api_name,
        api_visibility="public" if api_name else "private",
    )
    run.success(fn=handlers.end, outputs=buttons, **AT_ONCE, **EVERY)
    for told in ("remember", "tellResult"):
        run.success(fn=None, js=call(told), inputs=outputs.details, **SCRIPTED, **EVERY)
    line = [model.bar.settings, model.bar.defaults]  # the model is loaded now
    run.success(fn=handlers.model.settings, inputs=model.settings, outputs=line, **AT_ONCE, **EVERY)
    failed = [*buttons, outputs.status]
    run.failure(fn=handlers.fail, outputs=failed, **AT_ONCE, **EVERY)
    return run
