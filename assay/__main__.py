"""Makes ``python -m assay`` the same as the ``assay`` command.
Not for anything else.
"""

from __future__ import annotations

import sys

from assay.cli import main

sys.exit(main())
