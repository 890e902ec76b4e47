"""Where a word may be given: on a log-in, or by one's own token, and never at the server's shell.

There anybody may call an operation as anybody; what a shell does is named as a shell's. Not for
whose hand somebody is (``hands``), nor for which process is a shell's (``lib.shells``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from lib.errors import Forbidden
from lib.shells import shell_actor
from registry.access import ServiceAccountMayNotDecide, is_person
from registry.accounts.passwords import last_foreign_password, require_own_password, words_since
from registry.choices import Action
from registry.lifecycle import VERB

if TYPE_CHECKING:
    from registry.models import ApiToken

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


class TokenMayNotDecide(Forbidden):
    code = "token_may_not_decide"


def require_own_voice(actor: User, token: ApiToken | None, *, project: str) -> None:
    """Return if a decision is a person's own: by their login, or by a token they made themselves.

    ``token`` is the API token that the actor came with, None for somebody logged in.
    :raises ShellMayNotDecide: nobody came with either: it is said at the shell of the server.
    :raises ServiceAccountMayNotDecide: no person stands behind the actor, or another one does.
    :raises TokenMayNotDecide: it was made where nobody was logged in by a password of their own.
    :raises PasswordNotYourOwn: somebody else set the password by which the actor logs in.
    """
    require_no_shell(actor, project=project)
    if not is_person(actor):
        raise ServiceAccountMayNotDecide(
            f"{actor} is a service account; a person with a login has to decide.", project=project
        )
    if token is not None and token.created_by_id != actor.pk:
        raise ServiceAccountMayNotDecide(
            f"the token is {actor}'s but {token.created_by} made it; decide with a token of your"
            " own.",
            project=project,
        )
    if token is not None and not token.may_decide:
        raise TokenMayNotDecide(
            f"the token {token.prefix}… was made at the shell of the server, or while {actor}'s"
            " password was not their own, so anybody may have it. Make one under API tokens in the"
            " admin and decide with that.",
            project=project,
        )
    if token is not None and _is_older_than_a_word(token):
        raise TokenMayNotDecide(
            f"the token {token.prefix}… was made after somebody else set {actor}'s password, and"
            f" before others gave their word on {actor} anew: whoever set it may have it. Revoke"
            " it, and make one under API tokens in the admin.",
            project=project,
        )
    require_own_password(User.objects.get(pk=actor.pk), project=project)


def _is_older_than_a_word(token: ApiToken) -> bool:
    """Return whether people vouched for an account since a token that another may have made."""
    foreign = last_foreign_password(token.user, by=token.created_at)
    return foreign is not None and any(at > token.created_at for at in words_since(foreign))


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
