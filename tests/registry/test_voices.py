"""Nobody decides at the shell of the server, where anybody may call anything as anybody."""

from __future__ import annotations

import pytest

from lib.shells import at_shell
from registry import approval, audit
from registry.accounts.voices import ShellMayNotDecide
from registry.choices import Role, State
from registry.models import Membership
from registry.operations.lifecycle import reviews
from registry.operations.people import members
from registry.trail import verifying
from tests.factories import AT, DEFINITIONS, approve, give_grant, make_version, seen

pytestmark = pytest.mark.django_db

RESTRICTED = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")


def test_nobody_approves_at_the_shell(cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)

    with at_shell("eve@server"), pytest.raises(ShellMayNotDecide, match="eve@server"):
        approve(version, cast.steward)
    approve(version, cast.steward)
    assert approval.approvals_given(version) == 1


def test_nor_rejects(cast):
    version = make_version(cast, state=State.IN_REVIEW)

    with at_shell("eve@server"), pytest.raises(ShellMayNotDecide):
        reviews.reject_version(
            version=version,
            actor=cast.steward,
            packet_hash=seen(version),
            comment="no",
            at=AT,
        )


def test_nor_gives_a_grant(cast):
    make_version(cast)

    with at_shell("eve@server"), pytest.raises(ShellMayNotDecide):
        give_grant(cast, cast.consumer)


def test_nor_agrees_to_a_role(cast):
    members.grant_role(
        project=cast.project, user=cast.outsider, role=Role.AUTHOR, actor=cast.owner, at=AT
    )
    role = Membership.objects.get(user=cast.outsider)

    with at_shell("eve@server"), pytest.raises(ShellMayNotDecide):
        members.agree_to_role(membership=role, actor=cast.superuser, at=AT)


def test_a_decision_whose_entry_was_written_at_the_shell_is_found(cast):
    def found() -> list[str]:
        return [each.said for each in verifying.findings() if "at the shell" in each.said]

    make_version(cast)
    assert not found()

    with at_shell("eve@server"):
        audit.record(actor=cast.steward, verb="read_grant.given", subject=cast.project, at=AT)
    assert [said.rpartition("by ")[2] for said in found()] == ["eve@server"]
