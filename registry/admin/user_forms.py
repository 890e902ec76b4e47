"""The forms of accounts in our words: persons log in, service accounts have tokens.

Not for storing: ``operations.people.users`` does, and leaves the trace.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminRadioSelectWidget

from registry import access
from registry.choices import AccountKind

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
KINDS = {
    AccountKind.PERSON: "A person, who logs in",
    AccountKind.SERVICE: "A service account, which cannot",
}
KIND_HELP = (
    "A service account has neither a password nor a login: programs use its API tokens, "
    "and it can never approve or reject. Only persons decide."
)

SET = '<a class="as-link" href="../password/">{}</a>'
PASSWORD = format_html(f"Only its hash is kept. {SET}.", "Set another")
NO_PASSWORD = format_html(f"None is set. {SET}.", "Set one")
NO_LOGIN = "A service account has none."


class KindForm(forms.Form):
    """The choice of what an account is, and our words for what the ticks beside it mean."""

    kind = forms.ChoiceField(
        label="Kind of account",
        help_text=KIND_HELP,
        choices=list(KINDS.items()),
        initial=AccountKind.PERSON,
        widget=UnfoldAdminRadioSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (label, help_text) in RIGHTS.items():
            if name in self.fields:
                self.fields[name].label, self.fields[name].help_text = label, help_text


class NewAccountForm(UserCreationForm, KindForm):
    usable_password = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if staff := self.fields.get("is_staff"):
            staff.initial = True
            staff.help_text = f"{staff.help_text} Service accounts never log in."

    def clean(self) -> dict[str, Any] | None:
        # Django's form asks for passwords unless this says that there is none.
        is_service = self.cleaned_data.get("kind") == AccountKind.SERVICE
        self.cleaned_data["usable_password"] = "false" if is_service else "true"
        return super().clean()


class AccountForm(UserChangeForm, KindForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = access.kind_of(self.instance)
        self.fields["kind"].initial = kind
        if kind is AccountKind.SERVICE:
            self.fields["password"].help_text = NO_LOGIN
        else:
            has_one = self.instance.has_usable_password()
            self.fields["password"].help_text = PASSWORD if has_one else NO_PASSWORD
