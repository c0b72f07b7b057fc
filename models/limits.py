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

# A batch on the page; the terminal's have no bounds but the disk's.
MAX_BATCH_PICTURES = 1000  # unless the deployment says otherwise
MAX_BATCH_PROMPTS = 8
MAX_BATCH_PICTURE_BYTES = 20_000_000  # of a file, as of every upload
MAX_BATCH_BYTES = 2_000_000_000  # of all its files, an archive's unpacked
MAX_BATCHES_BYTES = 20_000_000_000  # of all that are kept
MAX_BATCHES = 200  # that are kept
BATCHES_AT_WORK = 4  # at the same time; others wait
BATCH_REQUESTS = 12  # of all of them at a backend: a few rows of its engine stay free for visitors
BATCH_KEPT_S = 24 * 3600.0  # after it was last looked at
EMPTY_BATCH_KEPT_S = 600.0  # the same of one that nothing was asked yet
