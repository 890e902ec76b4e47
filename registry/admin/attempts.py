"""Calling an operation from a button: what it refuses becomes a message, never a 500.

Not for unexpected errors: those stay what they are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from django.contrib import messages
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.utils import timezone
from django.utils.text import capfirst

from lib.errors import AssayError, Forbidden
from registry import audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

log = logging.getLogger(__name__)
T = TypeVar("T")


def attempt(
    request: HttpRequest, operation: Callable[[], T], *, done: str = "", deed: str = ""
) -> T | None:
    """Run ``operation`` and tell the person what became of it; None when it was refused.

    ``deed`` says in the trail what was refused, where the path alone does not.
    """
    try:
        result = operation()
    except AssayError as error:
        refuse(request, error, deed)
        return None
    if done:
        messages.success(request, done)
    return result


def refuse(request: HttpRequest, error: AssayError, deed: str = "") -> None:
    """Show a refusal; one for want of a right also leaves its trace in the audit trail."""
    messages.error(request, as_sentence(error.message))
    if not isinstance(error, Forbidden):
        return
    path = f"{request.method} {request.path} {deed}".rstrip()
    try:
        audit.record_denial(actor=request.user, path=path, error=error, at=timezone.now())
    except DatabaseError:
        log.exception("the denial was not recorded")


def as_sentence(message: str) -> str:
    """Begin a message with a capital letter, unless it begins with a name."""
    first = message.partition(" ")[0]
    is_word = first.isalpha() and not User.objects.filter(username=first).exists()
    return capfirst(message) if is_word else message
