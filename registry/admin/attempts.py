"""Calling an operation from a button: what it refuses becomes a message, never a 500.

Not for unexpected errors: those stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.contrib import messages
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.text import capfirst

from lib.errors import AssayError, Forbidden
from registry.denials import DenialNotRecorded, RefusedTooOften, record_denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

T = TypeVar("T")


def attempt(
    request: HttpRequest, operation: Callable[[], T], *, done: str = "", wanted: str = ""
) -> T | None:
    """Run ``operation`` and tell the person what became of it; None when it was refused.

    ``wanted`` says in the trail what was refused, where the view alone does not know it.
    """
    try:
        result = operation()
    except AssayError as error:
        refuse(request, error, wanted)
        return None
    if done:
        messages.success(request, done)
    return result


def refuse(request: HttpRequest, error: AssayError, wanted: str = "") -> None:
    """Show a refusal; one for want of a right also leaves its trace in the audit trail."""
    if isinstance(error, Forbidden):
        try:
            record_denial(request, error, at=timezone.now(), attempt=wanted)
        except (DenialNotRecorded, RefusedTooOften) as instead:
            error = instead
    messages.error(request, as_sentence(error.message))


def as_sentence(message: str) -> str:
    """Begin a message with a capital letter, unless it begins with a name."""
    first = message.partition(" ")[0]
    is_word = first.isalpha() and not User.objects.filter(username=first).exists()
    return capfirst(message) if is_word else message
