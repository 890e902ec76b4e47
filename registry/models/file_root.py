"""The directories file sources are read from, each with a name, assigned to one project."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.db import models

from registry.models.project import Project, is_name


class FileRoot(models.Model):
    """One directory that one project's sources may read; whoever runs the server assigns it.

    Versions embed its name and its identity, so none of them ever reads another place than the one
    it was approved for.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="roots")
    #: What definitions call it; the directory may move, the name stays.
    name = models.CharField(max_length=63, validators=[is_name])
    #: Absolute, without symbolic links.
    path = models.CharField(max_length=1024)
    assigned_at = models.DateTimeField()
    #: None: at the shell of the server.
    assigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("project", "name"), name="registry_fileroot_name"),
            # The least of "no two overlap", which the operation checks, held by the database.
            models.UniqueConstraint(fields=("path",), name="registry_fileroot_path"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        """Which place it is: made of the path, so that no other row or name can stand for it."""
        return hashlib.sha256(self.path.encode()).hexdigest()[:16]
