"""AsyncFeatureStore: the object of programs on an event loop, with the calls of FeatureStore.
Not for what calls do: a line here has the definition of one awaited. A test holds them to be all.
"""

from __future__ import annotations

from copy import copy
from types import TracebackType
from typing import Any, Literal, Self, overload

from assay.accounts import AccountCalls
from assay.aio.bridge import awaited, awaited_as, run
from assay.aio.made import AsyncDataset, AsyncHistoricalJob
from assay.aio.sending import LoopSender
from assay.alerts import AlertCalls
from assay.all_entities import AllEntities
from assay.budgets import BudgetCalls
from assay.catalogue import CatalogueCalls
from assay.certificates import CertificateCalls
from assay.client import FeatureStore
from assay.context import ContextCalls
from assay.datasets import DatasetCalls
from assay.entity_query import EntityQuery
from assay.grants import GrantCalls
from assay.historical import RetrievalJob
from assay.historical_job import HistoricalJob
from assay.jobs import HistoricalJobCalls
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
from assay.shapes import EntityFrame, Features, NamedViews, Timing
from assay.streams import StreamCalls
from assay.tokens import TokenCalls
from assay.trail import TrailCalls
from assay.transfers import TransferCalls
from assay.transport import RETRIES
from assay.usage import UsageCalls
from assay.vectors import VectorCalls


class _OnLoop(FeatureStore):
    """The same calls, for ``run``: without urllib3, which nothing here sends by."""

    @staticmethod
    def _sender(url: str) -> LoopSender:
        return LoopSender(url)


class AsyncFeatureStore:
    """One project of an Assay server, for programs on an event loop; needs ``assay[async]``.

    What it takes and gives is as of ``FeatureStore``; each call is awaited, waits without a
    thread, and can be cancelled. Tasks may share it, and each loop has connections of its own::

        async with AsyncFeatureStore() as store:
            await store.get_online_features("recommender", [{"user_id": 1001}])
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
        self._inner = _OnLoop(url, token, project, timeout=timeout, retries=retries)

    def __repr__(self) -> str:
        return f"Async{self._inner!r}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def project(self) -> str | None:
        return self._inner.project

    def with_options(self, *, timeout: float | None = None, retries: int | None = None) -> Self:
        """Give this store with other patience; see ``FeatureStore.with_options``."""
        other = copy(self)
        other._inner = self._inner.with_options(timeout=timeout, retries=retries)
        return other

    def passing_on(self, *, asked_from: str = "", through: str = "") -> Self:
        """Give this store as one that asks for somebody else; see ``FeatureStore.passing_on``."""
        other = copy(self)
        other._inner = self._inner.passing_on(asked_from=asked_from, through=through)
        return other

    close = awaited(FeatureStore.close)

    apply = awaited(CatalogueCalls.apply)
    plan = awaited(CatalogueCalls.plan)
    export = awaited(CatalogueCalls.export)
    get_definitions = awaited(CatalogueCalls.get_definitions)
    registered = awaited(CatalogueCalls.registered)
    list_entities = awaited(CatalogueCalls.list_entities)
    list_data_sources = awaited(CatalogueCalls.list_data_sources)
    list_roots = awaited(CatalogueCalls.list_roots)
    list_connections = awaited(CatalogueCalls.list_connections)
    test_connection = awaited(CatalogueCalls.test_connection)
    list_feature_views = awaited(CatalogueCalls.list_feature_views)
    list_feature_services = awaited(CatalogueCalls.list_feature_services)
    get_entity = awaited(CatalogueCalls.get_entity)
    get_data_source = awaited(CatalogueCalls.get_data_source)
    get_feature_view = awaited(CatalogueCalls.get_feature_view)
    list_versions = awaited(CatalogueCalls.list_versions)
    get_feature_view_version = awaited(CatalogueCalls.get_feature_view_version)
    get_feature_service = awaited(CatalogueCalls.get_feature_service)

    search_features = awaited(SearchCalls.search_features)
    get_feature = awaited(SearchCalls.get_feature)
    get_lineage = awaited(SearchCalls.get_lineage)

    list_questions = awaited(QuestionCalls.list_questions)
    ask_question = awaited(QuestionCalls.ask_question)
    answer_question = awaited(QuestionCalls.answer_question)
    accept_answer = awaited(QuestionCalls.accept_answer)
    close_question = awaited(QuestionCalls.close_question)
    reopen_question = awaited(QuestionCalls.reopen_question)

    submit = awaited(LifecycleCalls.submit)
    withdraw = awaited(LifecycleCalls.withdraw)
    approve = awaited(LifecycleCalls.approve)
    reject = awaited(LifecycleCalls.reject)
    break_glass = awaited(LifecycleCalls.break_glass)
    confirm = awaited(LifecycleCalls.confirm)
    object_to = awaited(LifecycleCalls.object_to)
    promote = awaited(LifecycleCalls.promote)
    deprecate = awaited(LifecycleCalls.deprecate)
    restore = awaited(LifecycleCalls.restore)
    retire = awaited(LifecycleCalls.retire)
    review = awaited(LifecycleCalls.review)

    reviews = awaited(ReviewCalls.reviews)
    reviewers = awaited(ReviewCalls.reviewers)
    ask_reviewers = awaited(ReviewCalls.ask_reviewers)
    comments = awaited(ReviewCalls.comments)
    comment = awaited(ReviewCalls.comment)
    resolve_comment = awaited(ReviewCalls.resolve_comment)
    approve_together = awaited(ReviewCalls.approve_together)

    notifications = awaited(NewsCalls.notifications)
    read_notifications = awaited(NewsCalls.read_notifications)
    news_choice = awaited(NewsCalls.news_choice)
    choose_news = awaited(NewsCalls.choose_news)

    materialize = awaited(RunCalls.materialize)
    materialize_incremental = awaited(RunCalls.materialize_incremental)
    backfill = awaited(RunCalls.backfill)
    runs = awaited(RunCalls.runs)
    get_run = awaited(RunCalls.get_run)
    cancel_run = awaited(RunCalls.cancel_run)
    pause_run = awaited(RunCalls.pause_run)
    resume_run = awaited(RunCalls.resume_run)
    quarantine = awaited(RunCalls.quarantine)
    release_quarantine = awaited(RunCalls.release_quarantine)
    discard_quarantine = awaited(RunCalls.discard_quarantine)
    wait_for_run = awaited(RunCalls.wait_for_run)
    wait_for_runs = awaited(RunCalls.wait_for_runs)

    alerts = awaited(AlertCalls.alerts)
    acknowledge_alert = awaited(AlertCalls.acknowledge_alert)

    streams = awaited(StreamCalls.streams)
    read_on = awaited(StreamCalls.read_on)
    dead_letters = awaited(StreamCalls.dead_letters)
    replay_dead_letter = awaited(StreamCalls.replay_dead_letter)
    dismiss_dead_letter = awaited(StreamCalls.dismiss_dead_letter)

    profile = awaited(ProfileCalls.profile)
    set_baseline = awaited(ProfileCalls.set_baseline)

    compare = awaited(CertificateCalls.compare)
    certificates = awaited(CertificateCalls.certificates)
    get_certificate = awaited(CertificateCalls.get_certificate)
    wait_for_certificate = awaited(CertificateCalls.wait_for_certificate)

    budget = awaited(BudgetCalls.budget)
    set_budget = awaited(BudgetCalls.set_budget)

    grants = awaited(GrantCalls.grants)
    ask_for_grant = awaited(GrantCalls.ask_for_grant)
    give_grant = awaited(GrantCalls.give_grant)
    refuse_grant = awaited(GrantCalls.refuse_grant)
    revoke_grant = awaited(GrantCalls.revoke_grant)

    audit = awaited(TrailCalls.audit)
    export_audit = awaited(TrailCalls.export_audit)

    usage = awaited(UsageCalls.usage)
    usage_samples = awaited(UsageCalls.usage_samples)

    list_service_accounts = awaited(TokenCalls.list_service_accounts)
    service_account = awaited(TokenCalls.service_account)
    make_service_account = awaited(TokenCalls.make_service_account)
    change_service_account = awaited(TokenCalls.change_service_account)
    list_tokens = awaited(TokenCalls.list_tokens)
    issue_token = awaited(TokenCalls.issue_token)
    rotate_token = awaited(TokenCalls.rotate_token)
    revoke_token = awaited(TokenCalls.revoke_token)

    proposals = awaited(ProposalCalls.proposals)
    accept_proposal = awaited(ProposalCalls.accept_proposal)
    refuse_proposal = awaited(ProposalCalls.refuse_proposal)
    withdraw_proposal = awaited(ProposalCalls.withdraw_proposal)

    log_in = awaited(AccountCalls.log_in)
    accounts = awaited(AccountCalls.accounts)
    change_account = awaited(AccountCalls.change_account)
    give_password = awaited(AccountCalls.give_password)

    request_historical_features = awaited_as(
        AsyncHistoricalJob, HistoricalJobCalls.request_historical_features
    )
    historical_jobs = awaited(HistoricalJobCalls.historical_jobs)
    get_historical_job = awaited_as(AsyncHistoricalJob, HistoricalJobCalls.get_historical_job)
    get_online_features = awaited(ReadCalls.get_online_features)
    get_feature_context = awaited(ContextCalls.get_feature_context)
    search = awaited(VectorCalls.search)

    # Pushing.
    push = awaited(PushCalls.push)
    push_file = awaited(PushCalls.push_file)
    write_to_online_store = awaited(PushCalls.write_to_online_store)
    compute = awaited(PushCalls.compute)
    offline_files = awaited(ReadCalls.offline_files)
    offline_paths = awaited(ReadCalls.offline_paths)

    write_historical_features = awaited(TransferCalls.write_historical_features)

    create_dataset = awaited_as(AsyncDataset, DatasetCalls.create_dataset)
    request_dataset = awaited(DatasetCalls.request_dataset)
    wait_for_dataset = awaited_as(AsyncDataset, DatasetCalls.wait_for_dataset)
    get_dataset = awaited_as(AsyncDataset, DatasetCalls.get_dataset)
    datasets = awaited(DatasetCalls.datasets)
    write_dataset = awaited_as(AsyncDataset, DatasetCalls.write_dataset)
    end_dataset = awaited(DatasetCalls.end_dataset)

    list_projects = awaited(FeatureStore.list_projects)
    whoami = awaited(FeatureStore.whoami)

    @overload
    async def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: Literal[False] = False,
    ) -> RetrievalJob: ...

    @overload
    async def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: Literal[True],
    ) -> AsyncHistoricalJob: ...

    async def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: bool = False,
    ) -> RetrievalJob | AsyncHistoricalJob:
        """Join features to each entity row; see ``FeatureStore.get_historical_features``."""
        ask: Any = self._inner.get_historical_features
        found = await run(
            ask,
            entity_df,
            features,
            full_feature_names,
            feature_service=feature_service,
            timing=timing,
            explain=explain,
            views=views,
            as_job=as_job,
        )
        return AsyncHistoricalJob(found) if isinstance(found, HistoricalJob) else found
