"""`python -m training.finetune`."""

import sys

from training.finetune.cli import main

sys.exit(main())
