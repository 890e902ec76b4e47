"""Whether the path of an HTTP address stays below where it begins, whoever reads it. [pure]

Servers and what stands before them differ in what they decode before they look for ``..``. Not for
which server is asked (``connections``), nor for paths of files (``path_overlap``).
"""

from __future__ import annotations

from urllib.parse import unquote

#: How often something may be encoded inside of itself: no server decodes as often.
_MOST_DECODINGS = 8


def leads_out(path: str) -> bool:
    """Return whether some server may take a path for one that leads up, or cannot be told.

    Of a segment ``..;x`` servers with parameters of segments take ``..``; some leave out what
    cannot be seen, or dots and spaces at the end of a name.
    """
    plain = decoded(path)
    if plain is None or "\\" in plain or "\ufffd" in plain:
        return True
    if not plain.replace(" ", "").isprintable():
        return True
    names = (segment.partition(";")[0].strip() for segment in plain.split("/"))
    return any(name and not name.strip(". ") for name in names)


def decoded(path: str) -> str | None:
    """Return a path without ``%`` sequences, also those of sequences; None: there is no end."""
    for _ in range(_MOST_DECODINGS):
        before, path = path, unquote(path)
        if path == before:
            return path
    return None
