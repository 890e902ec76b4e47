"""The table of kinds: how an address begins → what is done with it.

A new kind is a file beside this one and a line here.
"""

from __future__ import annotations

from lib.errors import Invalid
from registry.seals.channels import bucket, files, git, webhook
from registry.seals.channels.base import Channel

KINDS: dict[str, Channel] = {
    "/": Channel(files.publish, files.fetch),
    "file://": Channel(files.publish, files.fetch),
    "s3://": Channel(bucket.publish, bucket.fetch),
    "gs://": Channel(bucket.publish, bucket.fetch),
    "https://": Channel(webhook.publish, webhook.fetch),
    "http://": Channel(webhook.publish, webhook.fetch),
    "git+": Channel(git.publish, git.fetch),
}


class UnknownSealChannel(Invalid):
    code = "unknown_seal_channel"


def channel_of(address: str) -> Channel:
    """Return what is done with an address.

    :raises UnknownSealChannel: it begins as none of them does.
    """
    for beginning, channel in KINDS.items():
        if address.startswith(beginning):
            return channel
    raise UnknownSealChannel(
        f"no seals go to {address[:80]!r}; an address begins with {', '.join(KINDS)}."
    )
