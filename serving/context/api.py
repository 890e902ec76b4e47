"""``POST get-feature-context`` over HTTP: the online read's door, with text as its answer.

Not for what the text says: ``rendering`` and ``wording`` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.utils import timezone

from lib.parameters import check_parameters
from serving.choices import Door
from serving.context.openapi import documented
from serving.context.read import ContextAnswer, get_feature_context
from serving.context.rendering import BYTES_PER_TOKEN
from serving.context.request import parse_request
from serving.edges import context_limits
from serving.online.api import OnlineFeaturesAPI, read_token, sent_body
from serving.said_headers import said_headers

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest, HttpResponse


class FeatureContextAPI(OnlineFeaturesAPI):
    """Latest feature values of a few entities, as text for a prompt."""

    attempt = "reading features for a prompt"
    door = Door.CONTEXT

    @documented
    def post(self, request: HttpRequest, project: str) -> HttpResponse:
        """Tell the latest values of each entity in one line of text, as the service's `context`
        says, or as `name=value (age)`.

        A value that is not there is told in words: unknown (no row), no value (stored null),
        expired (older than its TTL now). Texts are quoted so that they stay data. With `max_tokens`
        what has no room is left out, the least important first, which is the last.
        """
        check_parameters(request.GET, self.parameters)
        answer = get_feature_context(
            project=project,
            token=read_token(request),
            request=parse_request(sent_body(request)),
            at=timezone.now(),
            limits=context_limits(),
            environ=request.META,
        )
        response = JsonResponse(context_output(answer))
        for name, value in said_headers(answer.warnings, answer.plan.deprecation):
            response[name] = value
        return response


def context_output(answer: ContextAnswer) -> dict[str, Any]:
    return {
        "metadata": {
            "told_by": "template" if answer.is_template else "names",
            "bytes_per_token": BYTES_PER_TOKEN,
        },
        "results": [
            {"entity": entity, **context._asdict()}
            for entity, context in zip(answer.entities, answer.contexts, strict=True)
        ],
    }
