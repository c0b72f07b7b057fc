"""The command `python -m models.batch`: prompts about each of very many pictures.

It stands above `data`, which knows the pictures, the folder of a run and the formats that results
are exported in, and above all other packages of `models`. torch is imported only once there is
something to answer.
"""

from models.batch.cli import main

__all__ = ["main"]
