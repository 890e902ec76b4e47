"""What came of trying a connection, the last time that somebody asked for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models.project import Project


class ConnectionTry(models.Model):
    """The last try of one of a project's connections; the connection itself is no row of ours."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="connection_tries")
    name = models.CharField(max_length=63)
    #: Where it led then; one that leads elsewhere by now was not tried.
    identity = models.CharField(max_length=16)
    tried_at = models.DateTimeField()
    tried_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    #: Why nothing could be read, in words; empty: it answered.
    error = models.TextField(blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("project", "name"), name="registry_connectiontry_name"),
        )

    def __str__(self) -> str:
        return self.name
