"""Words as they are searched: without case, accents and the signs between them. [pure]"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_EDGES = ".,;:!?()[]\"'"


def fold(text: str) -> str:
    """Return text in which ``Umsätze`` and ``umsatze`` are the same."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in parts if not unicodedata.combining(each))


def words_in(*texts: str) -> str:
    """Return the words of texts between blanks; of ``amount_sum`` its parts and the whole.

    So whether a word is among them, or part of one, is seen by looking for it in one text.
    """
    folded = fold(" ".join(texts))
    whole = (each.strip(_EDGES) for each in folded.split())
    words = dict.fromkeys((*whole, *_WORD.findall(folded)))
    return f" {' '.join(filter(None, words))} "
