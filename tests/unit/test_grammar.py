"""The prompt grammar."""

from __future__ import annotations

import pytest

from models.limits import MAX_PROMPT_CHARACTERS
from models.prompts import grammar
from models.prompts.grammar import LANGUAGES, Task, build, check, parse
from models.schema import Box, UserError

BOX = Box(100 / 1023, 200 / 1023, 300 / 1023, 400 / 1023)

BUILT = [
    (Task.CAP, {"language": "en"}, "cap en"),
    (Task.CAPTION, {"language": "de"}, "caption de"),
    (Task.DESCRIBE, {}, "describe en"),
    (Task.ANSWER, {"question": " how many\ncats? "}, "answer en how many cats?"),
    (Task.QUESTION, {"answer": "two", "language": "fr"}, "question fr two"),
    (Task.OCR, {}, "ocr"),
    (Task.DETECT, {"objects": "cat, dog\ncat ;  red  car"}, "detect cat ; dog ; red car"),
    (Task.SEGMENT, {"objects": "cat"}, "segment cat"),
    (Task.REGION, {"box": BOX}, "caption <loc0100><loc0200><loc0300><loc0400>"),
    (Task.FREE, {"text": "what is this?"}, "what is this?"),
]


@pytest.mark.parametrize("task, inputs, prompt", BUILT, ids=[str(each[0]) for each in BUILT])
def test_each_task_has_its_prompt(task, inputs, prompt):
    assert build(task, **inputs) == prompt


@pytest.mark.parametrize("task, inputs, prompt", BUILT, ids=[str(each[0]) for each in BUILT])
def test_parsing_undoes_building(task, inputs, prompt):
    parsed = parse(prompt)
    assert parsed.task is task
    parts = {name: getattr(parsed, name) for name in grammar.inputs_of(task) if name != "box"}
    assert build(task, **parts, box=parsed.box) == prompt


def test_names_of_objects_are_in_lower_case_as_in_training():
    assert build(Task.DETECT, objects="Airplane, CAT; cat") == "detect airplane ; cat"
    assert build(Task.FREE, text="Segment Cat") == "segment cat"
    assert grammar.normalize(" detect Red Car ; Dog") == " detect red car ; dog"


@pytest.mark.parametrize(
    "prompt", ["answer en What does NASA say?", "What is this?", "detective Smith", "ocr", "", " "]
)
def test_other_prompts_stay_as_they_are_written(prompt):
    assert grammar.normalize(prompt) == prompt


def test_every_task_states_what_it_needs():
    for task in Task:
        assert grammar.inputs_of(task) <= {
            "language",
            "question",
            "answer",
            "objects",
            "box",
            "text",
        }
        assert 1 <= grammar.default_max_new_tokens(task) <= 512
    assert grammar.yields_boxes(Task.DETECT) and not grammar.yields_masks(Task.DETECT)
    assert grammar.yields_boxes(Task.SEGMENT) and grammar.yields_masks(Task.SEGMENT)
    assert not grammar.yields_boxes(Task.REGION)


def test_long_captions_get_the_tokens_they_need():
    assert grammar.default_max_new_tokens(Task.CAPTION, "ft-docci") >= 256


def test_a_hidden_field_does_not_get_into_a_prompt():
    with pytest.raises(UserError, match="There is no answer yet"):
        build(Task.QUESTION, question="what is on the left?", objects="cat", text="caption en")


@pytest.mark.parametrize(
    "task, inputs",
    [
        (Task.ANSWER, {"question": "  "}),
        (Task.QUESTION, {}),
        (Task.DETECT, {"objects": " ; ,"}),
        (Task.SEGMENT, {}),
        (Task.REGION, {}),
        (Task.FREE, {}),
        (Task.CAPTION, {"language": "tlh"}),
        (Task.ANSWER, {"question": "what?<image>"}),
    ],
)
def test_incomplete_or_wrong_inputs_are_refused(task, inputs):
    with pytest.raises(UserError) as caught:
        build(task, **inputs)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "prompt",
    ["", "  ", "<image>caption en", "caption en\n", "<bos>ocr", "a\x00b", "a\u2028b", "x" * 501],
)
def test_prompts_that_would_break_the_sequence_are_refused(prompt):
    with pytest.raises(UserError):
        check(prompt)


@pytest.mark.parametrize("prompt", ["detect ;;;", "Segment , ;", "detect", "segment  "])
def test_a_prompt_without_a_name_to_look_for_is_refused_wherever_it_is_written(prompt):
    with pytest.raises(UserError, match="no object to look for yet") as written:
        check(prompt)
    task, _, objects = prompt.lower().partition(" ")
    with pytest.raises(UserError) as built:
        build(Task(task), objects=objects)
    with pytest.raises(UserError) as free:
        build(Task.FREE, text=prompt)
    assert str(written.value) == str(built.value) == str(free.value)


def test_a_prompt_at_the_limit_passes():
    check("ж" * MAX_PROMPT_CHARACTERS)
    check("इस चित्र में क्या है?\u200d")


@pytest.mark.parametrize("prompt", ["answer en", "caption xx", "hello there", "ocr this"])
def test_what_follows_no_rule_is_free_text(prompt):
    assert parse(prompt).task is Task.FREE
    assert parse(prompt).text == prompt


def test_a_box_without_area_is_free_text():
    assert parse("caption <loc0300><loc0200><loc0100><loc0400>").task is Task.FREE


def test_there_are_35_languages():
    assert len(LANGUAGES) == 35
    assert {"en", "fil", "mi", "zh"} <= set(LANGUAGES)
