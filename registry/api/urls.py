"""The registry's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path, re_path

from registry.api import (
    accounts,
    catalogue,
    comments,
    connections,
    definitions,
    features,
    grants,
    lineage,
    logins,
    news,
    people,
    proposals,
    questions,
    reviews,
    service_accounts,
    tokens,
    trail,
    versions,
)
from registry.choices import Action
from registry.operations.deciding import DECISIONS

_PROJECT = "projects/<slug:project>"
_VERSION = r"^projects/(?P<project>[-\w]+)/feature-views/(?P<name>\w+)/versions/(?P<version>[\w.]+)"
_CATALOGUE = {
    "entities": (catalogue.EntitiesAPI, catalogue.EntityAPI, "entity"),
    "data-sources": (
        catalogue.DataSourcesAPI,
        catalogue.DataSourceAPI,
        "data-source",
    ),
    "feature-views": (
        catalogue.FeatureViewsAPI,
        catalogue.FeatureViewAPI,
        "feature-view",
    ),
    "feature-services": (
        catalogue.FeatureServicesAPI,
        catalogue.FeatureServiceAPI,
        "feature-service",
    ),
}
_lists = [
    path(f"{_PROJECT}/{plural}", many.as_view(), name=plural)
    for plural, (many, _, _) in _CATALOGUE.items()
]
_details = [
    path(f"{_PROJECT}/{plural}/<slug:name>", one.as_view(), name=singular)
    for plural, (_, one, singular) in _CATALOGUE.items()
]

urlpatterns = [
    path("login", logins.LoginAPI.as_view(), name="login"),
    path("projects", people.ProjectsAPI.as_view(), name="projects"),
    path("notifications", news.NotificationsAPI.as_view(), name="notifications"),
    path("notifications/read", news.ReadNotificationsAPI.as_view(), name="read-notifications"),
    path("notifications/choice", news.NewsChoiceAPI.as_view(), name="news-choice"),
    path("whoami", people.WhoAmIAPI.as_view(), name="whoami"),
    path(
        f"{_PROJECT}/definitions/export",
        definitions.ExportAPI.as_view(),
        name="definitions-export",
    ),
    path(
        f"{_PROJECT}/definitions/registered",
        definitions.RegisteredAPI.as_view(),
        name="definitions-registered",
    ),
    path(f"{_PROJECT}/definitions", definitions.DefinitionsAPI.as_view(), name="definitions"),
    path(
        f"{_PROJECT}/service-accounts",
        service_accounts.ServiceAccountsAPI.as_view(),
        name="service-accounts",
    ),
    path(
        f"{_PROJECT}/service-accounts/<slug:name>",
        service_accounts.ServiceAccountAPI.as_view(),
        name="service-account",
    ),
    path(f"{_PROJECT}/tokens", tokens.TokensAPI.as_view(), name="tokens"),
    path(
        f"{_PROJECT}/tokens/<int:token_id>/rotate",
        tokens.RotateTokenAPI.as_view(),
        name="token-rotate",
    ),
    path(
        f"{_PROJECT}/tokens/<int:token_id>/revoke",
        tokens.RevokeTokenAPI.as_view(),
        name="token-revoke",
    ),
    path(f"{_PROJECT}/roots", people.RootsAPI.as_view(), name="roots"),
    path(f"{_PROJECT}/connections", connections.ConnectionsAPI.as_view(), name="connections"),
    path(
        f"{_PROJECT}/connections/<slug:name>/test",
        connections.ConnectionTestAPI.as_view(),
        name="connection-test",
    ),
    path(f"{_PROJECT}/features", features.FeaturesAPI.as_view(), name="features"),
    re_path(
        r"^projects/(?P<project>[-\w]+)/features/(?P<reference>[\w@.:]{1,200})$",
        features.FeatureAPI.as_view(),
        name="feature",
    ),
    *_lists,
    *_details,
    path(
        f"{_PROJECT}/feature-views/<slug:name>/versions",
        versions.VersionsAPI.as_view(),
        name="versions",
    ),
    re_path(rf"{_VERSION}$", versions.VersionAPI.as_view(), name="version"),
    re_path(rf"{_VERSION}/comments$", comments.CommentsAPI.as_view(), name="comments"),
    re_path(
        rf"{_VERSION}/comments/(?P<comment_id>[0-9]{{1,30}})/resolve$",
        comments.ResolveCommentAPI.as_view(),
        name="resolve-comment",
    ),
    re_path(rf"{_VERSION}/reviewers$", reviews.ReviewersAPI.as_view(), name="reviewers"),
    re_path(rf"{_VERSION}/review$", versions.ReviewAPI.as_view(), name="review"),
    re_path(
        rf"{_VERSION}/(?P<action>{'|'.join(Action)})$",
        versions.ActionAPI.as_view(),
        name="version-action",
    ),
    path(f"{_PROJECT}/reviews", reviews.ReviewsAPI.as_view(), name="reviews"),
    path(
        f"{_PROJECT}/reviews/bulk-approve",
        reviews.BulkApproveAPI.as_view(),
        name="bulk-approve",
    ),
    path(f"{_PROJECT}/questions", questions.QuestionsAPI.as_view(), name="questions"),
    *(
        re_path(
            rf"^projects/(?P<project>[-\w]+)/questions/(?P<question_id>[0-9]{{1,30}})/{step}$",
            view.as_view(),
            name=f"question-{step}",
        )
        for step, view in (
            ("answers", questions.AnswersAPI),
            ("accept", questions.AcceptAnswerAPI),
            ("close", questions.CloseQuestionAPI),
            ("reopen", questions.ReopenQuestionAPI),
        )
    ),
    # A column may have any sign in its name.
    path(
        f"{_PROJECT}/lineage/<slug:kind>/<path:name>", lineage.LineageAPI.as_view(), name="lineage"
    ),
    path("accounts", accounts.AccountsAPI.as_view(), name="accounts"),
    path("accounts/change", accounts.ChangeAccountAPI.as_view(), name="account-change"),
    path("accounts/password", accounts.GivePasswordAPI.as_view(), name="account-password"),
    path("proposals", proposals.EveryProposalAPI.as_view(), name="every-proposal"),
    re_path(
        rf"^proposals/(?P<proposal_id>[0-9]{{1,18}})/(?P<step>{'|'.join(DECISIONS)})$",
        proposals.AnyProposalStepAPI.as_view(),
        name="any-proposal-step",
    ),
    path(f"{_PROJECT}/proposals", proposals.ProposalsAPI.as_view(), name="proposals"),
    re_path(
        r"^projects/(?P<project>[-\w]+)/proposals/(?P<proposal_id>[0-9]{1,18})"
        rf"/(?P<step>{'|'.join(DECISIONS)})$",
        proposals.ProposalStepAPI.as_view(),
        name="proposal-step",
    ),
    path(f"{_PROJECT}/grants", grants.GrantsAPI.as_view(), name="grants"),
    path(f"{_PROJECT}/grants/<int:grant_id>", grants.GrantAPI.as_view(), name="grant"),
    path(
        f"{_PROJECT}/grants/<int:grant_id>/give", grants.GiveGrantAPI.as_view(), name="grant-give"
    ),
    path(
        f"{_PROJECT}/grants/<int:grant_id>/refuse",
        grants.RefuseGrantAPI.as_view(),
        name="grant-refuse",
    ),
    path(
        f"{_PROJECT}/grants/<int:grant_id>/revoke",
        grants.RevokeGrantAPI.as_view(),
        name="grant-revoke",
    ),
    path("audit", trail.InstallationAuditAPI.as_view(), name="all-audit"),
    path("audit/export", trail.InstallationAuditExportAPI.as_view(), name="all-audit-export"),
    path(f"{_PROJECT}/audit", trail.AuditAPI.as_view(), name="audit"),
    path(f"{_PROJECT}/audit/export", trail.AuditExportAPI.as_view(), name="audit-export"),
]
