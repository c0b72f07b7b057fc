"""How right a text is, from a given answer and the true ones.

Every function here is pure and knows neither models nor data. Each gives one number per answer,
or per caption, so that an interval can be drawn around their mean; the exceptions say so.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.estimates import Estimate, bootstrap, mean

VQA_ANSWERS = 10  # that VQA asks people for
VQA_ENOUGH = 3  # of the others said the same
ANLS_THRESHOLD = 0.5
CIDER_LENGTHS = (1, 2, 3, 4)  # of n-grams, in words
CIDER_SIGMA = 6.0

# Comparison by characters


def normalized(text: str) -> str:
    """The text in lower case, with single spaces and without an end mark."""
    return " ".join(text.casefold().split()).rstrip(".")


def is_exact(given: str, accept: Iterable[str]) -> bool:
    """Whether the answer is one of those that are true, but for case and spaces."""
    return normalized(given) in {normalized(text) for text in accept}


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def character_error_rate(given: str, true: str) -> float:
    """Edit distance per true character; above 1 where much is made up."""
    return edit_distance(given, true) / max(1, len(true))


# VQA accuracy

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32  # the official code hands re.UNICODE to `sub` where it takes a count
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {word: str(number) for number, word in enumerate(
    "zero one two three four five six seven eight nine ten".split()
)} | {"none": "0"}  # fmt: skip
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
    mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
""".split()
# Each is meant where one of its apostrophes is missing; the list has one word the wrong way round.
_MEANT = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS
    for place, character in enumerate(word)
    if character == "'"
} | {"somebody'd": "somebodyd"}


def vqa_words(text: str) -> str:
    """An answer as the VQA challenge compares it.

    Punctuation becomes a space, or nothing where the text has it beside a space anywhere or has a
    number with a comma; number words become digits, articles go, apostrophes are put back. As in
    processPunctuation and processDigitArticle of vqaEval.py (github.com/GT-Vision-Lab/VQA).
    """
    joins = _COMMA_IN_NUMBER.search(text) is not None
    out = text
    for mark in _PUNCTUATION:
        beside = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if joins or beside else " ")
    out = _PERIOD.sub("", out, count=_MOST_PERIODS)
    words = (_NUMBERS.get(word, word) for word in out.lower().split())
    return " ".join(_MEANT.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(given: str, answers: Sequence[str]) -> float:
    """VQA accuracy in [0, 1], as the challenge's vqaEval.py has it.

    The mean, over leaving out each of the people's answers, of min(1, others that match / 3). Like
    the official code it processes the given and the true answers only where the true ones are not
    all the same; otherwise just line breaks and outer spaces are ignored, so case counts. Copies of
    its older versions process the given answer always, and of true ones the punctuation alone.

    The formula is for VQA_ANSWERS answers. Of fewer the given one has to match any, all processed.
    """
    given, *true = (_one_line(each) for each in (given, *answers))
    if len(true) < VQA_ANSWERS:
        return float(vqa_words(given) in {vqa_words(each) for each in true})
    if len(set(true)) > 1:
        given, *true = (vqa_words(each) for each in (given, *true))
    matching = true.count(given)
    total = sum(min(1.0, (matching - (each == given)) / VQA_ENOUGH) for each in true)
    return total / len(true)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


# Texts that are read


def anls(given: str, answers: Iterable[str]) -> float:
    """Average normalised Levenshtein similarity of one answer, in [0, 1], to the nearest true one.

    1 − edits / length of the longer text, and 0 where that is not above 1 − ANLS_THRESHOLD; case
    and spaces do not count. As in ST-VQA (arXiv 1905.13648) and DocVQA.
    """
    return max((_similarity(given, each) for each in answers), default=0.0)


def _similarity(given: str, true: str) -> float:
    given, true = (" ".join(text.lower().split()) for text in (given, true))
    longest = max(len(given), len(true))
    distance = edit_distance(given, true) / longest if longest else 0.0
    return 1.0 - distance if distance < ANLS_THRESHOLD else 0.0


# Yes or no


@dataclass(frozen=True)
class YesNo:
    """How well questions of yes or no are answered; each counts all answers and is in [0, 1].

    `yes` is the share of answers that say yes, `invalid` of those that say neither.
    """

    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    yes: Estimate
    invalid: Estimate


def yes_or_no(text: str) -> bool | None:
    """Whether an answer says yes or no with its first word; None where it says neither."""
    first = re.match(r"\W*(\w+)", text)
    return {"yes": True, "no": False}.get(first[1].lower()) if first else None


def yes_no(given: Sequence[str], true: Sequence[bool]) -> YesNo:
    """The numbers of POPE (arXiv 2305.10355), where yes is what is to be found.

    Its own code takes whatever has no "no" or "not" for a yes. Here an answer that says neither is
    invalid: wrong, and neither a yes nor a no. Precision, recall and F1 are of all answers
    together, NaN where nothing is counted, and their intervals come from resampling answers.
    """
    said = [yes_or_no(text) for text in given]
    rows = np.array(
        [(is_yes, each is True, each is is_yes) for each, is_yes in zip(said, true, strict=True)],
        np.float64,
    ).reshape(-1, 3)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else math.nan

    def precision(drawn: np.ndarray) -> float:
        return share((drawn[:, 0] * drawn[:, 1]).sum(), drawn[:, 1].sum())

    def recall(drawn: np.ndarray) -> float:
        return share((drawn[:, 0] * drawn[:, 1]).sum(), drawn[:, 0].sum())

    def f1(drawn: np.ndarray) -> float:
        return share(2 * (drawn[:, 0] * drawn[:, 1]).sum(), drawn[:, :2].sum())

    return YesNo(
        accuracy=mean(rows[:, 2]),
        precision=bootstrap(rows, precision),
        recall=bootstrap(rows, recall),
        f1=bootstrap(rows, f1),
        yes=mean(rows[:, 1]),
        invalid=mean([float(each is None) for each in said]),
    )


# Captions

_WORD = re.compile(
    r"\d+(?:[.,:/]\d+)+"  # 3.5, 1,000, 10:30
    r"|\w+?(?=n't\b)|n't\b|'(?:s|m|d|ll|re|ve)\b"  # do n't, cat 's
    r"|\w+(?:-\w+)*"  # t-shirt
)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)]*(?:\s+|$)")


def caption_words(text: str) -> list[str]:
    """The words of a caption in lower case, without punctuation.

    Near to the Penn Treebank tokenizer of pycocoevalcap, which needs Java: contractions are cut as
    there and hyphens kept. There symbols and parentheses are words ("$", "-lrb-"), "u.s." is one
    and "cannot" two; here not. In scripts without spaces neither finds words.
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def cider(given: Sequence[str], answers: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption, in [0, 10]; papers give 100 times the mean.

    As pycocoevalcap's Cider on words of `caption_words` (arXiv 1411.5726): the clipped cosine of
    tf-idf vectors of n-grams, less where lengths differ, averaged over n = 1 to 4 and the true
    captions, times 10. How rare an n-gram is follows from the true captions of all pictures, so
    numbers of different sets do not compare, and one picture alone scores 0.
    """
    true = [[_ngrams(each) for each in own] for own in answers]
    seen_in = Counter(gram for own in true for gram in set().union(*own))
    pictures = math.log(len(true)) if true else 0.0

    def weigh(grams: Counter) -> tuple[dict[tuple[str, ...], float], np.ndarray, int]:
        """Weights, their norm for each length, and the number of pairs of words."""
        weights = {
            gram: count * (pictures - math.log(max(1, seen_in[gram])))
            for gram, count in grams.items()
        }
        norm, pairs = np.zeros(len(CIDER_LENGTHS)), 0
        for gram, weight in weights.items():
            norm[len(gram) - 1] += weight**2
            pairs += grams[gram] if len(gram) == 2 else 0
        return weights, np.sqrt(norm), pairs

    scores = []
    for text, own in zip(given, true, strict=True):
        weights, norm, pairs = weigh(_ngrams(text))
        total = 0.0
        for reference in own:
            their_weights, their_norm, their_pairs = weigh(reference)
            shared = np.zeros(len(CIDER_LENGTHS))
            for gram, weight in weights.items():
                theirs = their_weights.get(gram, 0.0)
                shared[len(gram) - 1] += min(weight, theirs) * theirs
            lengths = norm * their_norm
            cosine = np.divide(shared, lengths, out=np.zeros_like(shared), where=lengths > 0)
            total += cosine.mean() * math.exp(-((pairs - their_pairs) ** 2) / 2 / CIDER_SIGMA**2)
        scores.append(10.0 * total / max(1, len(own)))
    return scores


def _ngrams(text: str) -> Counter[tuple[str, ...]]:
    words = caption_words(text)
    return Counter(
        tuple(words[start : start + length])
        for length in CIDER_LENGTHS
        for start in range(len(words) - length + 1)
    )


def sentences(text: str) -> int:
    """How many sentences a text has: pieces up to `.`, `!` or `?` before a space or the end.

    An abbreviation before a space counts as an end. Text after the last mark is a sentence too.
    """
    return sum(bool(piece.strip()) for piece in _SENTENCE_END.split(text))


# Kinds of answers

_COLOURS = frozenset(
    "black gray grey white red blue green brown yellow teal orange pink purple".split()
)
_SHAPES = frozenset("circle rectangle triangle square ellipse star".split())


def kind_of_answer(text: str) -> str:
    """What kind of thing a true answer is: "yes or no", "number", "colour", "shape" or "other"."""
    words = vqa_words(text)
    if normalized(text) in ("yes", "no"):
        return "yes or no"
    if words.isdigit():
        return "number"
    if words in _COLOURS:
        return "colour"
    return "shape" if words in _SHAPES else "other"
