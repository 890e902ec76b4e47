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
from threading import local
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import catch_warnings, simplefilter

from lib.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAX_URL = 2_000
#: Seconds for a connection, and for each answer of the other side.
TIMEOUT_SECONDS = 4.0
_STATUS = re.compile(r"error=([0-9]{3})")
#: How SMTP's refusals are quoted: ``(550, b'no such user')``.
_SMTP_STATUS = re.compile(r"\(([45][0-9]{2}), b['\"]|was refused: ([45][0-9]{2}) ")
#: What the library quotes of other errors → what that means to who wrote the address.
_MEANS = {
    "Connection refused": "nothing listens at that host and port",
    "timed out": f"no answer within {TIMEOUT_SECONDS:.0f} s",
    "Name or service not known": "its host's name is not known",
    "name resolution": "its host's name is not known",
    "No address associated": "its host's name is not known",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
    "WRONG_VERSION_NUMBER": "it does not speak TLS at that port",
    "STARTTLS": "the mail server offers no encryption (STARTTLS)",
    "unreachable": "its host cannot be reached from here",
    "No route to host": "its host cannot be reached from here",
}


class BadChannel(Invalid):
    code = "invalid_channel"


class ChannelHostNotAllowed(Invalid):
    code = "channel_host_not_allowed"


class Kind(NamedTuple):
    """``plugin`` is the library's; ``hosts`` it talks to; ``options`` that an address may have.

    ``like`` is how a whole address is written.
    """

    words: str
    plugin: str
    hosts: Callable[[Any], list[str]]
    like: str
    options: frozenset[str] = frozenset()


def _own(plugin: Any) -> list[str]:
    return [f"{plugin.host}:{plugin.port}" if plugin.port else str(plugin.host)]


def _mail_server(plugin: Any) -> list[str]:
    return [f"{plugin.smtp_host}:{plugin.port}" if plugin.port else str(plugin.smtp_host)]


def _fixed(*hosts: str) -> Callable[[Any], list[str]]:
    return lambda plugin: list(hosts)


_EMAIL_OPTIONS = frozenset({"to", "from", "cc", "bcc", "smtp", "mode", "name"})
_EMAIL = Kind(
    "e-mail",
    "email.NotifyEmail",
    _mail_server,
    "mailtos://user:password@example.com?smtp=smtp.example.com&to=on-call@example.com",
    _EMAIL_OPTIONS,
)
_WEBHOOK = Kind(
    "webhook",
    "custom_json.NotifyJSON",
    _own,
    "jsons://hooks.example.com/path",
    frozenset({"method"}),
)
_SLACK = Kind(
    "Slack",
    "slack.NotifySlack",
    _fixed("hooks.slack.com", "slack.com"),
    "slack://TokenA/TokenB/TokenC/#channel",
    frozenset({"to", "mode"}),
)
_DISCORD = Kind(
    "Discord",
    "discord.NotifyDiscord",
    _fixed("discord.com"),
    "discord://WebhookID/WebhookToken",
)
_TELEGRAM = Kind(
    "Telegram",
    "telegram.NotifyTelegram",
    _fixed("api.telegram.org"),
    "tgram://123456789:AbCdEfGhIjKlMnOpQrStUvWxYz012345678/12345678",
    frozenset({"to"}),
)
_MATTERMOST = Kind(
    "Mattermost",
    "mattermost.NotifyMattermost",
    _own,
    "mmosts://chat.example.com/Token",
    frozenset({"to", "channel"}),
)
_ROCKET = Kind(
    "Rocket.Chat",
    "rocketchat.NotifyRocketChat",
    _own,
    "rockets://TokenA/TokenB@chat.example.com/#channel",
    frozenset({"to", "mode"}),
)
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
            made = plugin(**parsed, asset=_asset())
    if made is None or parsed is None:
        kind = KINDS[scheme]
        raise BadChannel(
            f"the address of the {kind.words} channel is not whole; it is written like {kind.like}"
        )
    made.notify_format = "text"  # line breaks are kept, and no name is taken for markup
    return made, parsed["qsd"]


@cache
def _asset() -> Any:
    """Return who the messages are from: us, with no picture of the library's from elsewhere."""
    return import_module("apprise").AppriseAsset(
        app_id="Assay", app_desc="Assay", app_url="", image_url_mask="", image_url_logo=""
    )


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


def send(
    url: str, title: str, body: str, *, allowed: Collection[str], tone: str = "warning"
) -> str:
    """Send one message; return why it could not be, empty when it was.

    ``tone``, for channels with colours or a field for it: failure, warning, success or info. What
    the other side says is not repeated, but for its status.
    """
    try:
        plugin = open_channel(url, allowed=allowed)
    except Invalid as exc:
        return exc.message[:300]
    _listen()
    _heard.reason = ""
    if plugin.notify(title=title, body=body, notify_type=tone, body_format="text"):
        return ""
    return _heard.reason or f"no connection, or no answer within {TIMEOUT_SECONDS:.0f} s"


def _listen() -> None:
    """Be told all that the library logs, and nobody else: it has addresses.

    Whoever configures logging anew undoes it; that is why each send says it.
    """
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate, logger.handlers = False, [_ear]


class _Heard(local):
    """Why the last message of this thread did not go: others send at the same time."""

    reason = ""


class _Ear(logging.Handler):
    """Keeps what the library logs of a failure as a status or in words of ours, and nothing else.

    Its own words have addresses, and may have what the other side said.
    """

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()
        if record.levelno >= logging.WARNING and (found := _STATUS.search(words)):
            _heard.reason = f"it answered HTTP {found[1]}"
        elif found := _SMTP_STATUS.search(words):
            _heard.reason = f"the mail server refused it ({found[1] or found[2]})"
        elif words.startswith("Socket Exception"):
            known = (means for sign, means in _MEANS.items() if sign in words)
            _heard.reason = _heard.reason or next(known, "")


_heard, _ear = _Heard(), _Ear(logging.DEBUG)
