"""Serving's words: its audit verbs as sentences.

Not for words of other apps: each has its own ``words`` and registers them when it starts.
"""

from __future__ import annotations

from registry import verbs
from registry.markup import register_tones
from registry.verbs import Verb
from serving.choices import Verdict, WorkStatus

VERBS = {
    "dataset.requested": Verb("asked for", "dataset"),
    "dataset.made": Verb("was made", "dataset", is_outcome=True),
    "dataset.failed": Verb("could not be made", "error", is_outcome=True),
    "dataset.ended": Verb("ended", "delete"),
    "dataset.expired": Verb("was ended at its time", "timer_off", is_outcome=True),
    "dataset.downloaded": Verb("downloaded", "download", is_routine=True),
    "dataset.download_resumed": Verb("went on downloading", "download", is_routine=True),
    "dataset.check_requested": Verb("had computed again", "verified", is_routine=True),
    "dataset.verified": Verb("was computed again and is equal", "verified", is_outcome=True),
    "dataset.differed": Verb("was computed again and differs", "difference", is_outcome=True),
    "dataset.check_failed": Verb("could not be computed again", "error", is_outcome=True),
    "historical_job.requested": Verb("asked for", "dataset", is_routine=True),
    "historical_job.made": Verb("was made", "dataset", is_outcome=True, is_routine=True),
    "historical_job.failed": Verb("could not be made", "error", is_outcome=True),
    "historical_job.downloaded": Verb("downloaded", "download", is_routine=True),
    "historical_job.download_resumed": Verb("went on downloading", "download", is_routine=True),
    "historical_job.cancelled": Verb("cancelled", "cancel"),
    "historical_job.expired": Verb(
        "was kept for its time", "timer_off", is_outcome=True, is_routine=True
    ),
    "offline_files.listed": Verb("listed the files of", "folder_open", is_routine=True),
    "rows.pushed": Verb("pushed {more} rows to", "upload", is_routine=True),
    "rows.refused": Verb("pushed {more} rows that were refused by", "block", is_routine=True),
    "sensitive_features.read": Verb("read {more} times online of", "visibility", is_routine=True),
    "training_set.read": Verb("read a training set of", "download", is_routine=True),
}


#: The colours of words on pages.
TONES: dict[str, str] = {WorkStatus.DONE: "good", Verdict.EQUAL: "good", Verdict.DIFFERENT: "bad"}


def register() -> None:
    register_tones(TONES)
    verbs.register(VERBS)
