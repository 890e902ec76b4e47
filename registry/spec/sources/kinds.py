"""A source of any kind: a tagged union, one class a kind. [pure]

A new kind is a module of its own here and its place in ``Source``. In a definition it is the word
that ``type`` has.
"""

from __future__ import annotations

from typing import TypeAlias, get_args

from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import BucketSource, FileSource
from registry.spec.sources.http import HttpSource
from registry.spec.sources.postgres import PostgresSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import KafkaSource, RedisStreamSource

#: Further kinds are added with ``|``.
Source: TypeAlias = (
    FileSource
    | DeltaSource
    | PostgresSource
    | BucketSource
    | HttpSource
    | PushSource
    | KafkaSource
    | RedisStreamSource
)
#: The same by the word that ``type`` has.
SOURCE_KINDS: dict[str, type[Source]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Source)
}
#: What the stored text of a version has in it whose rows arrive, and hardly another text.
MAY_ARRIVE = tuple(
    f'"type":"{word}"' for word, kind in SOURCE_KINDS.items() if issubclass(kind, ArrivingSource)
)
