"""The command line: `python -m models.generate`, for one request or a file of them.

It may import every package of `models`, torch only once there is something to answer: a bad file
shall cost neither time nor memory. It knows no page.
"""

from models.generate.arguments import FAILED, INTERRUPTED
from models.generate.cli import main

__all__ = ["FAILED", "INTERRUPTED", "main"]
