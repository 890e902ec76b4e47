"""Noting which commit of which repository said what objects are, as they are registered.

Not for comparing them with what is registered later (``registered``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Self

from lib.errors import Invalid
from registry import audit
from registry.choices import Kind
from registry.models import Origin
from registry.spec.fingerprints import view_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import FeatureViewVersion
    from registry.operations.registration.applied import Application
    from registry.spec.version_spec import VersionSpec

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_LOGIN = re.compile("://[^/]*@")
_QUERY = re.compile(r"[?#].*", re.DOTALL)
#: What stands after the host's colon is no number: a password with a slash in it, for instance.
_NO_PORT = re.compile("://[^/]*:[0-9]*[^/0-9]")
_LENGTHS = {"repository": 300, "ref": 255}
#: What another commit writes anew.
_COLUMNS = ("repository", "ref", "commit", "path", "fingerprint", "applied_at", "applied_by")


class BadCommit(Invalid):
    code = "invalid_commit"


class Commit(NamedTuple):
    """One commit; ``ref`` is the branch or tag it was applied from."""

    repository: str
    commit: str
    ref: str = ""

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> Self | None:
        """Return what a request says it applies; None where it says nothing.

        :raises BadCommit: one without the other, or what cannot be any.
        """
        repository, commit, ref = (sent.get(key, "") for key in ("repository", "commit", "ref"))
        if not (repository or commit or ref):
            return None
        if not (repository and commit):
            raise BadCommit("send repository and commit together: one says nothing of the other.")
        if not _COMMIT.fullmatch(commit):
            raise BadCommit(f"commit {commit[:70]!r}: write 7 to 64 of the digits 0-9a-f.")
        repository = without_secrets(repository)
        for key, text in (("repository", repository), ("ref", ref)):
            if len(text) > _LENGTHS[key] or not text.isprintable():
                raise BadCommit(f"{key}: at most {_LENGTHS[key]} characters that can be printed.")
        return cls(repository, commit, ref)


def without_secrets(repository: str) -> str:
    """Return an address without log-in, query and fragment: those hold the tokens of pipelines.

    :raises BadCommit: a log-in may still be in it.
    """
    if "://" not in repository:
        return repository  # a path, or git's own form, which has no place for a password
    plain = _QUERY.sub("", _LOGIN.sub("://", repository, count=1))
    if _NO_PORT.search(plain):
        raise BadCommit("repository: write its address without a log-in, as https://host/path.")
    return plain


def note_origins(application: Application, commit: Commit) -> None:
    """Note the commit for each object that was sent, inside the caller's change of the project.

    Also for those that it leaves as they are: it says them too.
    """
    sent = [each for each in application.applied if each.definition is not None]
    rows = [
        Origin(
            project=application.project,
            kind=each.kind,
            name=each.name,
            path=_shown(each.definition.file[-500:]) if each.definition else "",
            fingerprint=each.said,
            applied_at=application.at,
            applied_by=application.actor,
            **commit._asdict(),
        )
        for each in sent
    ]
    Origin.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=("project", "kind", "name"),
        update_fields=_COLUMNS,
    )


def note_settled(version: FeatureViewVersion, before: VersionSpec, after: VersionSpec) -> None:
    """Have a commit go on saying what it said of a draft, now that what that reads has numbers."""
    if before.view == after.view:
        return
    Origin.objects.filter(
        project=version.feature_view.project_id,
        name=version.feature_view.name,
        kind=Kind.FEATURE_VIEW,
        fingerprint=view_fingerprint(before),
    ).update(fingerprint=view_fingerprint(after))


def _shown(path: str) -> str:
    """Return a file's name as it can be stored, and shown without turning the line around."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in path)


def record_commit(application: Application, commit: Commit) -> None:
    """Write the entry of the whole; each object that changed has its own."""
    count = sum(each.definition is not None for each in application.applied)
    audit.record(
        actor=application.actor,
        verb="project.applied",
        subject=application.project,
        after={**commit._asdict(), "definitions": count},
        at=application.at,
    )
