"""The forms of tokens and of the programs that come with them: what is typed, before it is judged.

Not for rules: ``operations.people.tokens`` and ``service_accounts`` refuse what is not allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q

from registry import access
from registry.accounts.hands import DECIDING_ROLES
from registry.admin.forms import StyledForm
from registry.admin.scope import projects_with
from registry.choices import Right, Role
from registry.models import Project
from registry.operations.people.service_accounts import MAX_DESCRIPTION, MAX_USERNAME
from registry.operations.people.token_limits import MOST_CALLS
from registry.operations.people.tokens import MAX_OVERLAP_HOURS, MAX_TOKEN_NAME, Limits
from registry.roles import DECISIONS

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.models import ApiToken


class LimitsForm(StyledForm):
    """What a token is limited to, and for how long it is."""

    rights = forms.MultipleChoiceField(
        label="For these rights only",
        choices=[(right.value, right.value) for right in Right],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None ticked: all that the account has.",
    )
    views = forms.CharField(
        label="For these feature views only",
        required=False,
        max_length=4000,
        help_text="Names with commas between them; of the project above.",
    )
    networks = forms.CharField(
        label="From these networks only",
        required=False,
        max_length=4000,
        help_text="As in 10.1.0.0/16, 2001:db8::/32.",
    )
    calls_per_minute = forms.IntegerField(
        label="Calls in a minute",
        min_value=0,
        max_value=MOST_CALLS,
        required=False,
        help_text="Left empty, or 0: as many as the account, and any token, may make.",
    )
    days = forms.IntegerField(label="Valid for, in days", min_value=1, initial=90)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        days = self.fields["days"]
        days.widget.attrs["max"] = settings.TOKEN_MAX_DAYS
        days.help_text = f"At most {settings.TOKEN_MAX_DAYS}."

    @property
    def limits(self) -> Limits:
        asked = self.cleaned_data
        return Limits(
            views=_listed(asked["views"]),
            rights=asked["rights"],
            networks=_listed(asked["networks"]),
            calls_per_minute=asked["calls_per_minute"],
        )


class TokenForm(LimitsForm):
    field_order = ("name", "user", "project")
    name = forms.CharField(
        max_length=MAX_TOKEN_NAME, help_text="What it is for, as in: churn model, production"
    )
    user = forms.ModelChoiceField(
        User.objects.none(),
        label="Speaks for",
        empty_label=None,
        help_text="The token may do what this account may do.",
    )
    project = forms.ModelChoiceField(
        Project.objects.none(),
        label="Limited to",
        required=False,
        empty_label="all projects of the account",
    )

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        # A page that leads here says for whom and where, in its address.
        asked = {name: request.GET.get(name, "") for name in ("user", "project")}
        known = {name: int(key) for name, key in asked.items() if _is_key(key)}
        super().__init__(*args, initial={"user": request.user.pk, **known})
        self.fields["user"].queryset = _token_users(request)  # type: ignore[attr-defined]
        visible = Project.objects.filter(pk__in=projects_with(request))
        self.fields["project"].queryset = visible  # type: ignore[attr-defined]


class RotationForm(StyledForm):
    """How long a token's successor lives, and the token itself beside it."""

    overlap_hours = forms.IntegerField(
        label="The old one goes on for, in hours",
        min_value=0,
        max_value=MAX_OVERLAP_HOURS,
        initial=24,
        help_text=f"0 ends it now; at most {MAX_OVERLAP_HOURS}, and never beyond its own end.",
    )
    days = forms.IntegerField(
        label="The new one is valid for, in days",
        min_value=1,
        required=False,
        help_text="Left empty: as long as the old one was made for.",
    )

    def __init__(self, token: ApiToken, *args: Any) -> None:
        super().__init__(*args)
        made_for = (token.expires_at - token.created_at).days
        days = self.fields["days"].widget.attrs
        days |= {"max": settings.TOKEN_MAX_DAYS, "placeholder": made_for}


class ServiceAccountForm(StyledForm):
    """What may be changed of one."""

    description = forms.CharField(
        label="What it is for",
        max_length=MAX_DESCRIPTION,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    owner = forms.CharField(
        label="Who is asked about it",
        max_length=MAX_USERNAME,
        required=False,
        help_text="A person with a role in the project. Left empty: as it is.",
    )
    calls_per_minute = forms.IntegerField(
        label="Calls in a minute, of each of its tokens",
        min_value=0,
        max_value=MOST_CALLS,
        required=False,
        help_text="0 or left empty: as many as any token may make.",
    )


class NewServiceAccountForm(LimitsForm):
    """A program's account with its first token."""

    field_order = ("project", "name", "role", "description", "owner", "token_name")
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    name = forms.CharField(
        max_length=40,
        help_text="Lower-case letters, digits and -, as in churn; it is called churn@PROJECT.",
    )
    role = forms.ChoiceField(
        choices=[(role.value, role.value) for role in Role if role not in DECIDING_ROLES],
        help_text="Roles that decide are for people.",
    )
    description = ServiceAccountForm.base_fields["description"]
    owner = forms.CharField(
        label="Who is asked about it",
        max_length=MAX_USERNAME,
        required=False,
        help_text="A person with a role in the project. Left empty: you.",
    )
    token_name = forms.CharField(
        label="Name of its first token",
        max_length=MAX_TOKEN_NAME,
        initial="production",
        help_text="Its text is shown once, on the next page.",
    )

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        managed = Project.objects.filter(pk__in=projects_with(request, Right.MANAGE_MEMBERS))
        asked = managed.filter(name=request.GET.get("project", "")[:63].replace("\x00", ""))
        super().__init__(*args, initial={"project": asked.first()})
        self.fields["project"].queryset = managed  # type: ignore[attr-defined]
        rights = [(right.value, right.value) for right in Right if right not in DECISIONS]
        self.fields["rights"].choices = rights  # type: ignore[attr-defined]


def _listed(text: str) -> list[str]:
    """Return what is between the commas of a text."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < len(str(2**63))


def _token_users(request: HttpRequest) -> Any:
    """Return whom the person may make tokens for: themselves, and service accounts they manage.

    Nobody makes one for another superuser; superusers make them for anybody else.
    """
    active = User.objects.filter(is_active=True).order_by("username")
    others = Q(is_superuser=False)
    if not request.user.is_superuser:
        managed = projects_with(request, Right.MANAGE_MEMBERS)
        others &= ~access.PERSON & Q(memberships__project__in=managed)
    return active.filter(Q(pk=request.user.pk) | others).distinct()
