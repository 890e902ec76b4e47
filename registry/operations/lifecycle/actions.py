"""The operation behind each action of the lifecycle: buttons and API calls perform the same.

Not for what an operation does (``reviews``, ``glass``, ``releases``), nor for where
it leads (``lifecycle``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.choices import Action
from registry.operations.lifecycle import after_glass, glass, releases, reviews, submissions

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS: dict[Action, Callable[..., Any]] = {
    Action.SUBMIT: submissions.submit_version,
    Action.WITHDRAW: submissions.withdraw_version,
    Action.APPROVE: reviews.approve_version,
    Action.REJECT: reviews.reject_version,
    Action.BREAK_GLASS: glass.break_glass,
    Action.CONFIRM: after_glass.confirm_glass,
    Action.OBJECT: after_glass.object_to_glass,
    Action.PROMOTE: releases.promote_version,
    Action.DEPRECATE: releases.deprecate_version,
    Action.RESTORE: releases.restore_version,
    Action.RETIRE: releases.retire_version,
}
