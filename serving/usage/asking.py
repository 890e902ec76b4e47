"""Who may ask who read what: those who see the trail or change the view; others of their own reads.

Not for adding up (``queries``) nor for HTTP (``api``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from guardian.shortcuts import get_objects_for_user

from lib.errors import SHOWN_LENGTH, did_you_mean
from lib.parameters import BadFilter, one_of, stored_text
from registry import access
from registry.catalogue.told import told_of
from registry.choices import Right, State
from registry.models import Feature, FeatureService, FeatureView, FeatureViewVersion
from registry.models.names import PSEUDONYM, names_of, pseudonym_of
from registry.queries import FeatureServiceNotFound
from registry.recent_readers import MAY_SEE
from registry.scopes import views_of
from serving.usage.queries import BY, Asked, Used, answers
from serving.usage.sampled import MOST_ASKED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from materialization.stores.usage_table import UsageTable
    from registry.models import Project
    from serving.usage.queries import Question

#: Filter → what it says, in the order of the documentation.
FILTERS: dict[str, str] = {
    "view": "a feature view's name",
    "version": "of that view, as in 1.2.0",
    "feature": "of that view, its name",
    "state": "reads of versions in this state now: approved, deprecated or retired",
    "service": "a feature service's name: reads that named it",
    "reader": "user name, or the pseudonym of somebody who was removed",
    "days": "how many days back, default 30, or as many as reads are kept",
    "samples": "how many sampled values of a feature, the newest, at most 1,000; default none",
    "by": "what is told apart, comma-separated, of " + ", ".join(BY),
}
DEFAULT_BY = ("view", "version", "through", "service", "reader", "door")
#: States of versions that can have been read.
READ_STATES = (State.APPROVED, State.DEPRECATED, State.RETIRED)
DEFAULT_DAYS, MOST_DAYS = 30, 36_500


def asked_of(
    parameters: Mapping[str, str], *, project: Project, user: User, kept_days: int, at: datetime
) -> tuple[Asked, list[str]]:
    """Return what a request asks of a project that its user sees, and what it tells apart.

    :raises BadFilter, NotFound: what nothing could fit, naming what there is.
    """
    by, days = _by(parameters.get("by", "")), _days(parameters.get("days", ""), kept_days)
    named = {name: stored_text(parameters, name) for name in FILTERS}
    _check_names(named, project=project, user=user)
    asked = Asked(
        project=project.name,
        since=at - timedelta(days=days),
        view=named["view"],
        version=named["version"],
        feature=named["feature"],
        service=named["service"],
        readers=_readers(named["reader"]),
        views=seen_by(user, project),
        own=pseudonym_of(user),
        versions=_in_state(project, one_of(named, "state", READ_STATES)),
    )
    return told_by_token(asked, project=project, user=user), by


def told_by_token(asked: Asked, *, project: Project, user: User) -> Asked:
    """Return the same of the views that somebody's token is limited to; all, where it is not."""
    views = views_of(user)
    if views is None:
        return asked
    services = told_of(user, project, FeatureService.objects.filter(project=project))
    names = tuple(services.values_list("name", flat=True))
    return asked._replace(within=tuple(sorted(views)), services=names)


def answer(table: UsageTable, asked: Asked, *questions: Question) -> list[list[Used]]:
    """Return what was used, for each question; readers by their present names."""
    found = list(answers(table, asked, questions))
    readers = {each.by["reader"] for some in found for each in some if "reader" in each.by}
    names = names_of(readers)
    return [[_named(each, names) for each in some] for some in found]


def _named(used: Used, names: Mapping[str, str]) -> Used:
    if "reader" not in used.by:
        return used
    return used._replace(by=used.by | {"reader": names[used.by["reader"]]})


def shown_days(kept_days: int) -> int:
    """Return how far back is looked where nobody says: never farther than it is kept."""
    return min(DEFAULT_DAYS, kept_days) or DEFAULT_DAYS


def _by(text: str) -> list[str]:
    """:raises BadFilter: a word that is none of ``BY``; naming the nearest."""
    words = [word.strip() for word in text.split(",")] if text else list(DEFAULT_BY)
    if unknown := next((word for word in words if word not in BY), None):
        raise BadFilter(f"by has {unknown[:SHOWN_LENGTH]!r}.{did_you_mean(unknown, BY)}")
    found = list(dict.fromkeys(words))
    # A version's number says nothing without its view.
    return ["view", *found] if "version" in found and "view" not in found else found


def samples_of(text: str) -> int:
    """Return how many samples are asked for.

    :raises BadFilter: no whole number of them that may be asked for.
    """
    return _whole("samples", text, MOST_ASKED) if text else 0


def _days(text: str, kept_days: int) -> int:
    """:raises BadFilter: no whole number of days that may be kept."""
    return _whole("days", text, MOST_DAYS) if text else shown_days(kept_days)


def _whole(name: str, text: str, most: int) -> int:
    """:raises BadFilter: no whole number from 1 to ``most``, or one of more digits than that."""
    is_whole = len(text) <= len(str(most)) and text.isascii() and text.isdecimal()
    if not is_whole or not 1 <= (found := int(text)) <= most:
        raise BadFilter(f"{name}={text[:SHOWN_LENGTH]!r}: write 1 to {most:,}, a whole number.")
    return found


def _check_names(named: Mapping[str, str], *, project: Project, user: User) -> None:
    """:raises BadFilter, NotFound: there is no such thing, so that nobody ever read it."""
    view, version, feature = named["view"], named["version"], named["feature"]
    for name in ("version", "feature"):
        if named[name] and not view:
            raise BadFilter(f"{name}={named[name][:SHOWN_LENGTH]!r} is of a view; send view, too.")
    if view:
        found = access.access_feature_view(user, project.name, view)
        if version:
            access.access_version(user, project.name, view, version)
        known = Feature.objects.filter(version__feature_view=found)
        if feature and not known.filter(name=feature).exists():
            names = sorted({*known.values_list("name", flat=True)})
            raise BadFilter(f"{view} has no feature {feature!r}.{did_you_mean(feature, names)}")
    services = told_of(user, project, FeatureService.objects.filter(project=project))
    if named["service"] and not services.filter(name=named["service"]).exists():
        names = list(services.values_list("name", flat=True))
        raise FeatureServiceNotFound(
            f"project {project} has no feature service {named['service']!r}."
            f"{did_you_mean(named['service'], names)}"
        )


def _in_state(project: Project, state: str) -> tuple[str, ...] | None:
    """Return the versions that are in a state now; None where none is asked for."""
    if not state:
        return None
    return tuple(map(str, versions_in(project, State(state))))


def versions_in(project: Project, state: State) -> QuerySet[FeatureViewVersion]:
    """Return a project's versions in a state, as far as their names take."""
    found = FeatureViewVersion.objects.filter(feature_view__project=project, state=state)
    return found.select_related("feature_view").only(
        "major", "minor", "patch", "feature_view__name"
    )


def _readers(name: str) -> tuple[str, ...]:
    """Return whose reads these are; a name that nobody has finds none."""
    if not name:
        return ()
    if PSEUDONYM.fullmatch(name):
        return (name,)
    user = get_user_model().objects.filter(username=name).first()
    return (pseudonym_of(user) if user is not None else name,)


def seen_by(user: User, project: Project) -> tuple[str, ...] | None:
    """Return the views of which somebody sees every reader; None: of all."""
    rights = access.Rights(user)
    if any(rights.can(right, project) for right in MAY_SEE):
        return None
    views = FeatureView.objects.filter(project=project).select_related("project")
    if (limits := views_of(user)) is not None:
        named = views.filter(name__in=limits)
        return tuple(v.name for v in named if any(rights.can(right, v) for right in MAY_SEE))
    own = get_objects_for_user(user, Right.CHANGE_FEATUREVIEW, views, accept_global_perms=False)
    return tuple(view.name for view in own if rights.can(Right.CHANGE_FEATUREVIEW, view))
