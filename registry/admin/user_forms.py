"""The forms of accounts in our words: persons log in, service accounts have tokens.

Not for storing: ``operations.users`` does, and leaves the trace.
"""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

RIGHTS = {
    "is_active": (
        "Active",
        "Untick to shut somebody out at once, tokens included. Accounts are never deleted.",
    ),
    "is_staff": (
        "May log in to the admin",
        "Opens these pages to them. Their roles in projects decide what they see and may do.",
    ),
    "is_superuser": (
        "Superuser",
        "Manages accounts and projects and holds every right in all of them. "
        "Deciding on one's own work is refused to superusers too.",
    ),
}
KINDS = {"true": "A person, with a password", "false": "A service account, without one"}
KIND_HELP = (
    "A service account cannot log in: programs use its API tokens, "
    "and it can never approve or reject. Only persons decide."
)

SET = '<a class="as-link" href="../password/">{}</a>'
PASSWORD = format_html(f"Only its hash is kept. {SET}.", "Set another")
NO_PASSWORD = format_html(
    f"A service account. {SET}, and it becomes a person's account.", "Give it a password"
)


def worded(form: Any) -> None:
    """Say in our words what the ticks and the choice of a password mean."""
    for name, (label, help_text) in RIGHTS.items():
        if name in form.fields:
            form.fields[name].label, form.fields[name].help_text = label, help_text
    if kind := form.fields.get("usable_password"):
        kind.label, kind.help_text = "Kind of account", KIND_HELP
        kind.choices = kind.widget.choices = list(KINDS.items())


class NewAccountForm(UserCreationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        worded(self)
        if staff := self.fields.get("is_staff"):
            staff.initial = True
            staff.help_text = f"{staff.help_text} Service accounts never log in."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if not cleaned.get("set_usable_password"):
            cleaned["is_staff"] = False
        return cleaned


class AccountForm(UserChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        worded(self)
        is_person = self.instance.has_usable_password()
        self.fields["password"].help_text = PASSWORD if is_person else NO_PASSWORD


class PasswordForm(AdminPasswordChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        worded(self)
