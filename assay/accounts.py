"""Calls about accounts of others, for superusers.
Not for a project's service accounts and tokens: ``tokens`` has those.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON, Listed
from assay.transport import api_path


class AccountCalls(Calls):
    """Accounts: dicts with ``user``, ``kind``, ``is_active``, ``is_superuser``, ``email``, …

    A change answers ``account`` as it is now, ``proposal`` where something waits for a second
    person, and ``alone`` where it took two and there was one.
    """

    def log_in(
        self,
        username: str,
        password: str,
        *,
        new_password: str | None = None,
        token_name: str = "command line",  # noqa: S107 - what it is called
        days: int = 30,
    ) -> JSON:
        """Give a new token of a person as ``token``, for their password; needs none itself.

        :raises Conflict: with the code ``password_not_your_own``: somebody else set the password;
            give ``new_password`` too.
        :raises Unauthenticated: there is no such account or it has another password.
        """
        value: JSON = {"username": username, "password": password, "new_password": new_password}
        value |= {"token_name": token_name, "days": days}
        answer = self._transport.request("POST", api_path("login"), json=value, is_anonymous=True)
        found: JSON = answer.json()
        return found

    def accounts(self, *, user: str | None = None, limit: int | None = None) -> Listed:
        """List them by name, or the one of a name."""
        return self._list_at(api_path("accounts"), query={"user": user}, limit=limit)

    def change_account(self, /, user: str, **changes: str | bool) -> JSON:
        """Change what is given: ``username``, ``first_name``, ``last_name``, ``email``,
        ``is_active``, ``is_staff``, ``is_superuser``, ``kind``.
        """
        answer: JSON = self._transport.post(
            api_path("accounts", "change"), {**changes, "user": user}
        )
        return answer

    def give_password(self, user: str, password: str) -> JSON:
        """Give somebody else a password; they set one of their own before they decide."""
        value = {"user": user, "password": password}
        answer: JSON = self._transport.post(api_path("accounts", "password"), value)
        return answer
