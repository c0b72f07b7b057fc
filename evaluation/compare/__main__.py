"""`python -m evaluation.compare`."""

import sys

from evaluation.compare.cli import main

sys.exit(main())
