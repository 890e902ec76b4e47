"""Where a word may be given: on a log-in, or by one's own token, and never at the server's shell.

There anybody may call an operation as anybody; what a shell does is named as a shell's. Not for
whose word it is (``hands``), nor for which process is a shell's (``lib.shells``).
"""

from __future__ import annotations

from lib.errors import Forbidden
from lib.shells import shell_actor
from registry.choices import Action
from registry.lifecycle import VERB

#: Whose entries tell of a decision: at a shell none is written, but by who went past this.
DECISIONS = (
    *(VERB[Action(each)] for each in ("approve", "reject", "break-glass", "confirm", "object")),
    "read_grant.given",
    "read_grant.refused",
    "proposal.accepted",
    "proposal.refused",
    "membership.agreed",
)


class ShellMayNotDecide(Forbidden):
    code = "shell_may_not_decide"


def require_no_shell(actor: object, *, project: str) -> None:
    """Return if this process serves others, who came with a log-in or a token.

    :raises ShellMayNotDecide: it is a shell's or a script's; says whose, and where to decide.
    """
    if who := shell_actor():
        raise ShellMayNotDecide(
            f"this is the shell of the server, where {who} may call anything as {actor}; decide in"
            " the admin, logged in, or over the API with a token made there.",
            project=project,
        )
