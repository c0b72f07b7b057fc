"""What third parties' libraries print of themselves: progress bars, warnings, advice.

A person at a terminal or at the page cannot act on it, and what fails is told in our own words.
"""

from __future__ import annotations

import logging
import sys
import warnings

_TALKATIVE = ("bitsandbytes", "httpx", "huggingface_hub", "peft", "torchvision", "transformers")


def silence_libraries() -> None:
    """Let them print errors only. Warnings come all the same where Python was asked for them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    # After the import, as transformers and huggingface_hub set a level of their own there.
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
