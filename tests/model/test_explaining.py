"""Explaining an answer: its tokens' probabilities and rivals, and where it looked."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch

from evaluation.explain import forced_pass
from evaluation.explain.methods import Subject, late_attention
from models.engine.engine import Engine
from models.engine.explaining import LAYERS
from models.engine.sequence import Finished
from models.schema import Explanation, TokenEvent, UserError
from tests.choosing import answer, load
from training.nano.scenes.scene import HELD_OUT, draw


def explained(loaded, request) -> tuple[Explanation, tuple[int, ...]]:
    """The explanation of the greedy answer to a request, and the answer's tokens."""
    *_, end = answer(loaded, request)
    assert isinstance(end, Finished)
    (found,) = answer(loaded, dataclasses.replace(request, answer_ids=end.token_ids))
    assert isinstance(found, Explanation)
    return found, end.token_ids


@pytest.mark.parametrize("prompt", ["caption en", "describe en", "detect pizza ; cat"])
def test_it_is_what_transformers_computes(nano, ask, prompt):
    """Also over more tokens than are read at once."""
    request = ask(prompt, tokens=80, image=draw(HELD_OUT + 3).image)
    found, ids = explained(nano, request)
    question = forced_pass.asked(nano, request.image, prompt, list(ids))
    with torch.no_grad():
        features = forced_pass.encode(nano, question.pixels)[0]
        expected = forced_pass.run(nano, features, question)
    shares = expected.logprobs.exp()
    for number, (token, token_id) in enumerate(zip(found.tokens, ids, strict=True)):
        assert token.probability == pytest.approx(float(shares[number, token_id]), abs=1e-4)
        best = shares[number].topk(5).values.tolist()
        assert [share for _, share in token.others] == pytest.approx(best, abs=1e-4)
        it = Subject(nano, question, expected, (number,), torch.empty(0), ())
        assert token.heat.ravel() == pytest.approx(late_attention(it, LAYERS), abs=1e-5)


def test_sliding_layers_see_their_window_alone(nano, ask, monkeypatch):
    """What was thought while the answer was written, which differs without a window."""
    request = ask("describe en", tokens=40, image=draw(HELD_OUT + 3).image)
    wide, _ = explained(nano, request)
    for holder in (nano.model.config.text_config, nano.model.model.language_model.config):
        monkeypatch.setattr(holder, "sliding_window", 20)
    *written, _ = answer(nano, request)
    found, _ = explained(nano, request)
    shares = [token.probability for token in found.tokens]
    logprobs = [event.logprob for event in written if event.piece]
    assert shares == pytest.approx(np.exp(logprobs)[: len(shares)], abs=1e-4)
    assert shares != pytest.approx([token.probability for token in wide.tokens], abs=1e-3)


def test_the_pieces_are_the_answer(nano, ask):
    found, _ = explained(nano, ask("caption en", tokens=30, image=draw(HELD_OUT + 3).image))
    *_, end = answer(nano, ask("caption en", tokens=30, image=draw(HELD_OUT + 3).image))
    assert "".join(token.piece for token in found.tokens) == end.text
    assert all(token.piece == token.others[0][0] for token in found.tokens)  # it was greedy


def test_it_points_at_what_it_names(nano, ask):
    """At most of it: single maps may miss, by measurement one in ten."""
    hits = []
    for seed in range(HELD_OUT + 40, HELD_OUT + 60):
        scene = draw(seed)
        found, _ = explained(nano, ask("caption en", tokens=40, image=scene.image))
        for thing in scene.objects:
            alike = [other for other in scene.objects if other.name == thing.name]
            named = [each for each in found.tokens if each.piece.strip() == thing.name]
            if len(alike) == len(named) == 1:
                place = np.unravel_index(named[0].heat[0].argmax(), named[0].heat[0].shape)
                y, x = (int((each + 0.5) * 16) for each in place)
                left, top, right, bottom = thing.box_xyxy_px
                hits.append(left - 8 <= x <= right + 8 and top - 8 <= y <= bottom + 8)
    assert len(hits) >= 15 and np.mean(hits) >= 0.8


def test_with_an_adapter_it_is_the_adapters(ask):
    own = load()  # others count on nano without adapters
    plain, ids = explained(own, ask("answer en what shape is in the image?", tokens=4))
    request = ask("answer en what shape is in the image?", tokens=4, adapter="easy-vqa")
    (other,) = answer(own, dataclasses.replace(request, answer_ids=ids))
    assert isinstance(other, Explanation)
    assert other.tokens[0].probability != pytest.approx(plain.tokens[0].probability, abs=1e-3)


def test_a_neighbour_goes_on_as_alone(nano, ask):
    alone = [e.token_id for e in answer(nano, ask(tokens=12)) if isinstance(e, TokenEvent)]
    request = ask("caption en", tokens=20, image=draw(HELD_OUT + 3).image)
    _, ids = explained(nano, request)
    engine = Engine(nano)
    neighbour = engine.answer(ask(tokens=12), threading.Event())
    explaining = engine.answer(dataclasses.replace(request, answer_ids=ids), threading.Event())
    written: list[int] = []
    found: list[Explanation] = []
    running = [neighbour, explaining]
    while running:
        for each in list(running):
            for event in each:
                if event is None:
                    break
                if isinstance(event, TokenEvent):
                    written.append(event.token_id)
                elif isinstance(event, Explanation):
                    found.append(event)
            else:
                running.remove(each)
        engine.step()
    assert written == alone
    assert len(found) == 1 and len(found[0].tokens) == len(ids)


@pytest.mark.parametrize("ids", [(), (-1,), (10**6,)])
def test_what_is_no_answer_is_refused(nano, ask, ids):
    with pytest.raises(UserError, match="no answer of nano-224"):
        list(answer(nano, dataclasses.replace(ask(), answer_ids=ids)))


def test_it_ends_when_nobody_waits(nano, ask):
    cancelled = threading.Event()
    cancelled.set()
    engine = Engine(nano)
    request = dataclasses.replace(ask(), answer_ids=(5, 6))
    assert not [e for e in engine.answer(request, cancelled) if isinstance(e, Explanation)]
    assert engine.has_room
