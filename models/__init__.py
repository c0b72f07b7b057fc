"""PaliGemma 2, from a request to its result: prompts, checkpoints, the engine, and who serves it.

It may import torch, transformers and peft; it does not know pages, HTTP or training.
"""
