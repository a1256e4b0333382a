"""`python -m v05` is the command `v05`."""

import sys

from .command_line import main

sys.exit(main())
