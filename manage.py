#!/usr/bin/env python
"""Django's command line, for this project's settings.

Not for running the whole server: ``manage.py serve`` does that.
"""

from __future__ import annotations

import os
import re
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError

from featurestore_project.env import BadEnvironment
from lib.shells import serve_others
from lib.without_pandas import hide_pandas

SERVERS = {"serve", "runserver", "consume"}
#: What SQLite and PostgreSQL say of a table that no migration has made yet.
NO_TABLE = re.compile(r'no such table|relation "\w+" does not exist')


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")
    # What a command does is named after whoever runs it; a server serves others.
    if set(sys.argv[1:2]) & SERVERS:
        serve_others()
        hide_pandas()
    try:
        execute_from_command_line(sys.argv)
    except (BadEnvironment, ImproperlyConfigured) as exc:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"{exc}")
    except (OperationalError, ProgrammingError) as exc:
        if not NO_TABLE.search(str(exc)):
            raise
        said = " ".join(str(exc).split()[:8])
        sys.exit(f"The database has not all tables ({said}): run manage.py migrate first.")


if __name__ == "__main__":
    main()
