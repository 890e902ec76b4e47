"""Somebody who asks for what a worker makes, over HTTP; each world has the address of its own."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tests import factories

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client


class Asking:
    """Somebody who asks over HTTP."""

    url: ClassVar[str]

    def __init__(self, client: Client, user: User | None) -> None:
        token = factories.token_for(user) if user is not None else None
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def named(cls, client: Client, cast: factories.Cast, who: str) -> Self:
        """Return who is called so in the cast; ``anonymous`` is nobody."""
        return cls(client, None if who == "anonymous" else getattr(cast, who))

    def get(self, path: str = "", headers: dict[str, str] | None = None, **query: Any) -> Any:
        sent = {**self._headers, **(headers or {})}
        return self._client.get(f"{self.url}{path}", query, headers=sent)

    def head(self, path: str, headers: dict[str, str] | None = None) -> Any:
        sent = {**self._headers, **(headers or {})}
        return self._client.head(f"{self.url}{path}", headers=sent)

    def post(self, path: str = "", body: Any = None, **more: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else b""
        sent = {"content_type": "application/json", **more}
        return self._client.post(f"{self.url}{path}", data=data, headers=self._headers, **sent)

    def downloaded(self, path: str) -> pa.Table:
        response = self.get(f"{path}/download")
        assert response.status_code == 200, response.getvalue()
        return pq.read_table(io.BytesIO(response.getvalue()))


def refusal(who: str) -> int:
    """Return the status that somebody without the right gets."""
    return {"anonymous": 401, "outsider": 404}.get(who, 403)
