"""nano's tokenizer: a BPE of about 8,000 pieces with byte fallback, in the form of Gemma's.

Capitals and digits, of which prints are made, never merge: one piece is one letter, as reading
letters asks. Everything else merges within a word; punctuation stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import GemmaTokenizer, PaliGemmaProcessor, SiglipImageProcessorPil

PIECES = 8000
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")


def train(texts: Iterable[str], pieces: int = PIECES) -> GemmaTokenizer:
    """A tokenizer of `pieces` pieces, bytes included, learned from `texts`."""
    raw = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    raw.normalizer = normalizers.Replace(" ", "▁")
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[A-Z0-9](?!\p{Ll})"), "isolated"),
            pre_tokenizers.Split(Regex("[?.,;×、]"), "isolated"),
            pre_tokenizers.Split("▁", "merged_with_next"),
        ]
    )
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[*SPECIAL, *byte_tokens, "\n"],
        initial_alphabet=[chr(c) for c in range(33, 127)],
        show_progress=False,
        min_frequency=2,
    )
    raw.train_from_iterator(texts, trainer)
    return GemmaTokenizer(tokenizer_object=_plain(raw, byte_tokens))


def _plain(raw: Tokenizer, byte_tokens: list[str]) -> Tokenizer:
    """Makes the bytes ordinary pieces again (the trainer can only add them as special tokens)."""
    state = json.loads(raw.to_str())
    ordinary = {*byte_tokens, "\n"}
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in ordinary]
    return Tokenizer.from_str(json.dumps(state))


def processor(tokenizer: GemmaTokenizer, resolution: int, patch: int) -> PaliGemmaProcessor:
    """The family's processor around `tokenizer`; adds `<image>`, `<loc>` and `<seg>` to it."""
    side = {"height": resolution, "width": resolution}
    images: Any = SiglipImageProcessorPil(size=side, resample=3)
    images.image_seq_length = (resolution // patch) ** 2
    extra = [f"<loc{i:04d}>" for i in range(1024)] + [f"<seg{i:03d}>" for i in range(128)]
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in extra])
    return PaliGemmaProcessor(image_processor=images, tokenizer=tokenizer)
