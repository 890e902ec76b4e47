"""Calls about what people ask of features: ask, answer, accept an answer, close.
Not for comments on a version under review; reviews has those.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON, Listed


class QuestionCalls(Calls):
    """Questions: dicts with ``id``, ``feature``, ``text``, ``answers``, ``accepted``, …"""

    def list_questions(
        self, feature: str | None = None, *, state: str | None = None, limit: int | None = None
    ) -> Listed:
        """List what was asked of ``view:feature``, a view or all, newest first.

        ``state``: ``open``, ``answered`` or ``closed``.
        """
        return self._list("questions", query={"feature": feature, "state": state}, limit=limit)

    def ask_question(self, feature: str, text: str) -> JSON:
        """Ask something about ``view:feature``; those who know it answer."""
        return self._post("questions", value={"feature": feature, "text": text})

    def answer_question(self, question_id: int, text: str) -> JSON:
        return self._post("questions", str(question_id), "answers", value={"text": text})

    def accept_answer(self, question_id: int, answer_id: int) -> JSON:
        """Say which answer answers the question."""
        return self._post("questions", str(question_id), "accept", value={"answer": answer_id})

    def close_question(self, question_id: int) -> JSON:
        """Close it; what was said stays."""
        return self._post("questions", str(question_id), "close", value={})

    def reopen_question(self, question_id: int) -> JSON:
        return self._post("questions", str(question_id), "reopen", value={})
