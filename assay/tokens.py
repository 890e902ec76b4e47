"""Calls about service accounts and API tokens.
Not for roles of people; the admin has those.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.calls import Calls
from assay.shapes import JSON, Listed


class TokenCalls(Calls):
    """What programs come with. The text of a token is in the answer that makes it, as ``token``."""

    def list_service_accounts(self) -> Listed:
        return self._list("service-accounts")

    def service_account(self, name: str) -> JSON:
        """Fetch one with its ``tokens``."""
        found: JSON = self._get("service-accounts", name)
        return found

    def make_service_account(
        self, name: str, *, role: str, description: str = "", owner: str | None = None
    ) -> JSON:
        """Make an account for a program; ``owner`` None is you."""
        value = {"name": name, "role": role, "description": description, "owner": owner}
        return self._post("service-accounts", value=value)

    def change_service_account(
        self,
        name: str,
        *,
        description: str | None = None,
        owner: str | None = None,
        active: bool | None = None,
        calls_per_minute: int | None = None,
    ) -> JSON:
        """Change what is not None; ``active`` False shuts it out with all its tokens.

        ``calls_per_minute`` is what each of its tokens may make; 0 is no limit.
        """
        value: JSON = {"description": description, "owner": owner, "active": active}
        if calls_per_minute is not None:
            value["calls_per_minute"] = calls_per_minute
        return self._post("service-accounts", name, value=value)

    def list_tokens(self, *, live: bool = False) -> Listed:
        """Fetch your own tokens of the project, and as its owner all of them."""
        return self._list("tokens", query={"live": "true" if live else None})

    def issue_token(
        self,
        name: str,
        *,
        service_account: str | None = None,
        days: int = 90,
        views: Sequence[str] = (),
        rights: Sequence[str] = (),
        networks: Sequence[str] = (),
        calls_per_minute: int | None = None,
    ) -> JSON:
        """Make a token of the project for you or a service account; an empty limit is none.

        ``calls_per_minute`` None, or 0, is as many as the account, and any token, may make.
        """
        value: JSON = {"name": name, "days": days, "service_account": service_account}
        value |= {"views": [*views], "rights": [*rights], "networks": [*networks]}
        if calls_per_minute is not None:
            value["calls_per_minute"] = calls_per_minute
        return self._post("tokens", value=value)

    def rotate_token(
        self, token_id: int, *, days: int | None = None, overlap_hours: int = 24
    ) -> JSON:
        """Make a successor; the token itself goes on for the overlap, then ends."""
        value = {"days": days, "overlap_hours": overlap_hours}
        return self._post("tokens", str(token_id), "rotate", value=value)

    def revoke_token(self, token_id: int) -> JSON:
        """End a token from the very next request on."""
        return self._post("tokens", str(token_id), "revoke", value={})
