"""Where definitions came from: the commit that last applied an object."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import Kind
from registry.models.project import Project


class Origin(models.Model):
    """The last commit that said what an object is, and what that was.

    It is kept by name. Whoever changes the object by another door leaves the row as it is: the two
    then differ.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="origins")
    kind = models.CharField(max_length=32, choices=[(kind, kind) for kind in Kind])
    name = models.CharField(max_length=63)
    repository = models.CharField(max_length=300)
    ref = models.CharField(max_length=255, blank=True)
    commit = models.CharField(max_length=64)
    #: The file as it was sent, which is a path in the repository where the sender stood there.
    path = models.CharField(max_length=500, blank=True)
    #: Of what was said, without what it embeds.
    fingerprint = models.CharField(max_length=64)
    applied_at = models.DateTimeField()
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("kind", "name")
        constraints = (
            # "Which commit said this last?" of the objects of a project, by name.
            models.UniqueConstraint(
                fields=("project", "kind", "name"), name="registry_origin_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of {self.commit[:12]}"
