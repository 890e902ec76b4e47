"""The WSGI application that granian serves: reads and pushes first, Django behind them.

Not for settings or URLs.
"""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")
django_application = get_wsgi_application()

from django.conf import settings  # noqa: E402

from featurestore_project import copies, private, startup  # noqa: E402 - its imports need the apps loaded
from featurestore_project.call_limits import CallLimits  # noqa: E402
from featurestore_project.compression import Compressed  # noqa: E402
from featurestore_project.cross_origin import CrossOrigin  # noqa: E402
from featurestore_project.encodings import PlainUtf8  # noqa: E402
from featurestore_project.request_ids import WithRequestId  # noqa: E402
from lib.shells import serve_others  # noqa: E402
from materialization.compute import scratch  # noqa: E402
from serving.ingest.door import PushesFirst  # noqa: E402
from serving.online.door import OnlineFirst  # noqa: E402

doors = OnlineFirst(PushesFirst(django_application))
compressed = Compressed(PlainUtf8(doors), least=settings.GZIP_FROM_BYTES)
limited = CallLimits(
    compressed, most=settings.CALLS_PER_MINUTE, most_of=settings.CALLS_PER_MINUTE_OF
)
application = WithRequestId(
    CrossOrigin(limited, origins=settings.CORS_ORIGINS) if settings.CORS_ORIGINS else limited
)
serve_others()
startup.refuse_roots_in_our_state()
startup.refuse_packages_in_our_state()
private.close_our_files()
startup.refuse_evicting_redis()
startup.refuse_lost_store()
scratch.remove_left_behind()
copies.keep_tidy()
# Where only reads are answered this is all that is loaded; rsgi loads more, and settles again.
startup.settle_memory()
