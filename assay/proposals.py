"""Calls about proposals: changes of who decides, which take two people.
Not for making one: whoever changes a role, a policy or a root in the admin does.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON


class ProposalCalls(Calls):
    """Proposals: dicts with ``id``, ``does``, ``state``, ``proposed_by``, ``could_agree``, …"""

    def proposals(self, *, state: str | None = None, limit: int | None = None) -> list[JSON]:
        """List them, newest first; ``state``: proposed, accepted, refused or withdrawn."""
        return self._list("proposals", query={"state": state}, limit=limit)

    def accept_proposal(self, proposal_id: int, *, comment: str = "") -> JSON:
        """Agree to what somebody else proposed; it is done at once."""
        return self._post("proposals", str(proposal_id), "accept", value={"comment": comment})

    def refuse_proposal(self, proposal_id: int, *, comment: str) -> JSON:
        """Refuse what somebody proposed, and say why."""
        return self._post("proposals", str(proposal_id), "refuse", value={"comment": comment})

    def withdraw_proposal(self, proposal_id: int, *, comment: str = "") -> JSON:
        """Take back what one proposed."""
        return self._post("proposals", str(proposal_id), "withdraw", value={"comment": comment})
