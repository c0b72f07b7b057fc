"""Prompts about scenes: every answer is true, and the formats are those of the page."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.prompts import grammar
from models.prompts.tokens import parse_detections
from training.nano.scenes.scene import BARE, HELD_OUT, draw
from training.nano.tasks import empty, questions
from training.nano.tasks.wordings import Asker

CODES = "<seg005>" * 16


@pytest.fixture(scope="module")
def asked():
    scenes = [draw(seed) for seed in range(HELD_OUT, HELD_OUT + 60)]
    return [
        (scene, example)
        for scene in scenes
        for example in questions.examples(
            scene, np.random.default_rng(scene.seed), lambda s, o: CODES
        )
    ]


def test_every_task_of_the_page_is_asked(asked):
    wanted = {"cap", "caption", "describe", "answer", "question", "ocr", "detect", "segment"}
    assert {example.task for _, example in asked} == wanted | {"region"}


def test_every_prefix_is_in_the_prompt_grammar(asked):
    for _, example in asked:
        grammar.check(example.prefix)
        assert grammar.parse(example.prefix).task != grammar.Task.FREE


def test_boxes_in_answers_are_those_of_the_scene(asked):
    for scene, example in asked:
        if example.task not in ("detect", "segment"):
            continue
        parsed = parse_detections(example.suffix)
        wanted = Counter(example.prefix.split(" ", 1)[1].split(" ; "))
        present = [item for item in scene.objects if item.name in wanted]
        assert parsed.invalid == 0
        assert Counter(o.label for o in parsed.objects) == Counter(o.name for o in present)
        assert all((o.codes is not None) == (example.task == "segment") for o in parsed.objects)
        if not present:
            assert example.suffix == questions.NOTHING


def test_half_of_the_questions_about_presence_are_to_be_denied(asked):
    answers = Counter(e.suffix for _, e in asked if e.kind == "is there")
    assert answers["yes"] == answers["no"] > 0


def test_relations_are_true(asked):
    seen = set()
    for scene, example in asked:
        if example.kind != "relation":
            continue
        question = example.prefix.removeprefix("answer en is the ").rstrip("?")
        for word, axis, sign in (
            ("left of", 0, 1), ("right of", 0, -1), ("above", 1, 1), ("below", 1, -1)
        ):  # fmt: skip
            if f" {word} the " in question:
                first, second = question.split(f" {word} the ")
                at = {item.name: item.center[axis] for item in scene.objects}
                true = sign * (at[second] - at[first]) > 0
                assert example.suffix == ("yes" if true else "no")
                seen.add((word, true))
    assert len(seen) == 8


def test_counts_are_true(asked):
    for scene, example in asked:
        if example.kind == "how many" and "objects" not in example.prefix:
            plural = example.prefix.removeprefix("answer en how many ").removesuffix(" are there?")
            count = sum(questions.plural(item.name) == plural for item in scene.objects)
            assert example.suffix == str(count)


def test_a_generated_question_has_the_given_answer(asked):
    for _, example in asked:
        if example.task == "question":
            assert example.suffix in example.accept


def test_lists_follow_the_language():
    assert questions.join(["Hund", "Katze"], "de") == "Hund und Katze"
    assert questions.join(["犬", "猫"], "ja") == "犬、猫"
    assert questions.join(["cat", "dog", "fox"], "en") == "cat, dog, and fox"


def test_names_exist_in_every_language():
    english = set(questions.names("en"))
    assert all(set(questions.names(language)) == english for language in questions.LANGUAGES)


def test_english_counts_are_grammatical():
    assert questions.counted("owl", 1) == "an owl"
    assert questions.counted("mouse", 2) == "two mice"
    assert questions.counted("watch", 3) == "three watches"
    assert questions.counted("butterfly", 4) == "four butterflies"
    assert questions.counted("tomato", 2) == "two tomatoes"
    assert questions.counted("fish", 2) == "two fish"


def test_what_is_asked_about_nothing_is_in_the_prompt_grammar_and_in_every_language():
    assert set(empty.NOTHING) == set(questions.LANGUAGES)
    for seed in range(HELD_OUT, HELD_OUT + 8):
        scene, rng = draw(seed, world=BARE), np.random.default_rng(seed)
        asked = empty.examples(scene, rng, Asker(rng))
        assert {e.task for e in asked} == {
            "cap", "caption", "describe", "answer", "question", "ocr", "detect", "segment",
        }  # fmt: skip
        for example in asked:
            assert grammar.parse(example.prefix).task != grammar.Task.FREE
        captions = {e.prefix: e.suffix for e in asked}
        assert captions["caption en"].endswith(
            f"no objects on {questions.counted(scene.background, 1)} background"
        )
        assert captions["ocr"] == (scene.print.text if scene.print else questions.NO_TEXT)
