"""Searches: the entities whose vectors are nearest, with what is known of them now.

Rights, grants, TTL and trail are the online read's: there is no second way to values. Not for HTTP
or JSON.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from registry.authentication import digest
from serving.choices import Door
from serving.online.plans import Question
from serving.online.read import NOWHERE, answered
from serving.online.watching import note_answer
from serving.search.answering import Search

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from serving.limits import ReadLimits
    from serving.online.plan_cache import KeptPlan
    from serving.online.rows import AnswerColumn
    from serving.search.answering import SearchAnswer
    from serving.search.request import SearchRequest


def search(
    *,
    project: str,
    token: str,
    request: SearchRequest,
    at: datetime,
    limits: ReadLimits,
    environ: Mapping[str, Any] = NOWHERE,
) -> SearchAnswer:
    """Answer a search as of ``at``.

    :raises Unauthenticated, Forbidden, NotFound: as an online read of the vector, of what it is
        narrowed by and of what is asked for.
    :raises Invalid, TooLarge: what is wrong with the vector, the entity or the filter.
    :raises NotLoaded, NotIndexed: the version cannot be searched now.
    """
    began = perf_counter()
    features = tuple(_features(request))
    limits.check_features(len(features))
    question = Question(
        project,
        digest(token),
        features,
        None,
        request.full_feature_names,
        limits,
        tells_keys_of=request.reference.view,
    )

    def read(kept: KeptPlan, fresh: bool) -> tuple[SearchAnswer, list[AnswerColumn]]:  # noqa: FBT001
        return Search(kept, request, at, fresh=fresh).answer()

    (answer, columns), plan = answered(question, token=token, at=at, environ=environ, read=read)
    seconds, rows = perf_counter() - began, len(answer.hits)
    note_answer(seconds, plan, columns, rows=rows, door=Door.SEARCH, is_stored=False)
    return answer


def _features(request: SearchRequest) -> list[str]:
    """Return what is read of each hit: the vector, what it is narrowed by, what is asked for.

    Where all of the version are asked for, those are among them.
    """
    view = request.feature.rpartition(":")[0]
    own = [request.feature, *(f"{view}:{name}" for name in request.filter)]
    if f"{view}:*" in request.features:
        own = []
    return [*dict.fromkeys([*own, *dict.fromkeys(request.features)])]
