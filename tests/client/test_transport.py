"""The connection: problems become exceptions, retries are for GET only, nothing leaks."""

from __future__ import annotations

import socket

import pytest

import assay
from assay import FeatureStore
from tests.client.conftest import Prepared

PROBLEM = {
    "type": "about:blank",
    "title": "Refused",
    "status": 409,
    "code": "version_pinned",
    "detail": "1.0.0 is pinned by ranker; move it first",
    "pinned_by": ["ranker"],
}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, assay.Invalid),
        (401, assay.Unauthenticated),
        (403, assay.Forbidden),
        (404, assay.NotFound),
        (409, assay.Conflict),
        (410, assay.Gone),
        (413, assay.TooLarge),
        (422, assay.Invalid),
        (429, assay.TooManyRequests),
        (500, assay.ServerError),
        (503, assay.Unavailable),
    ],
)
def test_a_problem_becomes_the_exception_of_its_kind(peer, store, status, kind):
    retire = "POST feature-views/v/versions/1.0.0/retire"
    peer.answers_with(retire, PROBLEM, status, X_Request_Id="b49f")

    with pytest.raises(assay.AssayError) as caught:
        store.retire("v@1.0.0")

    assert type(caught.value) is kind
    assert str(caught.value) == "1.0.0 is pinned by ranker; move it first"
    assert (caught.value.code, caught.value.status) == ("version_pinned", status)
    assert caught.value.data == {"pinned_by": ["ranker"]}
    assert caught.value.request_id == caught.value.as_dict()["request_id"] == "b49f"


def test_a_get_is_asked_again_when_the_connection_breaks(peer, store):
    peer.drops("GET entities/driver")
    peer.answers_with("GET entities/driver", {"name": "driver"})

    assert store.get_entity("driver") == {"name": "driver"}
    assert len(peer.requests) == 2


def test_a_post_is_never_sent_twice(peer, store):
    peer.drops("POST runs/7/cancel")
    peer.answers_with("POST runs/7/cancel", {"id": 7})

    with pytest.raises(assay.ServerUnreachable):
        store.cancel_run(7)

    assert len(peer.requests) == 1


def test_a_refusal_is_not_asked_again(peer, store):
    peer.answers_with("GET entities/driver", {"code": "unavailable", "detail": "later"}, 503)

    with pytest.raises(assay.Unavailable, match="later"):
        store.get_entity("driver")

    assert len(peer.requests) == 1


def test_a_redirect_is_not_followed_with_the_token(peer, store):
    peer.answers_with("GET entities/driver", {}, 302, Location="http://elsewhere.invalid/")

    with pytest.raises(assay.ServerError, match=r"redirects to http://elsewhere\.invalid/"):
        store.get_entity("driver")


def test_a_page_of_something_else_is_named_as_such(peer, store):
    peer.answers_with("GET entities/driver", b"<html>Welcome</html>", Content_Type="text/html")

    with pytest.raises(assay.ServerError, match="not the address of an Assay server") as caught:
        store.get_entity("driver")

    assert "<html>" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_an_address_with_a_path_too_many_says_to_leave_it_out(peer, status):
    headers = {"Content-Type": "text/html; charset=utf-8", "Location": "/admin/login"}
    page = Prepared(status, b"<html>Page not found</html>", headers)
    peer.answers["GET /foo/api/v1/whoami"] = [page]

    with pytest.raises(assay.ServerError, match=f"leave out the path: {peer.url} ") as caught:
        FeatureStore(url=f"{peer.url}/foo/", token="t").whoami()

    assert "<html>" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, assay.Unauthenticated), (413, assay.TooLarge), (502, assay.ServerError)],
)
def test_a_page_of_a_proxy_keeps_the_kind_of_its_status(peer, store, status, kind):
    page = b"<html><title>Nope</title></html>"
    peer.answers_with("GET entities/driver", page, status, Content_Type="text/html")

    with pytest.raises(assay.AssayError, match=f"answered {status} with a web page") as caught:
        store.get_entity("driver")

    assert type(caught.value) is kind
    assert "<" not in str(caught.value)


def test_a_name_cannot_leave_its_place_in_the_path(peer, store):
    with pytest.raises(assay.NotFound):
        store.get_entity("../runs?x=1")

    assert peer.requests[0].path == "/api/v1/projects/rides/entities/..%2Fruns%3Fx%3D1"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_of_dots_asks_for_nothing_else(peer, store, name):
    """A connection takes such a part for the address above it: the list, or another thing."""
    calls = (
        lambda: store.get_entity(name),
        lambda: store.retire(f"{name}@1.0.0"),
        lambda: FeatureStore(url=peer.url, project=name, token="assay_t").get_entity("driver"),
    )
    for call in calls:
        with pytest.raises(assay.Invalid, match="is no name of anything"):
            call()

    assert peer.requests == []


def test_an_address_where_nobody_listens_says_what_to_check():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(assay.ServerUnreachable, match="is the server running.*ASSAY_URL"):
            FeatureStore(url=url, token="t", project="rides").get_run(1)


def test_a_connection_that_breaks_off_is_told_without_exceptions_of_libraries(peer, store):
    peer.drops("POST runs/7/cancel")

    with pytest.raises(assay.ServerUnreachable, match="broke off the connection") as caught:
        store.cancel_run(7)

    assert "RemoteDisconnected" not in str(caught.value)


def test_who_has_no_token_is_told_where_to_make_one(peer):
    with pytest.raises(assay.NotConfigured, match="or in the admin, under API tokens"):
        FeatureStore(url=peer.url, project="rides").whoami()


@pytest.mark.parametrize(
    ("token", "project", "names"), [(None, "p", "TOKEN"), ("t", None, "PROJECT")]
)
def test_what_is_not_configured_is_named_before_anything_is_sent(peer, token, project, names):
    with pytest.raises(assay.NotConfigured, match=f"ASSAY_{names}"):
        FeatureStore(url=peer.url, token=token, project=project).get_run(1)

    assert peer.requests == []
