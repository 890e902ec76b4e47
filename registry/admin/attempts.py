"""Calling an operation from a button: what it refuses becomes a message, never a 500.

Not for unexpected errors: those stay what they are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from django.contrib import messages
from django.db import DatabaseError
from django.utils import timezone

from registry import audit
from registry.errors import AssayError, Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

log = logging.getLogger(__name__)
T = TypeVar("T")


def attempt(request: HttpRequest, operation: Callable[[], T], *, done: str = "") -> T | None:
    """Run ``operation`` and tell the person what became of it; None when it was refused."""
    try:
        result = operation()
    except AssayError as error:
        refuse(request, error)
        return None
    if done:
        messages.success(request, done)
    return result


def refuse(request: HttpRequest, error: AssayError) -> None:
    """Show a refusal; one for want of a right also leaves its trace in the audit trail."""
    messages.error(request, error.message)
    if not isinstance(error, Forbidden):
        return
    path = f"{request.method} {request.path}"
    try:
        audit.record_denial(actor=request.user, path=path, error=error, at=timezone.now())
    except DatabaseError:
        log.exception("the denial was not recorded")
