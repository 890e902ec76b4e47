"""Lists of words, and how a text is cut into them."""

from __future__ import annotations

import re
from pathlib import Path


def _listed(name: str) -> frozenset[str]:
    """Return the words of a file beside this one."""
    file = Path(__file__).with_name(f"{name}.txt")
    return frozenset(file.read_text(encoding="utf-8").split())


GOOD = _listed("good")
BAD = _listed("bad")
#: A word after one of these says the opposite.
NEGATIONS = frozenset(
    ["barely", "cannot", "hardly", "never", "no", "nobody", "none", "not", "nothing", "without"]
)
#: A word after one of these counts so much more.
STRESSED = {"extremely": 2.0, "really": 1.5, "so": 1.5, "too": 1.5, "very": 1.5, "truly": 1.5}
#: Words that say nothing of what a text is about.
COMMON = _listed("common")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_VOWELS = re.compile(r"[aeiouyäöüáéíóúàèìòù]+")


def words_of(text: str) -> list[str]:
    """Return the words in small letters; ``don't`` and its like as two, ``do not``."""
    found = []
    for word in _WORD.findall(text.lower()):
        bare = word.replace("’", "'")
        if bare.endswith("n't"):
            found += [bare[:-3], "not"]
        else:
            found.append(bare.removesuffix("'s"))
    return found


def sentences_in(text: str) -> int:
    return max(1, len(_SENTENCE.findall(text.strip())))


def syllables_in(word: str) -> int:
    """Count groups of vowels, a silent ``e`` at the end aside."""
    count = len(_VOWELS.findall(word))
    if word.endswith("e") and not word.endswith(("le", "ee")) and count > 1:
        count -= 1
    return max(1, count)
