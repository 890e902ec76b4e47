"""The floor of online reads: a bare Django view that reads the same rows by MGET and answers JSON.

No middleware, rights, types, statuses or TTL: what is left is what every answer costs at least.
"""

from __future__ import annotations

import os

import msgspec
import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
client = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
PREFIX = os.environ["KEY_PREFIX"].encode()
decode_row = msgspec.msgpack.Decoder(list).decode


def read(request: HttpRequest) -> HttpResponse:
    asked = msgspec.json.decode(request.body)["entities"]["driver_id"]
    found = client.mget([b"%b%d}" % (PREFIX, key) for key in asked])
    rows = [decode_row(row)[3:] if row else None for row in found]
    answer = msgspec.json.encode({"results": rows})
    # Without a length, which a middleware would add, granian answers in chunks.
    headers = {"Content-Length": str(len(answer))}
    return HttpResponse(answer, content_type="application/json", headers=headers)


urlpatterns = [path("get-online-features", read)]
application = get_wsgi_application()
