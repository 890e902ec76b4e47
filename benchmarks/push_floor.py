"""The floor of pushes: a bare Django view that merges the rows of a JSON body and logs it.

No middleware, rights, types, checks, sequences or table: what is left is what every push costs at
least. One round trip to the same Redis, by the same script that merges.
"""

from __future__ import annotations

import os

import msgspec
import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from materialization.stores.merging import MERGE

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
client = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
sha = client.script_load(MERGE)
pack = msgspec.msgpack.Encoder().encode
TIME = 2**40


def push(request: HttpRequest) -> HttpResponse:
    columns = msgspec.json.decode(request.body)["df"]
    keys = [b"floor{%d}" % key for key in columns.pop("driver_id")]
    columns.pop("at")
    rows = [pack([TIME, 0, 1, *row]) for row in zip(*columns.values(), strict=True)]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.evalsha(sha, len(keys), *keys, *rows)
        pipeline.xadd("floor", {"d": request.body}, maxlen=10)
        written = pipeline.execute()[0]
    answer = msgspec.json.encode({"taken": written})
    headers = {"Content-Length": str(len(answer))}
    return HttpResponse(answer, content_type="application/json", headers=headers)


urlpatterns = [path("push", push)]
application = get_wsgi_application()
