"""``python -m softatoms`` is the command ``softatoms``."""

import sys

from .cli import main

sys.exit(main())
