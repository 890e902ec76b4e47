"""Who stands behind an account, who is what in which project, and the tokens that speak for them.

Not for what a role may do (``registry.access``) or for whose hand an account is
(``registry.accounts.hands``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models

from registry.choices import AccountKind, Role
from registry.models.project import Project

if TYPE_CHECKING:
    from datetime import datetime


class Account(models.Model):
    """What an account was said to be; ``registry.access.PERSON`` reads it, and has the default."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account"
    )
    kind = models.CharField(max_length=16, choices=[(k, k.replace("_", " ")) for k in AccountKind])
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField()
    #: As ``Membership.hands``, of its rights as a superuser; null: nobody's word, by the shell.
    raised_by = models.JSONField(null=True, blank=True, editable=False)
    #: Of a service account that a project's owners made: whose it is, and what it is for.
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="service_accounts"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    description = models.CharField(max_length=500, blank=True)
    #: How many calls each of its tokens may make in a minute; null: as many as any token.
    calls_per_minute = models.PositiveIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user} is a {self.kind.replace('_', ' ')}"


class OfPrograms(models.Manager["ServiceAccount"]):
    """Of programs only, and of those that are a project's."""

    def get_queryset(self) -> models.QuerySet[ServiceAccount]:
        return super().get_queryset().filter(kind=AccountKind.SERVICE, project__isnull=False)


class ServiceAccount(Account):
    """The account of a project's program, as pages list it."""

    objects: ClassVar[OfPrograms] = OfPrograms()

    class Meta:
        proxy = True

    def __str__(self) -> str:
        return str(self.user)


class PasswordChange(models.Model):
    """One password that an account was given; the last says whose hand the present one is."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="password_changes"
    )
    #: The account's owner, or whoever set it for them.
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField()
    #: Who agreed to it beside them; null where nobody had to, or could.
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: The SHA-256 of what was stored: a password that came past us has none here.
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ("user_id", "id")

    def __str__(self) -> str:
        return f"a password of {self.user}, set by {self.set_by}"


class Membership(models.Model):
    """One role of one user in one project; its permissions are granted with it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=[(r, r) for r in Role])
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    granted_at = models.DateTimeField()
    #: The provider's group that gives it: it goes with the group. Empty: somebody gave it by hand.
    group = models.CharField(max_length=200, blank=True)
    #: Who agreed to it beside whoever granted it; null where nobody had to, or could.
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    #: When they did: it is a word on the account as well, as it was known then.
    agreed_at = models.DateTimeField(null=True, blank=True)
    #: The people behind it: a list for each who agreed, of them and those they have their say from.
    hands = models.JSONField(default=list, blank=True, editable=False)

    class Meta:
        ordering = ("project__name", "user__username", "role")
        constraints = (
            models.UniqueConstraint(
                fields=("project", "user", "role"), name="registry_membership_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Identity(models.Model):
    """Who somebody is at the OpenID provider: its subject, which it never gives to another."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities"
    )
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255)
    #: The groups that the provider last said, in order, and when it said so.
    groups = models.JSONField(default=list)
    said_at = models.DateTimeField(null=True, blank=True)
    linked_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "identities"
        constraints = (
            models.UniqueConstraint(fields=("issuer", "subject"), name="registry_identity_once"),
        )

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"


class ApiToken(models.Model):
    """A bearer token that acts as its user; only its SHA-256 is kept."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    #: Limits the token to one project; null means all of its user's.
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=16, help_text="The token's first characters, to recognise it by."
    )
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: Whether its owner made it when logged in, by a password of their own: others never decide.
    may_decide = models.BooleanField(default=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    #: What it is limited to beside its project; an empty list is no limit. ``registry.scopes``.
    views = models.JSONField(default=list)
    rights = models.JSONField(default=list)
    networks = models.JSONField(default=list)
    #: How many calls it may make in a minute; null: as many as its account, and any token.
    calls_per_minute = models.PositiveIntegerField(null=True, blank=True)
    #: As of a minute ago, or so; kept apart from the trail.
    last_used_at = models.DateTimeField(null=True, blank=True)
    #: The token whose place it took.
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="successors"
    )

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_live(self, at: datetime) -> bool:
        return self.revoked_at is None and at < self.expires_at
