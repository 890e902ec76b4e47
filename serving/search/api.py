"""``POST search`` over HTTP: the online read's door. Not for what a hit is: ``read`` says that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.utils import timezone

from lib.parameters import check_parameters
from serving.choices import Door
from serving.edges import online_limits
from serving.online.api import OnlineFeaturesAPI, read_token, sent_body
from serving.said_headers import said_headers
from serving.search.answering import SearchAnswer
from serving.search.openapi import documented
from serving.search.read import search
from serving.search.request import parse_request
from serving.values import instant_text, micros_text

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest, HttpResponse

    from serving.search.request import SearchRequest


class SearchAPI(OnlineFeaturesAPI):
    """The entities whose vectors are nearest, with what is known of them now."""

    attempt = "searching vectors"
    door = Door.SEARCH

    @documented
    def post(self, request: HttpRequest, project: str) -> HttpResponse:
        """Search a `vector<N>` feature: the k nearest entities, how far each is, and features of
        them, as they are now.

        Nearest to a `vector`, or to an `entity`'s own, by `cosine` (one minus it), `l2` or `dot`
        (minus the product): less is nearer. `filter` narrows by features of the same version.
        Expired rows and null vectors are no hits. Of large tables the vectors of the nearest cells
        are looked at, which finds the share `recall` of the nearest; with `exact` all are.
        `is_behind`: rows came since the index was built,
        and may lack; what is answered is of now all the same.
        """
        check_parameters(request.GET, self.parameters)
        said = parse_request(sent_body(request))
        answer = search(
            project=project,
            token=read_token(request),
            request=said,
            at=timezone.now(),
            limits=online_limits(),
            environ=request.META,
        )
        response = JsonResponse(search_output(answer, said))
        for name, value in said_headers(answer.warnings, answer.deprecation):
            response[name] = value
        return response


def search_output(answer: SearchAnswer, request: SearchRequest) -> dict[str, Any]:
    return {
        "metadata": {
            "feature": f"{answer.version}:{request.reference.feature}",
            "metric": request.metric,
            "value_types": answer.types,
            "searched": answer.searched,
            "indexed_at": instant_text(answer.indexed_at),
            "is_behind": answer.is_behind,
            "is_complete": answer.is_complete,
            "index": "exact" if answer.recall is None else "cells",
            "recall": 1.0 if answer.recall is None else answer.recall,
        },
        "hits": [
            {
                "entity": entity,
                "distance": hit.distance,
                "event_timestamp": micros_text(hit.row[0]),
                "features": {name: each.values[at] for name, each in answer.columns.items()},
                "statuses": {name: each.statuses[at] for name, each in answer.columns.items()},
            }
            for at, (hit, entity) in enumerate(zip(answer.hits, answer.entities, strict=True))
        ],
    }
