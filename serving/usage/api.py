"""``GET usage`` over HTTP: translate, one call, translate.

Not for who may see what (``asking``) or how it is added up (``queries``).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema

from lib.api import API, described
from lib.connections import RedisUnavailable
from lib.instants import timestamp
from lib.parameters import PAGE, paged
from materialization.edges.stores import usage_stream
from registry import access
from serving.usage.asking import FILTERS, answer, asked_of, samples_of
from serving.usage.edges import counted_until, stored_usage
from serving.usage.openapi import ANSWER, PROBLEMS
from serving.usage.queries import Question
from serving.usage.sampled import newest_samples, require_samples, sample_output
from serving.usage.served import MOST_COMPARED, compared

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

    from serving.usage.queries import Used
    from serving.usage.served import Served


class UsageAPI(API):
    """Who read which features, how often and how fast."""

    attempt = "reading who reads what"
    parameters: ClassVar[dict[str, str]] = {**FILTERS, **PAGE}

    @extend_schema(
        operation_id="list_usage",
        parameters=described(parameters),
        responses={200: ANSWER, **PROBLEMS},
    )
    def get(self, request: Request, project: str) -> Response:
        """Add up the reads of a project, the most first.

        Whoever may see the trail or change a view sees all its readers; others see their own reads.
        Reads are here about a minute after they happened: all of before `counted_until`, which
        is null where that cannot be said now. `dropped` are reads that had no room while they
        could not be stored. `samples` are values that reads of a feature answered, where the
        project has them sampled: for those who may read its training sets, and see its readers.
        `compared` says how far the newest 20,000 of them lie from the baseline of each version.
        """
        user = access.acting_user(request)
        found = access.access_project(user, project)
        at = timezone.now()
        asked, by = asked_of(
            request.query_params, project=found, user=user, kept_days=settings.USAGE_DAYS, at=at
        )
        most = samples_of(request.query_params.get("samples", ""))
        own = require_samples(asked, project=found, user=user, at=at) if most else []
        until = counted_until(at)
        [used] = answer(stored_usage(), asked, Question(by))
        response = paged(request, used, used_output)
        response.data |= {
            "since": timestamp(asked.since),
            "counted_until": timestamp(until),
            "kept_days": settings.USAGE_DAYS,
            "sees": "all" if asked.views is None else "own",
            "dropped": _dropped(),
        }
        if most:
            newest, unkept = newest_samples(stored_usage(), asked, MOST_COMPARED)
            response.data["samples"] = [sample_output(each) for each in newest[:most]]
            response.data["samples_dropped"] = unkept
            response.data["compared"] = [served_output(each) for each in compared(newest, own)]
        return response


def _dropped() -> int | None:
    with suppress(RedisUnavailable):
        return usage_stream().dropped()
    return None


def used_output(used: Used) -> dict[str, Any]:
    by = {name: str(value) for name, value in used.by.items()}
    return {
        **({"feature_view": by.pop("view")} if "view" in by else {}),
        **({"feature_service": by.pop("service")} if "service" in by else {}),
        **by,
        "features": used.features,
        "reads": used.reads,
        "rows": used.rows,
        "statuses": used.statuses,
        "seconds": {
            "mean": used.mean_seconds,
            "p50_within": used.percentile(0.5),
            "p99_within": used.percentile(0.99),
            "slowest": used.slowest_seconds,
        },
        "first_at": timestamp(used.first_at),
        "last_at": timestamp(used.last_at),
    }


def served_output(served: Served) -> dict[str, Any]:
    baseline, base = served.baseline, served.base
    return {
        "version": served.version,
        "since": timestamp(served.since),
        "samples": served.samples,
        "statuses": served.statuses,
        "baseline": {"set_at": timestamp(baseline.set_at), "rows": base.rows, "nulls": base.nulls}
        if baseline and base
        else None,
        "drift": served.drift,
        "why_not": served.why_not,
    }
