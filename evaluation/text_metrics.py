"""Scores of texts as other benchmarks define them: VQA accuracy, ANLS, POPE, CIDEr.

Every function here is pure, from a given text and true ones; `evaluation.metrics` has what nano's
own scenes need and the intervals.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.metrics import edit_distance

# VQA accuracy. The rules are those of the challenge's own program, `vqaEval.py` of
# GT-Vision-Lab/VQA, so that numbers can be compared with published ones.

_PUNCTUATION = (*";:/'[]\"()=+\\_><@`,?",)
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_DIGITS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}
_ARTICLES = frozenset(("a", "an", "the"))
# Written without their apostrophe; only those in which it stands before these endings.
_CONTRACTED = (
    "aint arent cant couldve couldnt didnt doesnt dont hadnt hasnt havent hed hes howd howll hows "
    "isnt itd itll mightnt mightve mustnt mustve neednt notve oughtnt shant shouldve shouldnt "
    "somebodyll somebodys someoned someonell someones somethingd somethingll thats thered therere "
    "theres theyd theyll theyre theyve wasnt weve werent whatll whatre whats whatve whens whered "
    "wheres whereve whod wholl whos whove whyll whyre whys wont wouldve wouldnt yall youd youll "
    "youre youve"
).split()
_ENDING = re.compile(r"(nt|ve|ll|re|d|s)$")
ENOUGH = 3  # people who gave an answer make it wholly right


def _apostrophised(word: str) -> str:
    if word == "yall":
        return "y'all"
    end = _ENDING.search(word)[0]
    return word[: -len(end)] + ("n't" if end == "nt" else f"'{end}")


_CONTRACTIONS = {word: _apostrophised(word) for word in _CONTRACTED}


def without_punctuation(text: str) -> str:
    """As `processPunctuation` there: a mark beside a space goes, one between letters becomes one.

    In a text with a comma between digits all marks go.
    """
    found = text
    is_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if beside_space or is_number else " ")
    return _PERIOD.sub("", found)


def plain(text: str) -> str:
    """As `processDigitArticle` there: lower case, numbers as digits, no articles."""
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(given: str, answers: Sequence[str]) -> float:
    """0 to 1: the mean over all but one of the people's answers of min(1, who agree / 3).

    As there, an answer that everybody gave is compared as it was written. With fewer than ten
    answers, ENOUGH is at most how many others there are; with one, it is right or wrong.
    """
    said = plain(without_punctuation(given.replace("\n", " ").replace("\t", " ").strip()))
    true = list(answers)
    if len(set(true)) > 1:
        true = [without_punctuation(each) for each in true]
    if len(true) == 1:
        return float(plain(without_punctuation(true[0])) == said)
    agree = [each == said for each in true]
    enough = min(ENOUGH, len(true) - 1)
    shares = [min(1.0, (sum(agree) - own) / enough) for own in agree]
    return sum(shares) / len(shares)


# ANLS

FAR = 0.5  # the normalised distance from which an answer counts as wrong


def anls(given: str, answers: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity of one answer, 0 to 1; the best of `answers`.

    Source: Biten et al. 2019, "Scene Text Visual Question Answering" (arXiv 1905.13648), with the
    case and the spaces at the ends left out of account, as the challenge does.
    """

    def similarity(true: str) -> float:
        said, true = " ".join(given.lower().split()), " ".join(true.lower().split())
        longest = max(len(said), len(true))
        distance = edit_distance(said, true) / longest if longest else 0.0
        return 1 - distance if distance < FAR else 0.0

    return max(map(similarity, answers))


# Yes or no


@dataclass(frozen=True)
class YesNo:
    """Rates of POPE (Li et al. 2023, arXiv 2305.10355), "yes" being what is looked for.

    An answer that is neither counts as wrong and in `invalid`, not as a "no"; NaN where a rate has
    nothing to count.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes: float
    invalid: int


def yes_no(pairs: Sequence[tuple[str, str]]) -> YesNo:
    """From (given, true) texts, of which the true ones are "yes" or "no"."""
    said = [(plain(without_punctuation(given)), true) for given, true in pairs]
    counts = Counter(said)
    right = counts["yes", "yes"]
    all_yes = right + counts["yes", "no"]
    wanted = sum(true == "yes" for _, true in said)
    precision, recall = _rate(right, all_yes), _rate(right, wanted)
    return YesNo(
        accuracy=_rate(right + counts["no", "no"], len(said)),
        precision=precision,
        recall=recall,
        f1=_rate(2 * right, all_yes + wanted),
        yes=_rate(all_yes, len(said)),
        invalid=sum(given not in ("yes", "no") for given, _ in said),
    )


def _rate(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


# Captions

LONGEST_GRAM = 4
LENGTH_SIGMA = 6.0
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?:[\"'”’)]*)(?=\s|$)")

Grams = Counter[tuple[str, ...]]


def words(caption: str) -> list[str]:
    """Lower-case words without punctuation; coco-caption's Java tokenizer splits a few otherwise,
    such as "it's" into two."""
    return _WORD.findall(caption.lower())


def cider(given: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption, 0 to 10; how rare an n-gram is, the references of all items say.

    Source: Vedantam et al. 2015 (arXiv 1411.5726) and `cider_scorer.py` of coco-caption. With one
    item every n-gram is in every document, and all scores are 0.
    """
    true = [[_grams(words(each)) for each in item] for item in references]
    documents: Grams = Counter()
    for item in true:
        documents.update({gram for each in item for gram in each})
    log_items = math.log(max(len(true), 1))

    def vector(grams: Grams) -> tuple[list[dict[tuple[str, ...], float]], list[float], int]:
        by_length: list[dict[tuple[str, ...], float]] = [{} for _ in range(LONGEST_GRAM)]
        for gram, count in grams.items():
            rarity = log_items - math.log(max(1.0, documents[gram]))
            by_length[len(gram) - 1][gram] = count * rarity
        norms = [math.sqrt(sum(v * v for v in each.values())) for each in by_length]
        # Twice as many as bigrams: how coco-caption counts the length.
        return by_length, norms, sum(n for gram, n in grams.items() if len(gram) == 2)

    scores = []
    for caption, item in zip(given, true, strict=True):
        said, said_norms, said_length = vector(_grams(words(caption)))
        total = 0.0
        for each in item:
            there, norms, length = vector(each)
            nearness = math.exp(-((said_length - length) ** 2) / (2 * LENGTH_SIGMA**2))
            for n in range(LONGEST_GRAM):
                # Clipped: a word that is said too often counts as often as it is true.
                shared = sum(
                    min(value, there[n][gram]) * there[n][gram]
                    for gram, value in said[n].items()
                    if gram in there[n]
                )
                both = said_norms[n] * norms[n]
                total += nearness * (shared / both if both else 0.0) / LONGEST_GRAM
        scores.append(10 * total / len(item))
    return scores


def _grams(tokens: Sequence[str]) -> Grams:
    return Counter(
        tuple(tokens[start : start + length])
        for length in range(1, LONGEST_GRAM + 1)
        for start in range(len(tokens) - length + 1)
    )


def sentences(caption: str) -> int:
    """How many sentences a caption has: end marks before a space or the end, at least one."""
    return max(1, len(_SENTENCE_END.findall(caption.strip()))) if caption.strip() else 0
