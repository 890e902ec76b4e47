"""A person's first log-in, as a browser does it: a password of their own, then a token.

What is made for somebody at the server's shell decides nothing, so whoever decides in an example
comes in by the door. Not for programs: their tokens are made by those who manage them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_TOKEN = re.compile(r"assay_[\w-]{40,}")
_MINE = re.compile(r'<option value="(\d+)"[^>]*selected')


class FirstLoginFailed(Exception):
    """The message says at which page, and what it said."""


def first_login(url: str, name: str, *, given: str, own: str, days: int = 1) -> str:
    """Log in with the password that was given, set one of one's own, and make a token; return it.

    Where ``given`` is one's own already, it stays. The token is for all that the account may do.
    :raises FirstLoginFailed: the server refuses one of the steps.
    """
    browser = build_opener(HTTPCookieProcessor())
    _send(browser, f"{url}/admin/login/", username=name, password=given)
    if given != own:
        passwords = {"old_password": given, "new_password1": own, "new_password2": own}
        _send(browser, f"{url}/admin/password_change/", **passwords)
    page = f"{url}/admin/registry/apitoken/add/"
    mine = _MINE.search(_open(browser, page))
    said = _send(browser, page, name="first", days=str(days), user=mine[1] if mine else "")
    if (token := _TOKEN.search(said)) is None:
        raise FirstLoginFailed(f"{page} gave {name} no token.")
    return token[0]


def _send(browser: OpenerDirector, page: str, **form: str) -> str:
    csrf = _CSRF.search(_open(browser, page))
    if csrf is None:
        raise FirstLoginFailed(f"{page} has no form: is the account let in?")
    body = urlencode({"csrfmiddlewaretoken": csrf[1], **form}).encode()
    said = _open(browser, Request(page, body, headers={"Referer": page}))  # noqa: S310 - our own
    if 'class="errorlist' in said or "errornote" in said:
        raise FirstLoginFailed(f"{page} refused what was sent.")
    return said


def _open(browser: OpenerDirector, what: str | Request) -> str:
    with browser.open(what, timeout=60) as answer:
        return str(answer.read().decode())
