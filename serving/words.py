"""Serving's words: its audit verbs as sentences.

Not for words of other apps: each has its own ``words`` and registers them when it starts.
"""

from __future__ import annotations

from registry import verbs
from registry.verbs import Verb

VERBS = {
    "offline_files.listed": Verb("listed the files of", "folder_open", is_routine=True),
    "sensitive_features.read": Verb("read {more} times online of", "visibility", is_routine=True),
    "training_set.read": Verb("read a training set of", "download", is_routine=True),
}


def register() -> None:
    verbs.register(VERBS)
