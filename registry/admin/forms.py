"""The few forms of the registry's admin: what is typed, before an operation judges it.

Not for rules: an operation refuses what is not allowed and its words become a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User

from registry.admin.scope import projects_with
from registry.choices import SENSITIVE, EvidencePart, Role
from registry.file_roots import DEFAULT
from registry.models import Membership, Project
from registry.operations.people.projects import MOST_ONE_IN
from registry.reviewers import MOST_HOURS

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Most people in the list to choose from; beyond, a name is typed.
MAX_SUGGESTIONS = 300
#: What is a box to tick, one or several, and does not fill the width.
BOXES = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


def styled(form: forms.Form) -> None:
    """Give every input the look of our pages."""
    for field in form.fields.values():
        if not isinstance(field.widget, BOXES):
            field.widget.attrs.setdefault("class", "as-input")


class StyledForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        styled(self)


class SeenForm(StyledForm):
    """A form that also sends back what it showed, so that changes of others are noticed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def seen(self) -> dict[str, Any] | None:
        """Return what the page showed, by field; None if it does not say, or says nonsense."""
        shown = {
            name: field.hidden_widget().value_from_datadict(
                self.data, self.files, self[name].html_initial_name
            )
            for name, field in self.fields.items()
        }
        if None in shown.values():
            return None
        try:
            return {name: self.fields[name].clean(value) for name, value in shown.items()}
        except forms.ValidationError:
            return None


class ProjectForm(SeenForm):
    title = forms.CharField(max_length=200, required=False, strip=False)
    approvals_required = forms.IntegerField(
        label="Approvals a version needs", min_value=1, max_value=9
    )
    approvals_required_sensitive = forms.IntegerField(
        label="Approvals with confidential or restricted features", min_value=1, max_value=9
    )
    evidence_required = forms.MultipleChoiceField(
        label="Evidence that has to be there before an approval",
        choices=[(part.value, part.value) for part in EvidencePart],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    review_hours = forms.IntegerField(
        label="Hours after which a review is overdue",
        min_value=1,
        max_value=MOST_HOURS,
        required=False,
        help_text="Left empty: as it is.",
    )
    usage_sampled_one_in = forms.IntegerField(
        label="Keep values of one online read in",
        min_value=0,
        max_value=MOST_ONE_IN,
        required=False,
        help_text=(
            "As in 100: what about every hundredth read answered, without keys, to compare it with"
            " the baseline. 0: of none. Never of confidential or restricted features."
            " Left empty: as it is."
        ),
    )


class NewProjectForm(StyledForm):
    name = forms.CharField(
        max_length=63,
        help_text="Lower-case letters, digits and _; it is part of every address and stays.",
    )
    title = forms.CharField(max_length=200, required=False)


class RootForm(StyledForm):
    """A directory of the server, and what definitions call it."""

    name = forms.CharField(label="Root", max_length=63, initial=DEFAULT)
    path = forms.CharField(
        label="Directory",
        max_length=1024,
        help_text="Absolute, inside the server's FILE_ROOTS, apart from every other root.",
    )


class GrantForm(StyledForm):
    username = forms.CharField(
        label="Person or service account", widget=forms.TextInput(attrs={"list": "as-people"})
    )
    role = forms.ChoiceField(choices=[(role.value, role.value) for role in Role])

    def clean_username(self) -> User:
        user = User.objects.filter(username=self.cleaned_data["username"].strip()).first()
        if user is None:
            raise forms.ValidationError(
                "There is no account of this name. A superuser makes accounts."
            )
        return user


class RevokeForm(StyledForm):
    membership = forms.ModelChoiceField(
        Membership.objects.none(),
        error_messages={
            "required": "Which role? Take one away by the button beside it.",
            "invalid_choice": "There is no such role here, or no longer. Look at the list again.",
        },
    )

    def __init__(self, project: Project, *args: Any) -> None:
        super().__init__(*args)
        memberships = project.memberships.select_related("user")
        self.fields["membership"].queryset = memberships  # type: ignore[attr-defined]


class ReadGrantForm(StyledForm):
    """What somebody asks to read, for whom, why and how long."""

    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    username = forms.CharField(
        label="For",
        max_length=150,
        help_text="A person or service account with a role in the project.",
    )
    feature_view = forms.CharField(
        max_length=63, required=False, help_text="What is sensitive in this one view, or:"
    )
    level = forms.ChoiceField(
        label="In every view of the project, up to",
        required=False,
        choices=[("", "–"), *((each.value, each.value) for each in SENSITIVE)],
    )
    purpose = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the values are for. Whoever decides reads it, and the trail keeps it.",
    )
    days = forms.IntegerField(label="For how long, in days", min_value=1, initial=90)

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        visible = Project.objects.filter(pk__in=projects_with(request))
        self.fields["project"].queryset = visible  # type: ignore[attr-defined]
        days = self.fields["days"]
        days.widget.attrs["max"] = settings.READ_GRANT_MAX_DAYS
        days.help_text = f"At most {settings.READ_GRANT_MAX_DAYS}."
