"""Calls about grants: leave to read confidential and restricted values, for a purpose and a time.
Not for reading by one: every read says by itself which features lack a grant.
"""

from __future__ import annotations

from datetime import datetime

from assay.calls import Calls
from assay.encoding import instant
from assay.references import view_alone
from assay.shapes import JSON, Listed

_ABOUT = "a grant is for"


class GrantCalls(Calls):
    """Grants: dicts with ``id``, ``user``, ``feature_view`` or ``level``, ``state``, ``ends_at``, …

    A person asks and another one gives; programs do neither.
    """

    def grants(
        self,
        *,
        state: str | None = None,
        user: str | None = None,
        feature_view: str | None = None,
        limit: int | None = None,
    ) -> Listed:
        """List the grants that the token's user may see, newest first.

        ``state``: asked, active, ending (soon), ended, refused or revoked.
        """
        view = None if feature_view is None else view_alone(feature_view, _ABOUT)
        query = {"state": state, "user": user, "feature_view": view}
        return self._list("grants", query=query, limit=limit)

    def ask_for_grant(
        self,
        *,
        purpose: str,
        ends_at: datetime,
        feature_view: str | None = None,
        level: str | None = None,
        user: str | None = None,
    ) -> JSON:
        """Ask that an account, oneself without ``user``, may read what is sensitive until an end.

        Of one ``feature_view``, or of every view up to a ``level``: confidential or restricted.
        """
        body = {"purpose": purpose, "ends_at": instant(ends_at)}
        view = None if feature_view is None else view_alone(feature_view, _ABOUT)
        scope = {"feature_view": view, "level": level, "user": user}
        value = {**body, **{name: each for name, each in scope.items() if each is not None}}
        return self._post("grants", value=value)

    def give_grant(self, grant_id: int, *, comment: str = "") -> JSON:
        """Give what somebody else asked for; it counts from the very next request."""
        return self._post("grants", str(grant_id), "give", value={"comment": comment})

    def refuse_grant(self, grant_id: int, *, comment: str) -> JSON:
        """Refuse what somebody asked for, and say why."""
        return self._post("grants", str(grant_id), "refuse", value={"comment": comment})

    def revoke_grant(self, grant_id: int, *, comment: str = "") -> JSON:
        """Take a grant back, or what was asked for: refused from the very next request on."""
        return self._post("grants", str(grant_id), "revoke", value={"comment": comment})
