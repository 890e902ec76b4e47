"""Feature values told in words, for the prompt of a language model.
Not for values; see online.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.asking import selection
from assay.calls import Calls
from assay.errors import Invalid
from assay.frames import sent_columns
from assay.historical import WARNINGS_HEADER, read_header
from assay.shapes import JSON, EntityFrame, Features


class FeatureContext:
    """What a prompt should know of one entity."""

    def __init__(self, result: JSON) -> None:
        #: Its join keys.
        self.entity: JSON = result["entity"]
        self.text: str = result["text"]
        #: An estimate: a quarter of the text's bytes, rounded up.
        self.tokens: int = result["tokens"]
        #: Told in the text, and what had no room in ``max_tokens``.
        self.features: list[str] = result["features"]
        self.dropped: list[str] = result["dropped"]
        #: ``{feature: NULL_VALUE | NOT_FOUND | OUTSIDE_MAX_AGE}`` of those without a value.
        self.missing: dict[str, str] = result["missing"]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"FeatureContext({self.entity}: {self.text!r})"


class ContextResponse:
    """One :class:`FeatureContext` an entity row, in the rows' order."""

    def __init__(self, answer: JSON, *, warnings: Sequence[str] = ()) -> None:
        self.metadata: JSON = answer["metadata"]
        self.warnings: list[str] = list(warnings)
        self._contexts = [FeatureContext(result) for result in answer["results"]]

    def __getitem__(self, index: int) -> FeatureContext:
        return self._contexts[index]

    def __len__(self) -> int:
        return len(self._contexts)

    def __iter__(self) -> Iterator[FeatureContext]:
        return iter(self._contexts)

    def __repr__(self) -> str:
        return f"ContextResponse({len(self)} rows)"

    @property
    def text(self) -> str:
        """The text of the one entity that was asked about.

        :raises Invalid: it was not one; each has its own.
        """
        if len(self) != 1:
            raise Invalid(f"the answer tells of {len(self)} entities; take the text of each.")
        return self._contexts[0].text


class ContextCalls(Calls):
    """How features are told in a prompt."""

    def get_feature_context(
        self,
        features: Features = None,
        entity_rows: EntityFrame = (),
        *,
        feature_service: str | None = None,
        max_tokens: int | None = None,
    ) -> ContextResponse:
        """Read the latest values of each entity row, as one line of text for a prompt.

        ``features`` and ``entity_rows`` are those of :meth:`get_online_features`, as are rights
        and refusals. A service with a ``context`` is told by it, anything else as
        ``name=value (age)``. With ``max_tokens`` the last features are left out first.

        :raises Invalid: as an online read, or a budget of less than one token.
        """
        body: JSON = {
            **selection(features, feature_service),
            "entities": sent_columns(entity_rows),
            **({} if max_tokens is None else {"max_tokens": max_tokens}),
        }
        path = self._transport.project_path("get-feature-context")
        answer = self._transport.request("POST", path, json=body, is_read=True)
        return ContextResponse(answer.json(), warnings=read_header(answer.headers, WARNINGS_HEADER))
