"""`python -m models.batch`."""

import sys

from models.batch.cli import main

sys.exit(main())
