"""Token ids -> text, one token at a time.

This module knows no model and no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PaliGemmaProcessor


class Detokenizer:
    """Token ids -> text that only ever grows.

    Bytes of a character wait until it is whole, and bytes that form none are dropped, so the text
    has no replacement characters. `<loc>` and `<seg>` tokens stay in it; padding, BOS, EOS and
    `<image>` do not.
    """

    def __init__(self, processor: PaliGemmaProcessor):
        self._tokenizer = processor.tokenizer
        self.silent_ids = {
            self._tokenizer.pad_token_id,
            self._tokenizer.bos_token_id,
            self._tokenizer.eos_token_id,
            processor.image_token_id,
        }
        self._ids: list[int] = []
        self._pending: list[tuple[int, int]] = []  # (token id, byte) of an unfinished character
        self.text = ""

    def add(self, token_id: int) -> str:
        """Take one token; returns what it adds to the text, often nothing for a byte."""
        if token_id in self.silent_ids:
            return ""
        byte = _byte_of(self._tokenizer.convert_ids_to_tokens(token_id))
        if byte is None:
            self._pending.clear()
            self._ids.append(token_id)
        elif not self._add_byte(token_id, byte):
            return ""
        before = len(self.text)
        self.text = self._tokenizer.decode(
            self._ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return self.text[before:]

    def _add_byte(self, token_id: int, byte: int) -> bool:
        """Whether this byte completes a character, whose ids then count."""
        self._pending.append((token_id, byte))
        while self._pending:
            try:
                bytes(value for _, value in self._pending).decode("utf-8")
            except UnicodeDecodeError as error:
                if error.reason == "unexpected end of data":
                    return False
                del self._pending[0]
            else:
                self._ids += [each for each, _ in self._pending]
                self._pending.clear()
                return True
        return False


def _byte_of(token: str) -> int | None:
    """The byte that a byte-fallback token stands for, None for any other token."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return int(token[3:5], 16)
    return None
