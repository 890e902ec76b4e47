"""Calls about proposals: changes of who decides, which take two people.
Not for making one: ``accounts`` does of accounts, and the admin of roles, policies and roots.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON, Listed
from assay.transport import api_path


class ProposalCalls(Calls):
    """Proposals: dicts with ``id``, ``does``, ``state``, ``proposed_by``, ``could_agree``, …

    They are the project's; ``everywhere`` those of accounts and of all projects, for superusers.
    """

    def proposals(
        self, *, state: str | None = None, limit: int | None = None, everywhere: bool = False
    ) -> Listed:
        """List them, newest first; ``state``: proposed, accepted, refused or withdrawn."""
        query = {"state": state}
        if everywhere:
            return self._list_at(api_path("proposals"), query=query, limit=limit)
        return self._list("proposals", query=query, limit=limit)

    def accept_proposal(
        self, proposal_id: int, *, comment: str = "", everywhere: bool = False
    ) -> JSON:
        """Agree to what somebody else proposed; it is done at once."""
        return self._decide(proposal_id, "accept", comment, everywhere)

    def refuse_proposal(self, proposal_id: int, *, comment: str, everywhere: bool = False) -> JSON:
        """Refuse what somebody proposed, and say why."""
        return self._decide(proposal_id, "refuse", comment, everywhere)

    def withdraw_proposal(
        self, proposal_id: int, *, comment: str = "", everywhere: bool = False
    ) -> JSON:
        """Take back what one proposed."""
        return self._decide(proposal_id, "withdraw", comment, everywhere)

    def _decide(self, proposal_id: int, step: str, comment: str, everywhere: bool) -> JSON:
        path = api_path if everywhere else self._transport.project_path
        value = {"comment": comment}
        answer: JSON = self._transport.post(path("proposals", str(proposal_id), step), value)
        return answer
