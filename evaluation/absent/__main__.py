"""`python -m evaluation.absent`."""

import sys

from evaluation.absent.run import main

sys.exit(main())
