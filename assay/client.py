"""FeatureStore: the one object programs use, put together from the groups of calls.
Not for the calls themselves; each group has its own file.
"""

from __future__ import annotations

import os
from copy import copy
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from assay import config
from assay.accounts import AccountCalls
from assay.alerts import AlertCalls
from assay.budgets import BudgetCalls
from assay.catalogue import CatalogueCalls
from assay.certificates import CertificateCalls
from assay.context import ContextCalls
from assay.datasets import DatasetCalls
from assay.grants import GrantCalls
from assay.lifecycle import LifecycleCalls
from assay.news import NewsCalls
from assay.profiles import ProfileCalls
from assay.proposals import ProposalCalls
from assay.pushing import PushCalls
from assay.questions import QuestionCalls
from assay.reads import ReadCalls
from assay.reviews import ReviewCalls
from assay.runs import RunCalls
from assay.searching import SearchCalls
from assay.sending import Sender
from assay.shapes import JSON
from assay.streams import StreamCalls
from assay.tokens import TokenCalls
from assay.trail import TrailCalls
from assay.transfers import TransferCalls
from assay.transport import RETRIES, Patience, Transport, api_path
from assay.usage import UsageCalls
from assay.vectors import VectorCalls


class FeatureStore(
    CatalogueCalls,
    SearchCalls,
    QuestionCalls,
    LifecycleCalls,
    ReviewCalls,
    NewsCalls,
    RunCalls,
    AlertCalls,
    StreamCalls,
    ProfileCalls,
    CertificateCalls,
    BudgetCalls,
    GrantCalls,
    TrailCalls,
    UsageCalls,
    TokenCalls,
    ProposalCalls,
    AccountCalls,
    ReadCalls,
    ContextCalls,
    VectorCalls,
    PushCalls,
    TransferCalls,
    DatasetCalls,
):
    """One project of an Assay server.

    ``url``, ``token`` and ``project`` default to ``ASSAY_URL``, ``ASSAY_TOKEN`` (or
    ``ASSAY_TOKEN_FILE``) and ``ASSAY_PROJECT``, then to the nearest ``assay.toml``. Nothing is
    sent before the first call. ``timeout`` is how many seconds to wait for any answer; without it
    training sets, plans and submissions have more time than other calls. Reads are asked again,
    up to ``retries`` times, where the server says when or the connection broke; nothing else is.
    :meth:`with_options` gives one call others.

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
        retries: int = RETRIES,
    ) -> None:
        patience = Patience(timeout, retries)
        settings = config.load(
            url=url, token=token, project=project, environ=os.environ, cwd=Path.cwd()
        )
        self._transport = Transport(settings, patience, self._sender(settings.url))

    def with_options(self, *, timeout: float | None = None, retries: int | None = None) -> Self:
        """Give this store with other patience, over the same connections; for one call or more.

        ``store.with_options(timeout=0.2, retries=0).get_online_features(…)``. What is left out
        stays as it is here.
        """
        own = self._transport.patience
        asked = Patience(
            own.timeout_seconds if timeout is None else timeout,
            own.retries if retries is None else retries,
        )
        return self._over(self._transport.with_patience(asked))

    def passing_on(self, *, asked_from: str = "", through: str = "") -> Self:
        """Give this store as one that asks for somebody else, over the same connections.

        ``asked_from`` are the addresses of whoever asks it, which a token limited to networks is
        held against too; ``through`` is the program they ask it with, which the trail names.
        """
        return self._over(self._transport.passing_on(asked_from=asked_from, through=through))

    @staticmethod
    def _sender(url: str) -> Sender:
        """Give what sends from threads; the first one made imports urllib3."""
        made: Sender = import_module("assay.pooled").PooledSender(url)
        return made

    def _over(self, transport: Transport) -> Self:
        other = copy(self)
        other._transport = transport
        return other

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
    def url(self) -> str:
        return self._transport.config.url

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
