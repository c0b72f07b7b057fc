"""`python -m models.generate`."""

import sys

from models.generate.cli import main

sys.exit(main())
