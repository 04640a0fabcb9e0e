"""`python -m dumpkit`."""

import sys

from dumpkit.cli import main

sys.exit(main())
