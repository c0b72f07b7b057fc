"""`python -m evaluation.evaluate`: how right a checkpoint's answers are on held-out scenes."""

import sys

from evaluation.nano.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
