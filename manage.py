#!/usr/bin/env python
"""Django's command line, for this project's settings.

Not for running the whole server: ``manage.py serve`` does that.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")
    execute_from_command_line(sys.argv)
