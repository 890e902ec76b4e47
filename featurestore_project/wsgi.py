"""The WSGI application that granian serves.

Not for settings or URLs.
"""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from featurestore_project import startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")

application = get_wsgi_application()
startup.refuse_evicting_redis()
