"""What an alert channel can be, where it may lead, and sending one message on it.

The address comes from people who edit a project, the server goes where it says: so only kinds that
are listed here, only to hosts that the operator allows, without following where those point on.
Not for who is told what (``notices``). A new kind is a line of ``KINDS``.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import catch_warnings, simplefilter

from lib.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAX_URL = 2_000
#: Seconds for a connection, and for each answer of the other side.
TIMEOUT_SECONDS = 4.0
_STATUS = re.compile(r"error=([0-9]{3})")


class BadChannel(Invalid):
    code = "invalid_channel"


class ChannelHostNotAllowed(Invalid):
    code = "channel_host_not_allowed"


class Kind(NamedTuple):
    """``plugin`` is the library's; ``hosts`` it talks to; ``options`` that an address may have."""

    words: str
    plugin: str
    hosts: Callable[[Any], list[str]]
    options: frozenset[str] = frozenset()


def _own(plugin: Any) -> list[str]:
    return [f"{plugin.host}:{plugin.port}" if plugin.port else str(plugin.host)]


def _mail_server(plugin: Any) -> list[str]:
    return [f"{plugin.smtp_host}:{plugin.port}" if plugin.port else str(plugin.smtp_host)]


def _fixed(*hosts: str) -> Callable[[Any], list[str]]:
    return lambda plugin: list(hosts)


_EMAIL_OPTIONS = frozenset({"to", "from", "cc", "bcc", "smtp", "mode", "name"})
_EMAIL = Kind("e-mail", "email.NotifyEmail", _mail_server, _EMAIL_OPTIONS)
_WEBHOOK = Kind("webhook", "custom_json.NotifyJSON", _own, frozenset({"method"}))
_SLACK = Kind(
    "Slack", "slack.NotifySlack", _fixed("hooks.slack.com", "slack.com"), frozenset({"to", "mode"})
)
_DISCORD = Kind("Discord", "discord.NotifyDiscord", _fixed("discord.com"))
_TELEGRAM = Kind(
    "Telegram", "telegram.NotifyTelegram", _fixed("api.telegram.org"), frozenset({"to"})
)
_MATTERMOST = Kind("Mattermost", "mattermost.NotifyMattermost", _own, frozenset({"to", "channel"}))
_ROCKET = Kind("Rocket.Chat", "rocketchat.NotifyRocketChat", _own, frozenset({"to", "mode"}))
KINDS: dict[str, Kind] = {
    "mailto": _EMAIL,
    "mailtos": _EMAIL,
    "json": _WEBHOOK,
    "jsons": _WEBHOOK,
    "slack": _SLACK,
    "discord": _DISCORD,
    "tgram": _TELEGRAM,
    "mmost": _MATTERMOST,
    "mmosts": _MATTERMOST,
    "rocket": _ROCKET,
    "rockets": _ROCKET,
}


def open_channel(url: str, *, allowed: Collection[str]) -> Any:
    """Return the plug-in of an address that may be used.

    ``allowed`` are hosts, each alone or with a port; without one, any port of it is.

    :raises BadChannel: no address of a kind that there is; its words never repeat the address.
    :raises ChannelHostNotAllowed: it leads to a host that the operator does not allow; names it.
    """
    scheme = url.partition("://")[0].lower()
    kind = KINDS.get(scheme)
    if kind is None or len(url) > MAX_URL:
        raise BadChannel(
            f"write an address of at most {MAX_URL} characters that begins with one of"
            f" {', '.join(f'{name}://' for name in KINDS)}"
        )
    plugin, options = _plugin(scheme, url)
    if unknown := sorted(option for option in options if not _is_known(option, kind)):
        raise BadChannel(
            f"a {kind.words} channel does not take {unknown[0][:40]!r};"
            f" it takes {', '.join(sorted(kind.options)) or 'no options'}.",
        )
    for host in kind.hosts(plugin):
        if not is_allowed(host, allowed):
            valid = ", ".join(sorted(allowed)) or "none"
            raise ChannelHostNotAllowed(
                f"channels may not lead to {host[:200]}; allowed: {valid}."
                " The operator lists hosts in ALERT_HOSTS."
            )
    plugin.redirects = False  # an allowed host must not send us on to another
    plugin.socket_connect_timeout = plugin.socket_read_timeout = TIMEOUT_SECONDS
    return plugin


def _plugin(scheme: str, url: str) -> tuple[Any, dict[str, str]]:
    """Return what the library makes of an address, and its options."""
    made, parsed = None, None
    with suppress(AttributeError, TypeError, ValueError):  # its own error is a TypeError
        plugin = _class_of(KINDS[scheme])
        if parsed := plugin.parse_url(url):
            made = plugin(**parsed)
    if made is None or parsed is None:
        raise BadChannel(f"the address of the {KINDS[scheme].words} channel is not whole.")
    return made, parsed["qsd"]


@cache
def _class_of(kind: Kind) -> Any:
    """Load a plug-in when it is first needed: most processes can do without the library."""
    module, _, name = kind.plugin.rpartition(".")
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # of the library, which is not ours to change
        return getattr(import_module(f"apprise.plugins.{module}"), name)


def _is_known(option: str, kind: Kind) -> bool:
    """Webhooks may have headers and fields of their own: they go to the host that is allowed."""
    return option in kind.options or (kind is _WEBHOOK and option[:1] in ("+", ":"))


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    name = host.lower()
    alone = name.rpartition(":")[0] if re.search(r":[0-9]+$", name) else name
    return bool({name, alone} & {each.lower() for each in allowed})


def where_of(url: str, *, allowed: Collection[str]) -> str:
    """Return what of an address may be shown: its kind and the host it leads to.

    :raises BadChannel, ChannelHostNotAllowed: as ``open_channel``.
    """
    plugin = open_channel(url, allowed=allowed)
    scheme = url.partition("://")[0].lower()
    return f"{KINDS[scheme].words}, {KINDS[scheme].hosts(plugin)[0]}"


def send(url: str, title: str, body: str, *, allowed: Collection[str]) -> str:
    """Send one message; return why it could not be, empty when it was.

    What the other side says is not repeated, but for its HTTP status.
    """
    try:
        plugin = open_channel(url, allowed=allowed)
    except Invalid as exc:
        return exc.message[:300]
    said = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(said)
    try:
        if plugin.notify(title=title, body=body, notify_type="warning"):
            return ""
    finally:
        logger.removeHandler(said)
    if status := said.status:
        return f"it answered HTTP {status}"
    return f"no connection, or no answer within {TIMEOUT_SECONDS:.0f} s"


class _Heard(logging.Handler):
    """Keeps the HTTP status that the library logs, and nothing else of its words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status = ""

    def emit(self, record: logging.LogRecord) -> None:
        if found := _STATUS.search(record.getMessage()):
            self.status = found[1]
