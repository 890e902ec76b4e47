"""The namespace a team works in, its policy and its allow-listed roots."""

from __future__ import annotations

from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from registry.choices import Right

is_name = RegexValidator(
    r"^[a-z][a-z0-9_]{0,62}$", "Use lower-case letters, digits and _, beginning with a letter."
)


#: The columns of a project that say what a version needs before it becomes approved.
POLICY = ("approvals_required", "approvals_required_sensitive", "evidence_required")


class Project(models.Model):
    """One team's namespace: names below it are unique, roles and policy hold inside it."""

    name = models.CharField(max_length=63, unique=True, validators=[is_name])
    title = models.CharField(max_length=200, blank=True)
    approvals_required = models.PositiveSmallIntegerField(
        default=1, help_text="Approvals a version needs."
    )
    approvals_required_sensitive = models.PositiveSmallIntegerField(
        default=2, help_text="Approvals a version with confidential or restricted features needs."
    )
    #: Which parts of the evidence (``EvidencePart``) have to be there before an approval.
    evidence_required = models.JSONField(
        default=list, blank=True, help_text="Evidence that has to be there before an approval."
    )
    review_hours = models.PositiveSmallIntegerField(
        default=48, help_text="Hours after which what waits for review is overdue."
    )
    usage_sampled_one_in = models.PositiveIntegerField(
        default=0, help_text="Values are kept of one online read in so many; 0: of none."
    )
    #: Another one after every change of a fact that read plans hold, but for what is one view's:
    #: that has its own. See ``registry.epoch``.
    epoch = models.CharField(max_length=16, default="", blank=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        permissions = (
            (Right.READ_ONLINE, "Can read online features"),
            (Right.READ_OFFLINE, "Can read training sets"),
            (Right.PUSH_FEATUREVIEW, "Can push rows"),
            (Right.PLAN_FEATUREVIEW, "Can plan definitions"),
            (Right.ADD_FEATUREVIEW, "Can register definitions"),
            (Right.CHANGE_FEATUREVIEW, "Can edit and submit definitions"),
            (Right.APPROVE_FEATUREVIEW, "Can approve feature view versions"),
            (Right.BREAK_GLASS, "Can approve by breaking the glass"),
            (Right.RELEASE_FEATUREVIEW, "Can promote, deprecate and retire versions"),
            (Right.MATERIALIZE_FEATUREVIEW, "Can start and cancel runs"),
            (Right.CHANGE_SCHEDULE, "Can change schedules"),
            (Right.VIEW_AUDITENTRY, "Can read the audit trail"),
            (Right.MANAGE_MEMBERS, "Can grant and revoke roles"),
            (Right.GIVE_READGRANT, "Can give grants to read sensitive features"),
            (Right.TEST_CONNECTION, "Can have connections tried"),
            (Right.END_DATASET, "Can end datasets that others asked for"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def policy(self) -> dict[str, Any]:
        """What a version needs before it becomes approved, by column."""
        return {column: getattr(self, column) for column in POLICY}


class PolicyChange(models.Model):
    """What a project's policy wanted until somebody changed it: what waits is not made easier."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="policy_changes")
    #: The columns of the policy as they were.
    before = models.JSONField()
    changed_at = models.DateTimeField()

    class Meta:
        # "What did it want since this draft began?" is asked of every version that waits.
        indexes = (
            models.Index(fields=("project", "changed_at"), name="registry_policychange_time"),
        )

    def __str__(self) -> str:
        return f"the policy of {self.project} until {self.changed_at:%Y-%m-%d %H:%M}"


class ProjectUserObjectPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ProjectGroupObjectPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)
