"""From what was asked and answered to one number per item, by task and by art style.

It knows scenes and the formats of true answers, but no model. A row of the result is one line of
the table: {"task", "measure", "value", "low", "high", "count", "needed"}.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

from evaluation.compare.answer_store import Answer
from evaluation.metrics.boxes import LabelledBox, average_precision
from evaluation.metrics.estimates import Estimate, mean
from evaluation.metrics.masks import mask_iou
from evaluation.metrics.names import Hits, NameFinder, compare_names, pooled_f1
from evaluation.metrics.texts import character_error_rate, is_exact
from models.masks.codec import MaskCodec, paste
from models.matching import box_iou, matched_ious
from models.prompts.tokens import encode_box, parse_detections
from training.nano.scenes.scene import RESOLUTION, Scene, SceneObject
from training.nano.scenes.sprites import STYLES
from training.nano.tasks import questions
from training.nano.tasks.questions import Example

FOUND_AT = 0.5  # the box IoU from which an object counts as found
READABLE_PX = 20
LETTER_BINS = ((0, 8), (8, 14), (14, READABLE_PX), (READABLE_PX, 1000))
USUAL_WORDS = "answer, usual words"
EACH_KIND, OTHER_LANGUAGES = "answer: each kind", "caption, other languages"
SMALL_PRINT = "exact, letters 8–14 px"
_READ = f"letters ≥ {READABLE_PX} px"
# What nano is to reach at 224 and at 448 pixels, by (task, measure).
GOALS = {
    ("caption", "objects F1"): (0.95, 0.97),
    ("caption", "exact"): (0.80, 0.85),
    (OTHER_LANGUAGES, "objects F1"): (0.90, 0.92),
    ("answer", "accuracy"): (0.92, 0.94),
    (EACH_KIND, "accuracy"): (0.85, 0.88),
    ("detect", "AP50"): (0.85, 0.90),
    ("detect", "AP75"): (0.60, 0.70),
    ("segment", "mean IoU"): (0.75, 0.80),
    ("ocr", f"exact, {_READ}"): (0.85, 0.95),
    ("ocr", f"character error rate, {_READ}"): (0.05, 0.02),
    ("ocr", SMALL_PRINT): (None, 0.70),
    ("detect and segment", "absent kinds left alone"): (0.93, 0.93),
}
_PRINT_SENTENCE = re.compile(r"\bThe text says .*$", re.DOTALL)


@dataclass(frozen=True)
class SceneAnswer:
    """One prompt about one scene and what was answered."""

    scene: Scene
    example: Example
    answer: Answer


@dataclass
class _Sheet:
    """Collects rows, numbers by style, and wrong answers; `column` is that of GOALS."""

    column: int
    rows: list[dict] = field(default_factory=list)
    by_style: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    wrong: dict[str, list[dict]] = field(default_factory=lambda: defaultdict(list))
    invalid_objects: int = 0
    unknown_labels: int = 0

    def add(self, task: str, measure: str, estimate: Estimate, like: str = "") -> None:
        """A row; its goal is that of its task, or of the task that it is `like`."""
        if estimate.count:
            goal = GOALS.get((like or task, measure), (None, None))[self.column]
            row = {"task": task, "measure": measure, **vars(estimate), "needed": goal}
            self.rows.append(row)

    def miss(self, task: str, asked: SceneAnswer) -> None:
        example, given = asked.example, asked.answer.text
        miss = {"seed": asked.scene.seed, "prefix": example.prefix}
        self.wrong[task].append(miss | {"true": example.suffix, "given": given})


@cache
def finder(language: str) -> NameFinder:
    """Finds the objects of scenes in captions of `language`, in English plurals too.

    Where two objects have one name in a language, either is right.
    """
    forms: dict[str, list[str]] = {}
    for english, own in questions.names(language).items():
        forms[own] = [own, questions.plural(english)] if language == "en" else [own]
    return NameFinder(forms, language)


def score(asked: Sequence[SceneAnswer], codec: MaskCodec | None) -> dict:
    """All rows, numbers by style and wrong answers, as a JSON-able dict."""
    sheet = _Sheet(int(any(item.scene.image.width > RESOLUTION for item in asked)))
    by_task: dict[str, list[SceneAnswer]] = defaultdict(list)
    for item in asked:
        by_task[item.example.task].append(item)
    _score_captions(sheet, by_task)
    _score_answers(sheet, by_task["answer"])
    usual = _exact(sheet, USUAL_WORDS, by_task[USUAL_WORDS])
    sheet.add(USUAL_WORDS, "accuracy", mean(usual))
    _score_exact(sheet, "question", by_task["question"])
    _score_ocr(sheet, by_task["ocr"])
    _score_boxes(sheet, by_task["detect"])
    if codec is not None:
        _score_masks(sheet, by_task["segment"], codec)
    _score_absent(sheet, [*by_task["detect"], *by_task["segment"]])
    _score_exact(sheet, "region", by_task["region"])
    return {
        "rows": sheet.rows,
        "styles": _style_rows(sheet),
        "invalid_objects": sheet.invalid_objects,
        "unknown_labels": sheet.unknown_labels,
        "cut_off": sum(not item.answer.finished for item in asked),
        "wrong": dict(sheet.wrong),
    }


def _style_rows(sheet: _Sheet) -> list[dict]:
    rows = []
    for task, styles in sheet.by_style.items():
        for style in STYLES:
            if styles[style]:
                rows.append({"task": task, "style": style, **vars(mean(styles[style]))})
    return rows


# Captions


def _language(example: Example) -> str:
    return example.prefix.split()[1]


def _named(text: str, language: str) -> Counter[str]:
    """The objects a caption names; a printed word in it is no object."""
    return finder(language).count(_PRINT_SENTENCE.sub("", text))


def caption_hits(item: SceneAnswer) -> Hits:
    """Objects named with their numbers against those of the true caption."""
    language = _language(item.example)
    true = _named(item.example.suffix, language)
    return compare_names(_named(item.answer.text, language), true)


def _score_captions(sheet: _Sheet, by_task: dict[str, list[SceneAnswer]]) -> None:
    for task in ("cap", "caption", "describe"):
        english = [item for item in by_task[task] if _language(item.example) == "en"]
        sheet.add(task, "objects F1", pooled_f1(map(caption_hits, english)))
        sheet.add(task, "exact", mean(_exact(sheet, task, english)))
        if task == "caption":
            for item in english:
                _caption_by_style(sheet, item)
    others = [
        item
        for task in ("cap", "caption")
        for item in by_task[task]
        if _language(item.example) != "en"
    ]
    captions = [item for item in others if item.example.task == "caption"]
    sheet.add(OTHER_LANGUAGES, "objects F1", pooled_f1(map(caption_hits, captions)))
    for language in questions.LANGUAGES[1:]:
        own = [item for item in captions if _language(item.example) == language]
        f1 = pooled_f1(map(caption_hits, own))
        sheet.add(f"caption {language}", "objects F1", f1, like=OTHER_LANGUAGES)
    caps = [item for item in others if item.example.task == "cap"]
    sheet.add("cap, other languages", "objects F1", pooled_f1(map(caption_hits, caps)))


def _caption_by_style(sheet: _Sheet, item: SceneAnswer) -> None:
    """Each object's share in what the caption names of its kind."""
    named = _named(item.answer.text, "en")
    there = questions.tally(item.scene)
    for thing in item.scene.objects:
        share = min(1.0, named[thing.name] / there[thing.name])
        sheet.by_style["caption: objects named"][thing.style].append(share)


# Texts that are right or wrong


def _is_right(item: SceneAnswer) -> bool:
    return is_exact(item.answer.text, (item.example.suffix, *item.example.accept))


def _exact(sheet: _Sheet, task: str, items: Iterable[SceneAnswer]) -> list[float]:
    results = []
    for item in items:
        results.append(float(_is_right(item)))
        if not results[-1]:
            sheet.miss(task, item)
    return results


def _score_exact(sheet: _Sheet, task: str, items: Sequence[SceneAnswer]) -> None:
    results = _exact(sheet, task, items)
    sheet.add(task, "exact", mean(results))
    if task == "region":
        for item, right in zip(items, results, strict=True):
            for thing in item.scene.objects:
                if encode_box(questions.box_norm(item.scene, thing)) in item.example.prefix:
                    sheet.by_style["region: exact"][thing.style].append(right)


def _score_answers(sheet: _Sheet, items: Sequence[SceneAnswer]) -> None:
    kinds: dict[str, list[float]] = defaultdict(list)
    yes_no: dict[str, list[float]] = defaultdict(list)
    for item in items:
        kind = item.example.kind
        right = _exact(sheet, f"answer: {kind}", [item])[0]
        kinds[kind].append(right)
        if item.example.suffix in ("yes", "no"):
            yes_no[f"{kind}, true answer {item.example.suffix}"].append(right)
        style = _style_asked_about(item)
        if style:
            sheet.by_style["answer: accuracy"][style].append(right)
    sheet.add("answer", "accuracy", mean(right for each in kinds.values() for right in each))
    for kind, results in sorted(kinds.items()):
        sheet.add(f"answer: {kind}", "accuracy", mean(results), like=EACH_KIND)
    for kind, results in sorted(yes_no.items()):
        sheet.add(f"answer: {kind}", "accuracy", mean(results))


def _style_asked_about(item: SceneAnswer) -> str | None:
    """The style of the objects that the question or its answer names, where they share one."""
    named = _named(f"{item.example.prefix} {item.example.suffix}", "en")
    styles = {thing.style for thing in item.scene.objects if thing.name in named}
    return styles.pop() if len(styles) == 1 else None


def _score_ocr(sheet: _Sheet, items: Sequence[SceneAnswer]) -> None:
    printed = [(item, item.scene.print) for item in items if item.scene.print]
    blank = [item for item in items if not item.scene.print]
    for low, high in LETTER_BINS:
        inside = [
            (item, wanted.text)
            for item, wanted in printed
            if low <= wanted.height_px * RESOLUTION / item.scene.image.height < high
        ]
        size = f"{low}–{high} px" if high < 1000 else f"≥ {low} px"
        size = size if low else f"< {high} px"
        # Letters count as printed: reading "Open" for "OPEN" is wrong.
        exact = [float(item.answer.text.strip() == text) for item, text in inside]
        errors = [character_error_rate(item.answer.text.strip(), text) for item, text in inside]
        for (item, _), right in zip(inside, exact, strict=True):
            if not right:
                sheet.miss(f"ocr, letters {size}", item)
        sheet.add("ocr", f"exact, letters {size}", mean(exact))
        sheet.add("ocr", f"character error rate, letters {size}", mean(errors))
    sheet.add("ocr", "nothing printed: exact", mean(_exact(sheet, "ocr, nothing", blank)))


# Boxes and masks


def _size(scene: Scene) -> tuple[int, int]:
    return scene.image.width, scene.image.height


def _asked_for(item: SceneAnswer) -> list[SceneObject]:
    """The objects of the scene that the prompt names."""
    wanted = item.example.prefix.split(" ", 1)[1].split(" ; ")
    return [thing for thing in item.scene.objects if thing.name in wanted]


def _given(sheet: _Sheet, item: SceneAnswer) -> list[tuple[LabelledBox, tuple[int, ...] | None]]:
    """The boxes of an answer with their codes; what makes no sense is counted and left out."""
    found = []
    for part in item.answer.parts:
        parsed = parse_detections(part.text)
        sheet.invalid_objects += parsed.invalid
        for thing in parsed.objects:
            sheet.unknown_labels += thing.label not in questions.names("en")
            box = thing.box.to_xyxy_px(*_size(item.scene))
            found.append((LabelledBox(thing.label, box, part.score), thing.codes))
    return found


def _present(items: Iterable[SceneAnswer]) -> list[SceneAnswer]:
    return [item for item in items if not item.example.kind.endswith(" absent")]


def _score_boxes(sheet: _Sheet, items: Sequence[SceneAnswer]) -> None:
    true = [[LabelledBox(t.name, t.box_xyxy_px) for t in _asked_for(item)] for item in items]
    given = [[box for box, _ in _given(sheet, item)] for item in items]
    found = average_precision(true, given)
    sheet.add("detect", "AP50", found.ap50)
    sheet.add("detect", "AP75", found.ap75)
    sheet.add("detect", "AP (COCO)", found.ap)
    everyone: list[float] = []
    for item, boxes, answers in zip(items, true, given, strict=True):
        ious = matched_ious(
            [(b.label, b.box_xyxy_px) for b in boxes],
            [(b.label, b.box_xyxy_px) for b in answers],
            box_iou,
        )
        for thing, iou in zip(_asked_for(item), ious, strict=True):
            everyone.append(float(iou >= FOUND_AT))
            sheet.by_style["detect: found at IoU 0.5"][thing.style].append(everyone[-1])
            if iou < FOUND_AT:
                sheet.miss("detect", item)
    sheet.add("detect", "found at IoU 0.5", mean(everyone))


def _score_masks(sheet: _Sheet, items: Sequence[SceneAnswer], codec: MaskCodec) -> None:
    ious: list[float] = []
    extra = 0
    for item in _present(items):
        width, height = _size(item.scene)
        given = []
        for box, codes in _given(sheet, item):
            if codes is None:
                sheet.invalid_objects += 1
                continue
            mask = codec.decode(torch.tensor([codes], device=codec.codebook.device))[0].cpu()
            given.append((box.label, paste(mask, box.box_xyxy_px, width, height)))
        true = [(thing.name, thing.mask) for thing in _asked_for(item)]
        own = matched_ious(true, given, mask_iou)
        extra += len(given) - int(np.count_nonzero(own))
        for thing, iou in zip(_asked_for(item), own, strict=True):
            sheet.by_style["segment: mean IoU"][thing.style].append(iou)
        ious += own
    sheet.add("segment", "mean IoU", mean(ious))
    sheet.add("segment", "share of masks too many", mean([1.0] * extra + [0.0] * len(ious)))


def _score_absent(sheet: _Sheet, items: Sequence[SceneAnswer]) -> None:
    absent = [item for item in items if item.example.kind.endswith(" absent")]
    right = mean(_exact(sheet, "absent", absent))
    sheet.add("detect and segment", "absent kinds left alone", right)
