"""The evidence of a submission as deciding sees it: what it says, what it binds, what is lacking.

Not for finding it out (a worker does, in an app above) or for the packet of words, which is made at
submit (``operations.lifecycle.packets``).

A part is ``{"state": "computed", "facts": {…}, "values": {…}}``, of which ``values`` are for those
who may read the values, or ``{"state": "not_applicable" | "not_computed", "why": "…"}``. Who is not
shown a part at all reads ``withheld`` and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from lib.errors import Conflict
from registry import access
from registry.choices import SERVED_STATES, EvidencePart, EvidenceStatus, PartState, Right
from registry.grants import Grants
from registry.models import Evidence
from registry.spec.fingerprints import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion

    Parts = Mapping[str, Mapping[str, Any]]


#: Why whoever writes an expression is not told how many rows it chooses.
COUNTS_TELL = (
    "the view computes with what takes a grant, and how many rows that gives says something of it;"
    " those see it who have one (assay grants ask), and who decide on the version."
)


class EvidenceMissing(Conflict):
    code = "evidence_missing"


class NotFitted(EvidenceMissing):
    code = "not_fitted"


def not_computed(why: str, *, counts: bool = False) -> dict[str, Any]:
    """Return a part that is not there; with ``counts`` its reason says how many rows there are."""
    told = {"counts": True} if counts else {}
    return {"state": PartState.NOT_COMPUTED, "why": why, **told}


def not_applicable(why: str) -> dict[str, Any]:
    return {"state": PartState.NOT_APPLICABLE, "why": why}


def computed(facts: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": PartState.COMPUTED, "facts": dict(facts), "values": dict(values)}


def sealed(packet_hash: str, parts: Parts) -> str:
    """Return the hash of everything that is decided on: the packet and what was found out."""
    return fingerprint({"packet": packet_hash, "evidence": parts})


def ask_for_evidence(version: FeatureViewVersion, *, at: datetime) -> None:
    """Have the evidence of a submission computed; of what stores no rows there is none."""
    wanted = Evidence(version=version, packet_hash=version.packet_hash, requested_at=at)
    if not version.spec.transform.is_stored:
        why = "it is computed at the request: there are no rows to look at."
        wanted.parts = {part: not_applicable(why) for part in EvidencePart}
        wanted.status, wanted.computed_at = EvidenceStatus.COMPUTED, at
        wanted.hash = sealed(version.packet_hash, wanted.parts)
    # A version that is submitted twice as the same at the same instant has one packet.
    if evidence_of(version) is None:
        wanted.save(force_insert=True)


def evidence_of(version: FeatureViewVersion) -> Evidence | None:
    """Return the evidence of the version's last submission; None of drafts, and of old ones."""
    return version.evidence.filter(packet_hash=version.packet_hash).first()


def decided_on(version: FeatureViewVersion, evidence: Evidence | None) -> str:
    """Return the hash of what there is to decide on now: it is another once evidence is in."""
    return evidence.hash if evidence and evidence.is_computed else version.packet_hash


def decided_on_each(versions: Iterable[FeatureViewVersion]) -> dict[int, str]:
    """Return ``decided_on`` of many versions, asking once."""
    found = {version.pk: version.packet_hash for version in versions}
    computed = Evidence.objects.filter(version__in=found, status=EvidenceStatus.COMPUTED)
    of_now = computed.filter(packet_hash=F("version__packet_hash"))
    return found | dict(of_now.values_list("version", "hash"))


def with_decided_on(versions: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Give each version what ``decided_on`` says of it, as ``decided_on``."""
    found = Evidence.objects.filter(
        version=OuterRef("pk"), packet_hash=OuterRef("packet_hash"), status=EvidenceStatus.COMPUTED
    )
    return versions.annotate(
        decided_on=Coalesce(Subquery(found.values("hash")[:1]), F("packet_hash"))
    )


def require_evidence(
    version: FeatureViewVersion, evidence: Evidence | None, wanted: Sequence[EvidencePart]
) -> None:
    """Return if every part is there that the project's policy, or what it says, wants.

    :raises EvidenceMissing: naming what is not, and why.
    :raises NotFitted: its encodings have no parameters.
    """
    _require_fitted(version, evidence)
    if not wanted:
        return
    if evidence is None or not evidence.is_computed:
        raise EvidenceMissing(
            f"{version}: the policy of {version.feature_view.project} wants {', '.join(wanted)}"
            " before an approval, and a worker has not computed them yet; look again in a moment."
        )
    lacking = {part: evidence.parts.get(part, {}) for part in wanted}
    said = [
        f"{part}: {found.get('why', 'it was not looked at.')}"
        for part, found in lacking.items()
        if found.get("state") not in (PartState.COMPUTED, PartState.NOT_APPLICABLE)
    ]
    if said:
        raise EvidenceMissing(
            f"{version}: the policy of {version.feature_view.project} wants what could not be"
            f" computed. {' '.join(said)} Mend that and submit again, or have the policy changed."
        )


def may_see_values(user: User | AnonymousUser, version: FeatureViewVersion) -> bool:
    """Return whether somebody's role lets them see values that the evidence holds.

    Before its approval a version may read what nobody agreed to show to the readers of the view:
    its values are for those who may read all of the project.
    """
    is_agreed = version.state in SERVED_STATES
    feature_view = version.feature_view
    return access.can(user, Right.READ_OFFLINE, feature_view if is_agreed else feature_view.project)


def _require_fitted(version: FeatureViewVersion, evidence: Evidence | None) -> None:
    """Return if what the version's encodings are fitted to is there, and was to be seen.

    :raises NotFitted: it is not.
    """
    if not version.spec.fitted_features:
        return
    names = ", ".join(each.name for each in version.spec.fitted_features)
    if evidence is None or not evidence.is_computed:
        raise NotFitted(
            f"{version}: encodings of {names} are fitted by a worker, which has not come to it yet;"
            " look again in a moment."
        )
    found = evidence.parts.get(EvidencePart.FIT, {})
    if found.get("state") != PartState.COMPUTED:
        why = found.get("why", "it was not looked at.")
        raise NotFitted(
            f"{version}: encodings of {names} could not be fitted, and without parameters there is"
            f" nothing to approve. {why} Mend that, then withdraw and submit it again."
        )


class Sight(NamedTuple):
    """What somebody is shown of the evidence: values at all, and of which features none.

    Without ``counts`` not even how many there are.
    """

    values: bool
    withheld: frozenset[str]
    counts: bool = True


def sight_of(user: User | AnonymousUser, version: FeatureViewVersion, *, at: datetime) -> Sight:
    """Return what somebody may see now, by role and grants, of the version and what it changes."""
    grants = Grants(user, at=at)
    compared = [each for each in (version, version.based_on) if each is not None]
    withheld = frozenset(name for each in compared for name in grants.withheld(each))
    asks = any(each.spec.view.asks for each in compared)
    counts = not (withheld and asks) or _decides(user, version)
    return Sight(may_see_values(user, version), withheld, counts)


def _decides(user: User | AnonymousUser, version: FeatureViewVersion) -> bool:
    """Return whether somebody may approve the version, and had no hand in what it counts."""
    is_editor = version.editors.filter(user=user.pk).exists()
    return not is_editor and access.can(user, Right.APPROVE_FEATUREVIEW, version.feature_view)


def shown_parts(evidence: Evidence, sight: Sight) -> dict[str, Any]:
    """Return the parts as somebody may see them."""
    return {name: _shown(name, part, sight) for name, part in evidence.parts.items()}


def _shown(name: str, part: Mapping[str, Any], sight: Sight) -> dict[str, Any]:
    """Leave out what may not be shown.

    The values of a comparison, and of a fit, are by feature; a profile has its facts, and values, a
    column a feature, and rows that have them all by name. What else there is has no values.
    """
    withheld = sight.withheld
    # What applies to no first version says, beside others, that those were computed.
    tells = part["state"] != PartState.NOT_COMPUTED or part.get("counts")
    if not sight.counts and tells:
        return {"state": PartState.WITHHELD, "why": COUNTS_TELL, "withheld": sorted(withheld)}
    hidden = ("counts",) if sight.values else ("counts", "values")
    kept = {key: part[key] for key in part if key not in hidden}
    if not withheld or part["state"] != PartState.COMPUTED:
        return kept
    if name in (EvidencePart.COMPARISON, EvidencePart.FIT) and "values" in kept:
        kept["values"] = _by_name(kept["values"], withheld)
    if name == EvidencePart.PROFILE:
        kept["facts"] = {
            side: _without_means(said, withheld) for side, said in kept["facts"].items()
        }
        if "values" in kept:
            kept["values"] = {
                side: _without_columns(said, withheld) for side, said in kept["values"].items()
            }
    return kept | {"withheld": sorted(withheld)}


def _by_name(values: Mapping[str, Any], withheld: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in withheld}


def _without_means(profile: Any, withheld: Collection[str]) -> Any:
    """Return facts of a profile without the means, which say a value where rows are few."""
    if not isinstance(profile, dict):
        return profile
    columns = [
        {key: value for key, value in each.items() if key not in ("mean", "std")}
        if each["name"] in withheld
        else each
        for each in profile["columns"]
    ]
    return profile | {"columns": columns}


def _without_columns(values: Any, withheld: Collection[str]) -> Any:
    """Return a profile without some features; rows, which have all of them and keys, not at all."""
    if isinstance(values, dict):
        return values | {"columns": [c for c in values["columns"] if c["name"] not in withheld]}
    return []
