"""FeatureStore: the one object programs use, put together from the groups of calls.
Not for the calls themselves; each group has its own file.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import TracebackType

from assay import config
from assay.accounts import AccountCalls
from assay.alerts import AlertCalls
from assay.budgets import BudgetCalls
from assay.catalogue import CatalogueCalls
from assay.certificates import CertificateCalls
from assay.datasets import DatasetCalls
from assay.errors import NotConfigured
from assay.grants import GrantCalls
from assay.lifecycle import LifecycleCalls
from assay.news import NewsCalls
from assay.profiles import ProfileCalls
from assay.proposals import ProposalCalls
from assay.questions import QuestionCalls
from assay.reads import ReadCalls
from assay.reviews import ReviewCalls
from assay.runs import RunCalls
from assay.searching import SearchCalls
from assay.shapes import JSON
from assay.tokens import TokenCalls
from assay.trail import TrailCalls
from assay.transfers import TransferCalls
from assay.transport import Transport, api_path


class FeatureStore(
    CatalogueCalls,
    SearchCalls,
    QuestionCalls,
    LifecycleCalls,
    ReviewCalls,
    NewsCalls,
    RunCalls,
    AlertCalls,
    ProfileCalls,
    CertificateCalls,
    BudgetCalls,
    GrantCalls,
    TrailCalls,
    TokenCalls,
    ProposalCalls,
    AccountCalls,
    ReadCalls,
    TransferCalls,
    DatasetCalls,
):
    """One project of an Assay server.

    ``url``, ``token`` and ``project`` default to ``ASSAY_URL``, ``ASSAY_TOKEN`` (or
    ``ASSAY_TOKEN_FILE``) and ``ASSAY_PROJECT``, then to the nearest ``assay.toml``. Nothing is
    sent before the first call. ``timeout`` is how many seconds to wait for any answer; without it
    a training set has more time than other calls. Reads are asked again when the server says when.

    Threads may share it, and a forked process may go on with it. It can be pickled, with the
    token: keep such a pickle as you keep a token.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        project: str | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        if timeout is not None and not 0 < timeout < math.inf:
            raise NotConfigured(f"timeout is {timeout!r}; give seconds, more than 0, or None")
        settings = config.load(
            url=url, token=token, project=project, environ=os.environ, cwd=Path.cwd()
        )
        self._transport = Transport(settings, timeout_seconds=timeout)

    def __repr__(self) -> str:
        settings = self._transport.config
        return f"FeatureStore(url={settings.url!r}, project={settings.project!r})"

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections; a later call opens new ones."""
        self._transport.close()

    @property
    def project(self) -> str | None:
        return self._transport.config.project

    def list_projects(self) -> list[JSON]:
        found: list[JSON] = self._transport.get(api_path("projects"))["results"]
        return found

    def whoami(self) -> JSON:
        """Give ``{"user", "token", "expires_at", "projects": {project: [role]}}``."""
        found: JSON = self._transport.get(api_path("whoami"))
        return found
