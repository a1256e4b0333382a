"""`python -m v05` is the command `v05`."""

import sys

from .commands.command_line import main

sys.exit(main())
