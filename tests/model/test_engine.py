"""Tokens as they come, and an end in every case."""

from __future__ import annotations

import dataclasses
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from PIL import Image

from models.engine.detokenizer import Detokenizer
from models.engine.engine import Engine, generate
from models.engine.inputs import prepare
from models.engine.sampling import GumbelNoise
from models.engine.sequence import Finished
from models.layers.decoder import Decoder
from models.schema import Timings, TokenEvent, UserError
from tests.choosing import answer, load

SOON_S = 120.0


class Steps:
    """Counts the steps of a model, and calls a function before each with the count."""

    def __init__(self):
        self.count = 0
        self.before: Callable[[int], None] = lambda count: None

    def __call__(self, *arguments) -> None:
        self.count += 1
        self.before(self.count)


@pytest.fixture
def steps(nano, monkeypatch) -> Iterator[Steps]:
    """The steps that nano makes during a test; the first takes in the picture and the prompt."""
    counter = Steps()
    prefill, step = Decoder.prefill, Decoder.step

    def counted(method):
        def call(*arguments):
            counter()
            return method(*arguments)

        return call

    monkeypatch.setattr(Decoder, "prefill", counted(prefill))
    monkeypatch.setattr(Decoder, "step", counted(step))
    hook = nano.model.register_forward_pre_hook(counter)  # beams go through the model
    yield counter
    hook.remove()


@pytest.fixture
def clock(steps, monkeypatch) -> Steps:
    """The engine's clock goes by the steps of the model: one second each."""
    by_steps = types.SimpleNamespace(monotonic=lambda: float(steps.count))
    for module in ("engine", "sequence"):
        monkeypatch.setattr(f"models.engine.{module}.time", by_steps)
    return steps


def run(loaded, request) -> tuple[list[TokenEvent], Finished]:
    *tokens, end = generate(loaded, request)
    assert isinstance(end, Finished)
    assert all(isinstance(each, TokenEvent) for each in tokens)
    return tokens, end


def reference(loaded, request, **options) -> list[int]:
    """What `transformers` alone generates, without the end token."""
    inputs = prepare(loaded, request.image, request.prompt)
    output = loaded.model.generate(
        **inputs, max_new_tokens=request.decoding.max_new_tokens, do_sample=False, **options
    )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    return [each for each in ids if each not in Detokenizer(loaded.processor).silent_ids]


def decoded(loaded, ids: list[int]) -> str:
    return loaded.processor.tokenizer.decode(ids, skip_special_tokens=False)


def test_the_prefix_is_marked_for_the_model(nano, ask):
    request = ask("caption en")
    inputs = prepare(nano, request.image, request.prompt)
    assert inputs["token_type_ids"].shape == inputs["input_ids"].shape
    tokenizer = nano.processor.tokenizer
    ids = inputs["input_ids"][0].tolist()
    assert ids[:197] == [nano.processor.image_token_id] * 196 + [tokenizer.bos_token_id]
    assert tokenizer.decode(ids[197:]) == "caption en\n"


@pytest.mark.parametrize("prompt", ["describe en", "detect cat ; dog"])
def test_greedy_tokens_are_those_of_transformers(nano, ask, prompt):
    request = ask(prompt, tokens=12)
    tokens, end = run(nano, request)
    ids = [each.token_id for each in tokens]
    assert ids == reference(nano, request)
    assert end.text == decoded(nano, ids)


def test_events_grow_into_the_text(nano, ask):
    tokens, end = run(nano, ask(tokens=6))
    assert [each.index for each in tokens] == list(range(len(tokens)))
    assert "".join(each.piece for each in tokens) == tokens[-1].text == end.text
    assert end.tokens == len(tokens)
    elapsed = [each.elapsed_s for each in tokens]
    assert elapsed == sorted(elapsed)
    assert end.first_token_s == elapsed[0]


def test_beams_give_one_event_with_their_best_text(nano, ask):
    request = ask(tokens=6, num_beams=3)
    tokens, end = run(nano, request)
    assert len(tokens) == 1
    assert tokens[0].text == end.text == decoded(nano, reference(nano, request, num_beams=3))


def test_the_end_token_ends_the_answer_and_is_not_in_it(nano, ask, monkeypatch):
    first = run(nano, ask(tokens=1))[0][0].token_id
    monkeypatch.setattr(nano.model.generation_config, "eos_token_id", [first])
    tokens, end = run(nano, ask(tokens=5))
    assert (tokens, end.text, end.tokens, end.finish_reason) == ([], "", 0, "eos")


def test_the_token_limit_ends_the_answer(nano, ask, monkeypatch):
    monkeypatch.setattr(nano.model.generation_config, "eos_token_id", None)
    _, end = run(nano, ask(tokens=1))
    assert (end.finish_reason, end.tokens) == ("length", 1)


def test_the_clock_stops_at_the_last_token_of_the_text(nano, ask, monkeypatch, clock):
    monkeypatch.setattr(nano.model.generation_config, "eos_token_id", None)
    ids = [each.token_id for each in run(nano, ask(tokens=8))[0]]
    last = next(index for index in range(3, 8) if ids[index] not in ids[:index])
    monkeypatch.setattr(nano.model.generation_config, "eos_token_id", [ids[last]])
    clock.count = 0
    _, end = run(nano, ask(tokens=8))
    assert (end.finish_reason, end.tokens, clock.count) == ("eos", last, last + 1)
    assert (end.first_token_s, end.decode_s) == (1.0, last - 1)


def test_beams_have_no_rate(nano, ask, clock):
    _, end = run(nano, ask(tokens=4, num_beams=2))
    assert end.tokens > 1
    assert (end.first_token_s, end.decode_s) == (float(clock.count), 0.0)
    timings = Timings(0.0, end.first_token_s, end.decode_s, end.tokens)
    assert timings.tokens_per_s == 0.0


@pytest.mark.parametrize("beams", [1, 2])
def test_cancelling_stops_at_the_next_token(nano, ask, monkeypatch, steps, beams):
    never_ends(nano, monkeypatch)
    cancelled = threading.Event()
    steps.before = lambda count: cancelled.set() if count == 3 else None
    *_, end = generate(nano, ask(tokens=20, num_beams=beams), cancelled)
    assert end.finish_reason == "cancelled"
    assert steps.count == 3


def test_closing_the_generator_stops_the_work(nano, ask, monkeypatch, steps):
    never_ends(nano, monkeypatch)
    events = generate(nano, ask(tokens=20))
    assert [next(events).index, next(events).index] == [0, 1]
    events.close()
    assert steps.count == 2


def test_a_cancelled_request_costs_nothing(nano, ask):
    cancelled = threading.Event()
    cancelled.set()
    (end,) = generate(nano, ask(), cancelled)
    assert (end.finish_reason, end.tokens) == ("cancelled", 0)


@pytest.mark.parametrize("beams", [1, 2])
def test_the_deadline_ends_the_answer(nano, ask, monkeypatch, clock, beams):
    never_ends(nano, monkeypatch)
    _, end = run(nano, ask(tokens=20, deadline_s=3.0, num_beams=beams))
    assert end.finish_reason == "deadline"
    assert (end.tokens, clock.count) == (3, 3)


def test_what_the_work_raises_reaches_the_caller(nano, ask):
    broken = dataclasses.replace(ask(), image=None)
    with pytest.raises(AttributeError):
        list(generate(nano, broken))
    _, end = run(nano, ask(tokens=1))
    assert end.text == decoded(nano, reference(nano, ask(tokens=1)))


def test_what_a_step_raises_ends_the_work(nano, ask, monkeypatch, steps):
    never_ends(nano, monkeypatch)

    def fail(count: int) -> None:
        if count == 2:
            raise ZeroDivisionError("of this step")

    steps.before = fail
    events = generate(nano, ask(tokens=20))
    assert isinstance(next(events), TokenEvent)
    with pytest.raises(ZeroDivisionError, match="of this step"):
        list(events)
    assert steps.count == 2


def test_the_same_seed_samples_the_same_text(nano, ask):
    request = ask(tokens=8, temperature=1.5, seed=7)
    torch.manual_seed(1)
    first = run(nano, request)[1].text
    torch.manual_seed(2)
    assert run(nano, request)[1].text == first


def test_sampling_from_one_candidate_is_greedy(nano, ask):
    greedy = run(nano, ask(tokens=6))[1].text
    assert run(nano, ask(tokens=6, temperature=1.0, top_k=1))[1].text == greedy
    assert run(nano, ask(tokens=6, temperature=1.0, top_p=0.01))[1].text == greedy


def test_draws_follow_the_softmax():
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    draw = GumbelNoise(seed=0)
    scores = probabilities.log()[None].expand(20_000, -1)
    drawn = Counter(draw(torch.zeros(0), scores).argmax(-1).tolist())
    frequencies = torch.tensor([drawn[index] / 20_000 for index in range(5)])
    assert torch.allclose(frequencies, probabilities, atol=0.015)


def test_the_model_answers_in_bf16_too(ask):
    loaded = load("bf16")
    assert loaded.dtype is torch.bfloat16
    assert next(loaded.model.parameters()).dtype is torch.bfloat16
    assert run(loaded, ask(tokens=2))[1].finish_reason in ("length", "eos")


def byte_ids(nano, data: bytes) -> list[int]:
    tokenizer = nano.processor.tokenizer
    return [tokenizer.convert_tokens_to_ids(f"<0x{value:02X}>") for value in data]


def texts(nano, ids: list[int]) -> list[str]:
    """The text after each token."""
    detokenizer = Detokenizer(nano.processor)
    seen = []
    for token_id in ids:
        detokenizer.add(token_id)
        seen.append(detokenizer.text)
    return seen


def test_characters_of_several_bytes_come_whole(nano):
    seen = texts(nano, byte_ids(nano, "🦤é".encode()))
    assert seen == ["", "", "", "🦤", "🦤", "🦤é"]


def test_bytes_between_words_come_in_their_place(nano):
    word = nano.processor.tokenizer.convert_tokens_to_ids("<loc0007>")
    seen = texts(nano, [word, *byte_ids(nano, "ж".encode()), word])
    assert seen == ["<loc0007>", "<loc0007>", "<loc0007>ж", "<loc0007>ж<loc0007>"]


@pytest.mark.parametrize("broken", [b"\xf0\x9f", b"\xff", b"\x80", b"\xc3\xc3", b"\xe2\x28"])
def test_bytes_that_form_no_character_are_left_out(nano, broken):
    good = byte_ids(nano, "é".encode())
    word = nano.processor.tokenizer.convert_tokens_to_ids("<seg001>")
    seen = texts(nano, [*good, *byte_ids(nano, broken), word, *good])
    assert not any("\ufffd" in each for each in seen)
    assert seen[-1].replace("(", "") == "é<seg001>é"
    assert all(after.startswith(before) for before, after in pairwise(seen))


def test_any_text_survives_token_by_token(nano):
    text = "a cat ; 猫 и собака 🦤 <loc0001><seg001>  two  spaces, été\n"
    ids = nano.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    seen = texts(nano, ids)
    assert seen[-1] == text
    assert not any("\ufffd" in each for each in seen)


def test_padding_and_markers_are_silent(nano):
    tokenizer = nano.processor.tokenizer
    silent = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert texts(nano, [*silent, nano.processor.image_token_id])[-1] == ""


def never_ends(nano, monkeypatch) -> None:
    monkeypatch.setattr(nano.model.generation_config, "eos_token_id", None)
    monkeypatch.setattr("models.engine.engine.eos_ids", lambda loaded: set())


class Uncomparable(Image.Image):
    """A picture that cannot be compared, as comparing twelve megapixels takes too long."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("pictures were compared")

    __hash__ = Image.Image.__hash__


def test_sequences_are_told_apart_without_comparing_pictures(nano, ask, serve):
    images = [Uncomparable() for _ in range(3)]
    for image in images:
        image.__dict__.update(Image.new("RGB", (32, 32), "white").__dict__)
    requests = [ask("caption en", tokens=4, image=image) for image in images]
    found = serve(Engine(nano, max_slots=3), requests)
    assert found[0] and found == [found[0]] * 3


def test_numbers_that_are_not_finite_end_an_answer_in_words(ask, run_all):
    damaged = load("fp32")
    with torch.no_grad():
        damaged.model.model.language_model.layers[2].mlp.up_proj.weight[0, 0] = float("nan")
    for options in ({}, {"temperature": 1.0}):
        with pytest.raises(UserError, match="nano-224 computes numbers that are not finite") as end:
            run_all(Engine(damaged, max_slots=1), [ask("caption en", **options)])
        assert end.value.remedy == "Its weights are damaged: fetch or save them again."


def test_an_adapter_is_named_where_numbers_are_not_finite_and_a_wider_precision_if_there_is(ask):
    damaged = load("bf16")
    with torch.no_grad():
        damaged.model.model.language_model.layers[2].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="nano-224 with the adapter easy-vqa computes") as end:
        list(answer(damaged, ask("caption en", adapter="easy-vqa")))
    assert "leave the adapter out, or choose fp32" in end.value.remedy
