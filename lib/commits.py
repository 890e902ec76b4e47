"""What follows a transaction and may fail alone, as messages do that wake a worker.

Not for what has to happen: that is a row of the transaction, and somebody looks for it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from kombu.exceptions import OperationalError as BrokerFailed

from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


def once_committed(what: str, call: Callable[..., object], **arguments: object) -> None:
    """Call once the transaction is in; a failure is logged as one of ``what``, and harms nothing.

    Not Django's ``robust=True``, which raises an error of its own where what failed is a
    ``partial`` or another callable without a name, and then calls none of those that wait.
    """

    def follow() -> None:
        try:
            call(**arguments)
        except (BrokerFailed, Unavailable) as exc:
            log.warning("%s failed: %s", what, exc)
        except Exception:
            log.exception("%s failed", what)

    transaction.on_commit(follow)
