"""The namespace a team works in, its policy and its allow-listed roots."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from registry.choices import Right

is_name = RegexValidator(
    r"^[a-z][a-z0-9_]{0,62}$", "Use lower-case letters, digits and _, beginning with a letter."
)


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
    #: Another one after every change of a fact that read plans hold, but for what is one view's:
    #: that has its own. See ``registry.epoch``.
    epoch = models.CharField(max_length=16, default="", blank=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        permissions = (
            (Right.READ_ONLINE, "Can read online features"),
            (Right.READ_OFFLINE, "Can read training sets"),
            (Right.PLAN_FEATUREVIEW, "Can plan definitions"),
            (Right.ADD_FEATUREVIEW, "Can register definitions"),
            (Right.CHANGE_FEATUREVIEW, "Can edit and submit definitions"),
            (Right.APPROVE_FEATUREVIEW, "Can approve feature view versions"),
            (Right.RELEASE_FEATUREVIEW, "Can promote, deprecate and retire versions"),
            (Right.MATERIALIZE_FEATUREVIEW, "Can start and cancel runs"),
            (Right.CHANGE_SCHEDULE, "Can change schedules"),
            (Right.VIEW_AUDITENTRY, "Can read the audit trail"),
            (Right.MANAGE_MEMBERS, "Can grant and revoke roles"),
        )

    def __str__(self) -> str:
        return self.name


class ProjectUserObjectPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ProjectGroupObjectPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)
