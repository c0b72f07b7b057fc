"""`python -m evaluation.benchmark`: how fast answers come, beside plain `generate`."""

import sys

from evaluation.speed.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
