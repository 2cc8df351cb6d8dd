"""`python -m copier` is `sqlite2pg`."""

import sys

from copier.cli import main

sys.exit(main())
