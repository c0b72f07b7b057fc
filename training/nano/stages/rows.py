"""Scenes become rows of text tokens: which prompts, what must come next, where it stands.

A row holds prompt after prompt of one scene. `exact` rows hold a single one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from training.nano.codec.codes import SceneCodes, writer
from training.nano.scenes.scene import Scene
from training.nano.stages import look
from training.nano.stages.point import Pointer, Span
from training.nano.tasks import empty, unknown
from training.nano.tasks.questions import LANGUAGES, Example, examples
from training.nano.tasks.wordings import Asker

IGNORED = -1
LOCATION_SHARE, CODE_SHARE = 3.0, 1.5  # weight of such a token relative to one of a word
LONGEST_EXACT = 72  # text tokens of a row of its own
WEIGHTS = {  # how often a kind is drawn, relative to 1
    "cap": 0.8, "caption": 4.0, "describe": 0.8, "question": 0.4, "ocr": 3.0, "is there": 1.2,
    "relation": 1.5, "segment one": 4.0, "segment several": 0.7, "segment absent": 0.1,
    "detect absent": 0.2, "detect one": 2.0, "region": 0.4, "largest": 0.7, "where": 0.3,
    "how many": 0.8, "what": 0.7, "background": 0.2,
    **{f"{task} {language}": 2.0 for task in ("cap", "caption") for language in LANGUAGES[1:]},
}  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """The token ids that training needs to know."""

    bos: int
    eos: int
    locations: tuple[int, ...]
    codes: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Reads them off a tokenizer."""
        ids = tokenizer.get_vocab()
        locations = tuple(ids[f"<loc{i:04d}>"] for i in range(1024))
        codes = tuple(ids[f"<seg{i:03d}>"] for i in range(128))
        return cls(tokenizer.bos_token_id, tokenizer.eos_token_id, locations, codes)


@dataclass(frozen=True)
class Prompt:
    """Ids from BOS to newline, ids up to EOS, and (place, float32[P]) of the places that point."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    points: tuple[tuple[int, np.ndarray], ...]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


class Maker:
    """Shapes scenes into rows; picklable, so that workers can hold it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        codec_path: str,
        text_budget: int,
        exact_prompts: int,
        exact_every: int,
        not_known: bool = False,
    ):
        """Each `exact_every`-th batch has exact rows (1 = all), `exact_prompts` of a scene.

        Scenes without objects are answered as pictures of nothing known where `not_known`.
        """
        self.tokenizer, self.codes_of = tokenizer, SceneCodes(codec_path)
        self.text_budget, self.exact_prompts, self.exact_every = (
            text_budget,
            exact_prompts,
            exact_every,
        )
        self.not_known = not_known
        self.vocabulary = Vocabulary.of(tokenizer)
        self.share = np.ones(len(tokenizer))
        self.share[list(self.vocabulary.locations)] = LOCATION_SHARE
        self.share[list(self.vocabulary.codes)] = CODE_SHARE

    def prompt(self, example: Example, pointer: Pointer) -> Prompt:
        """The tokens of an example, and where to look for them."""
        (prefix, asked), (suffix, said) = (
            self._tokens(example.prefix + "\n", pointer.asked(example.prefix)),
            self._tokens(example.suffix, pointer.said(example), pointer.printed(example)),
        )
        before = len(prefix)  # what predicts the first suffix token: BOS moves all by one
        points = [(last + 1, span.on) for _, last, span in asked]
        for first, last, span in said:
            points += [(before + number, span.on) for number in range(first, last + 1)]
        prefix = [self.vocabulary.bos, *prefix]
        return Prompt(tuple(prefix), (*suffix, self.vocabulary.eos), tuple(points))

    def _tokens(
        self, text: str, spans: Iterable[Span], spelled: range = range(0)
    ) -> tuple[list[int], list[tuple[int, int, Span]]]:
        """Ids of a text, and of each span the numbers of its first and last token.

        The characters that are `spelled` are a token each, as reading letters asks: pieces of more
        than one letter are learned far later.
        """
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        for start, end in pairwise([0, *spelled, spelled.stop, len(text)]):
            part = text[start:end]
            if part:
                read = self.tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
                ids += read["input_ids"]
                places += [(start + a, start + b) for a, b in read["offset_mapping"]]
        found = []
        for span in spans:
            inside = [
                number
                for number, (start, end) in enumerate(places)
                if start < span.end and end > span.start
            ]
            found.append((inside[0], inside[-1], span))
        return ids, found

    def choose(self, scene: Scene, codes: np.ndarray, rng: np.random.Generator) -> Iterator[Prompt]:
        """Prompts of a scene in random order, kinds of more weight earlier."""
        put = Asker(rng)
        if scene.objects:
            found = examples(scene, rng, writer(codes), put)
        elif self.not_known:
            found = unknown.examples(scene, rng, put)
        else:
            found = empty.examples(scene, rng, put)
        kinds: dict[str, int] = {}
        for example in found:
            kinds[example.kind] = kinds.get(example.kind, 0) + 1
        weight = np.array([WEIGHTS.get(e.kind, 1.0) / kinds[e.kind] ** 0.5 for e in found])
        weight *= [1 + e.suffix.count(";") for e in found]  # to list objects is hard
        order = np.argsort(rng.exponential(1.0, len(found)) / weight)
        pointer = Pointer(scene)
        for i in order:
            yield self.prompt(found[i], pointer)

    def __call__(self, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        """A batch: dense targets, and rows of text tokens padded to one length."""
        codes = [self.codes_of(scene) for scene in scenes]
        batch = look.make(scenes, codes)
        exact = (scenes[0].seed // max(1, len(scenes))) % self.exact_every == 0
        rows, owners = [], []
        for number, scene in enumerate(scenes):
            chosen = self.choose(scene, codes[number], np.random.default_rng(scene.seed + 1))
            if exact:
                short = (prompt for prompt in chosen if len(prompt) <= LONGEST_EXACT)
                found = [[prompt] for prompt in islice(short, self.exact_prompts)]
            else:
                found = [self.fill(chosen)]
            rows += found
            owners += [number] * len(found)
        batch |= self.pack(rows)
        batch["owner"] = torch.tensor(owners)
        batch["exact"] = torch.tensor(exact)
        return batch

    def fill(self, chosen: Iterable[Prompt]) -> list[Prompt]:
        """Prompts in turn, as long as the text budget is not used up."""
        row, left = [], self.text_budget
        for prompt in chosen:
            if len(prompt) <= left:
                row.append(prompt)
                left -= len(prompt)
            if left < 10:
                break
        return row

    def pack(self, rows: list[list[Prompt]]) -> dict[str, torch.Tensor]:
        """ids, which prompt of the row, place in it, prefix or not, next token and its weight.

        And of each of N places that point: `point_row`, `point_at` int64[N], `point_on`
        float16[N, P].
        """
        shape = (len(rows), max(sum(len(prompt) for prompt in row) for row in rows))
        ids, prompts = np.zeros(shape, np.int64), np.full(shape, -2, np.int64)
        place, prefixed = np.zeros(shape, np.int64), np.zeros(shape, bool)
        target, weight = np.full(shape, IGNORED, np.int64), np.zeros(shape, np.float32)
        points: list[tuple[int, int, np.ndarray]] = []
        for r, row in enumerate(rows):
            start = 0
            for number, prompt in enumerate(row):
                window = slice(start, start + len(prompt))
                ids[r, window], prompts[r, window] = (*prompt.prefix, *prompt.suffix), number
                place[r, window] = np.arange(len(prompt))
                prefixed[r, start : start + len(prompt.prefix)] = True
                first = start + len(prompt.prefix) - 1
                said = slice(first, first + len(prompt.suffix))
                target[r, said] = prompt.suffix
                weight[r, said] = self.share[list(prompt.suffix)] / len(prompt.suffix) ** 0.5
                points += [(r, start + at, on) for at, on in prompt.points]
                start += len(prompt)
        names = ("ids", "prompt", "place", "prefixed", "target", "target_weight")
        arrays = (ids, prompts, place, prefixed, target, weight)
        batch = {n: torch.from_numpy(a) for n, a in zip(names, arrays, strict=True)}
        batch["point_row"] = torch.tensor([row for row, _, _ in points], dtype=torch.int64)
        batch["point_at"] = torch.tensor([at for _, at, _ in points], dtype=torch.int64)
        batch["point_on"] = torch.tensor(np.array([on for _, _, on in points], np.float16))
        return batch
