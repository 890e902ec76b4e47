"""The packet of evidence a reviewer decides on: computed once at submit, bound by its hash.

Not for showing it: the API and the admin do.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from lib.errors import AssayError, Conflict
from registry.breakage import services_broken_by
from registry.choices import SERVED_STATES, State
from registry.derived import derived_of, stored_with
from registry.glass import mark_of
from registry.lineage import readers_above
from registry.looking import get_filing
from registry.models import FeatureViewVersion
from registry.models.names import pseudonym_of
from registry.queries import services_using
from registry.recent_readers import for_packet
from registry.rows_kept import kept_of_change
from registry.spec.differences import differences
from registry.spec.fingerprints import content_fingerprint
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Look
    from registry.models import FeatureView
    from registry.spec.change import Change
    from registry.spec.versions import Version
    from registry.spec.view_reads import ReadVersion

#: Files that a packet names; of more it keeps a mark each, by which none is named.
MOST_FILES = 5_000
#: Bytes of a mark: of a million files two are alike by chance once in millions of packets.
MARK_BYTES = 8
#: Things that keep something of a view's versions, of which a packet names so many.
MOST_KEPT = 50
#: Files that a refusal names.
MOST_SAID = 3


class SourceSwapped(Conflict):
    code = "source_swapped"


class ReadNotApproved(Conflict):
    code = "read_not_approved"


class BaseNotApproved(Conflict):
    code = "base_not_approved"


def make_packet(
    version: FeatureViewVersion,
    *,
    number: Version,
    base: FeatureViewVersion | None,
    change: Change,
    report: Look,
    actor: User,
    at: datetime,
    required: int,
    reviewers: list[int],
) -> dict[str, Any]:
    """Return what there is to decide on; each submission's differs, were it only by its instant."""
    old, view = base.spec if base else None, version.feature_view
    return {
        "version": str(number),
        "content": content_fingerprint(version.spec),
        "submitted_by": pseudonym_of(actor),
        "submitted_at": at.isoformat(),
        "based_on": base.number if base else None,
        "based_on_content": content_fingerprint(base.spec) if base else None,
        "class": change.classification,
        "guard": change.is_guard,
        "reasons": list(change.reasons),
        "approvals_required": required,
        "reviewers": reviewers,
        "diff": [difference._asdict() for difference in differences(old, version.spec)],
        "impact": services_using(view),
        "read_by": for_packet(view, at),
        "kept_in": _kept_in(view, kept_of_change(view.project, old, version.spec)),
        "derived": [
            *map(str, derived_of(view.project, view.name)),
            *map(str, stored_with(view.project, view.name)),
        ],
        "breaks": services_broken_by(version),
        **({"code": to_builtins(version.spec.code)} if version.spec.code else {}),
        "source": {
            "rows": report.rows,
            "first_event": report.first_event.isoformat() if report.first_event else None,
            "last_event": report.last_event.isoformat() if report.last_event else None,
            "warnings": list(report.warnings),
            **_files(report.files),
        },
    }


def _kept_in(view: FeatureView, rows: list[str]) -> list[str]:
    """Say what apps above keep of the view's versions, as in ``kind name: view@1.0.0``.

    And what is said of the rows of its sources that they keep.
    """
    found: dict[str, set[str]] = {}
    for reference, key, facts in readers_above(view):
        pin = f"@{reference.pin}" if reference.pin else ""
        older = f" (and {facts['older']:,} older)" if facts.get("older") else ""
        found.setdefault(f"{key.kind} {key.name}{older}", set()).add(f"{reference.view}{pin}")
    lines = [f"{name}: {', '.join(sorted(versions))}" for name, versions in found.items()] + rows
    more = [f"and {len(lines) - MOST_KEPT:,} more"] if len(lines) > MOST_KEPT else []
    return lines[:MOST_KEPT] + more


def _files(files: Mapping[str, str]) -> dict[str, Any]:
    """Return the files and their states, or a mark of each where they are too many to name."""
    if len(files) > MOST_FILES:
        marks = b"".join(sorted(map(_mark, files.items())))
        return {"files_marked": b64encode(marks).decode()}
    return {"files": dict(files)} if files else {}


def _mark(file: tuple[str, str]) -> bytes:
    return hashlib.sha256("\0".join(file).encode()).digest()[:MARK_BYTES]


def check_files(version: FeatureViewVersion) -> None:
    """Return if the files that were there at submit are there as they were; others may have come.

    :raises SourceSwapped: naming some that are not, where they are not too many to be named.
    """
    source = version.packet.get("source", {})
    if not (source.get("files") or source.get("files_marked")):
        return
    now = get_filing()(spec=version.spec, project=version.feature_view.project)
    if lacking := _lacking(source, now):
        raise SourceSwapped(
            f"{version}: the source is not what was looked at when it was submitted: {lacking}."
            " Withdraw and submit it again, so that what is decided on is what is there."
        )


def check_reads(version: FeatureViewVersion, reads: Iterable[ReadVersion]) -> None:
    """Return if what a version reads of other views is still there to be read.

    :raises ReadNotApproved: naming what is not.
    """
    for read in reads:
        major, minor, patch = parse_version(read.version)
        served = FeatureViewVersion.objects.filter(
            feature_view__project=version.feature_view.project, feature_view__name=read.view,
            major=major, minor=minor, patch=patch, state__in=SERVED_STATES,
        )  # fmt: skip
        if not served.exists():
            raise ReadNotApproved(
                f"{version} reads {read}, which is not approved any more."
                " Withdraw it and name a version that is."
            )


def files_since(version: FeatureViewVersion) -> str:
    """Say how the source's files of a version that waits differ from those at submit; empty: not.

    For whoever decides: that others came keeps nobody from it, and is worth knowing.
    """
    source = version.packet.get("source", {})
    if version.state != State.IN_REVIEW or not (source.get("files") or source.get("files_marked")):
        return ""
    try:
        now = get_filing()(spec=version.spec, project=version.feature_view.project)
    except AssayError as error:
        return f"The files cannot be looked at now: {error.message}"
    present = Counter(map(_mark, now.items()))
    came = (present - _seen(source)).total()
    lacking = _lacking(source, now)
    words = [f"{came:,} file{'s are' if came > 1 else ' is'} new or changed"] if came else []
    words += [lacking] if lacking else []
    return f"Since it was submitted: {'; '.join(words)}." if words else ""


def _seen(source: Mapping[str, Any]) -> Counter[bytes]:
    """Count the marks of the files that the packet's ``source`` has."""
    if marked := source.get("files_marked"):
        marks = b64decode(marked)
        return Counter(marks[i : i + MARK_BYTES] for i in range(0, len(marks), MARK_BYTES))
    return Counter(map(_mark, source.get("files", {}).items()))


def _lacking(source: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Say which files are not as the packet's ``source`` has them; empty: all are."""
    if source.get("files_marked"):
        seen = _seen(source)
        count = (seen - Counter(map(_mark, now.items()))).total()
        return f"{count:,} of its {seen.total():,} files are gone or others" if count else ""
    seen_files = source.get("files", {})
    gone = sorted(set(seen_files) - set(now))
    other = sorted(name for name in set(seen_files) & set(now) if now[name] != seen_files[name])
    said = [f"{name} is gone" for name in gone] + [f"{name} is another" for name in other]
    more = f" and {len(said) - MOST_SAID} more" if len(said) > MOST_SAID else ""
    return f"{', '.join(said[:MOST_SAID])}{more}"


def check_base(version: FeatureViewVersion) -> None:
    """Return if what the packet was compared with has been approved, as it was then.

    Otherwise a small difference from a version nobody agreed to would carry that version along.
    :raises BaseNotApproved: naming the base and its state.
    """
    base = version.based_on
    if base is None:
        return
    if base.state in (State.DRAFT, State.IN_REVIEW):
        raise BaseNotApproved(
            f"{version} was compared with {base}, which is {base.state}."
            " Approve that first, or withdraw and submit this one again."
        )
    if mark_of(base) is not None:
        raise BaseNotApproved(
            f"{version} was compared with {base}, which was approved by breaking the glass and not"
            " confirmed since. Have somebody confirm that first; or retire it, or say based_on, and"
            " submit this one again."
        )
    if version.packet.get("based_on_content") != content_fingerprint(base.spec):
        raise BaseNotApproved(
            f"{version} was compared with an earlier {base}; withdraw and submit it again."
        )
