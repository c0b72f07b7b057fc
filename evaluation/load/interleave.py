"""Many requests at once, each with one of two adapters or none: is every answer its own?

    python -m evaluation.load.interleave --requests 3000 --threads 8

Two random adapters are made for nano in a temporary folder. Every choice is first answered by a
backend that knows only this one; then requests in a shuffled order come from several threads to
one backend, and each text is compared.
"""

from __future__ import annotations

import argparse
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.limits import MAX_DEADLINE_S
from models.loading.loader import Loader
from models.schema import Decoding, Request, Result
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("caption en", "describe en", "answer en how many objects are there?")
TOKENS = 4
ADAPTERS = ("first", "second")

Choice = tuple[str | None, str]  # adapter, prompt


def make_adapters(folder: Path) -> None:
    """Two LoRAs of random numbers, large enough to change what is said."""
    from peft import LoraConfig, get_peft_model

    for seed, name in enumerate(ADAPTERS):
        torch.manual_seed(seed)
        model = Loader(torch.device("cpu")).load(ModelKey(NANO, "fp32")).model
        config = LoraConfig(
            r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False
        )
        get_peft_model(model, config).save_pretrained(str(folder / name))


def text(backend: LocalBackend, choice: Choice) -> str:
    """The answer to a choice, the same for one backend and another."""
    adapter, prompt = choice
    *_, result = backend.answer(
        Request(
            draw(HELD_OUT).image,
            prompt,
            adapter=adapter,
            decoding=Decoding(max_new_tokens=TOKENS),
            deadline_s=MAX_DEADLINE_S,
        )
    )
    assert isinstance(result, Result)  # an answer ends with it
    return result.text


def wrong_answers(
    catalog: Catalog, requests: int, threads: int, seed: int = 0
) -> list[tuple[Choice, str, str]]:
    """Each answer that differs: what was asked, what came, what comes alone.

    ValueError where the adapters do not change the answers, so that nothing would be shown.
    """
    choices: list[Choice] = [(a, p) for a in (None, *ADAPTERS) for p in PROMPTS]
    alone: dict[Choice, str] = {}
    for adapter in (None, *ADAPTERS):
        backend = LocalBackend(catalog)
        alone |= {each: text(backend, each) for each in choices if each[0] == adapter}
        backend.close()
    if any(len({alone[a, p] for a in (None, *ADAPTERS)}) < 3 for p in PROMPTS):
        raise ValueError(f"adapters that change nothing show nothing: {alone}")
    order = (choices * (requests // len(choices) + 1))[:requests]
    random.Random(seed).shuffle(order)
    backend = LocalBackend(catalog, max_queued=threads)
    with ThreadPoolExecutor(threads) as pool:
        said = list(pool.map(lambda choice: text(backend, choice), order))
    backend.close()
    return [
        (choice, got, alone[choice])
        for choice, got in zip(order, said, strict=True)
        if got != alone[choice]
    ]


def with_adapters(folder: Path) -> Catalog:
    """A catalog with the adapters, which are made in a folder."""
    make_adapters(folder)
    catalog = Catalog()
    for name in ADAPTERS:
        catalog, _ = catalog.with_adapter(str(folder / name), NANO)
    return catalog


def main() -> None:
    """Command line; ends with 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        catalog = with_adapters(Path(folder))
        started = time.monotonic()
        wrong = wrong_answers(catalog, options.requests, options.threads)
        seconds = time.monotonic() - started
    print(f"{options.requests} requests from {options.threads} threads in {seconds:.0f} s:")
    print(f"{len(wrong)} wrong answers", *wrong[:5], sep="\n")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
