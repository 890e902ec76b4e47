"""Jobs in the OpenAPI schema: what is sent, what comes back. Not for checking requests."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema

from lib.answer_schemas import answers
from lib.media_types import JSON, PARQUET
from serving.historical.forms import UPLOADS
from serving.historical.openapi import BINARY, PARAMETERS, REQUEST
from serving.jobs.outputs import JobAnswer
from serving.openapi import RANGES, problems, ranged

#: Decorates the view's ``post``.
create = extend_schema(
    operation_id="create_historical_job",
    parameters=PARAMETERS,
    request={JSON: REQUEST, **dict.fromkeys(UPLOADS, BINARY)},
    responses={
        **answers(JobAnswer, 202, "The job as it is now; Location is its address."),
        **problems(
            {
                401: "no live token.",
                403: "the token's user lacks read_offline, or a grant.",
                404: "no such project, view, version or feature.",
                409: "you have as many jobs as one person has, or all take the room there is.",
                410: "a version was retired.",
                413: "too many rows or too large a body.",
                422: "an invalid request or entity frame; says what would be valid.",
                503: "a store does not answer; ask again.",
            }
        ),
    },
)
#: Decorates the view's ``get``.
download = extend_schema(
    operation_id="download_historical_job",
    parameters=RANGES,
    responses={
        **ranged(PARQUET),
        **problems(
            {
                401: "no live token.",
                403: "another's job, or the right or a grant ended.",
                404: "no such project or job.",
                409: "not made yet, or it could not be.",
                410: "cancelled, or its time is over.",
                503: "its file cannot be read.",
            }
        ),
    },
)
