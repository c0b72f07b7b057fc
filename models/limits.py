"""The limits of a request and of the queues, in one place.

This module imports nothing, so that page, command line, engine and evaluation can all read it.
"""

from __future__ import annotations

# Prompts. A character of a rare script takes up to four tokens.
MAX_PROMPT_CHARACTERS = 500  # the checkpoints were trained on 128 or 512 tokens in all
MAX_PROMPT_TOKENS = 1024  # of text, beside those of the picture

# Pictures of one prompt, where the checkpoint's context has room for them.
MAX_IMAGES = 4

# Decoding, both ends of each range included.
MAX_NEW_TOKENS = 1024
MAX_BEAMS = 8
MIN_TEMPERATURE = 0.01  # below it a draw is the likeliest token, and soon no number at all
MAX_TEMPERATURE = 2
MAX_TOP_K = 1000
MIN_TOP_P = 0.01
MAX_SEED = 2**63 - 1

# Seconds that an answer may take.
MIN_DEFAULT_DEADLINE_S = 120.0
MAX_DEADLINE_S = 3600.0
MAX_GPU_SECONDS = 120  # asked of ZeroGPU, which `spaces` may multiply

MAX_QUEUED_REQUESTS = 32  # of one loaded model, those that are answered among them
