"""Comments on a version's page: beside their lines, as text and never as markup."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.choices import State
from registry.models import ReviewComment
from tests import factories
from tests.factories import AT, VIEW, make_version
from tests.registry.admin.test_queue import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(cast):
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 3d"))


def shown(client, version):
    return " ".join(client.get(url(version)).content.decode().split())


def test_a_comment_on_a_line_stands_below_it(client, cast, waiting):
    client.force_login(cast.steward)
    place = {"path": "view.ttl", "side": "new", "line": "1"}

    answer = client.post(url(waiting, "comment"), {"body": "<script>1</script>", **place})

    said = ReviewComment.objects.get()
    assert answer.url == f"{url(waiting)}#comment-{said.pk}"
    page = shown(client, waiting)
    line, thread = page.index("<mark>3d</mark>"), page.index(f'id="comment-{said.pk}"')
    assert line < thread < page.index("</section>", line)
    assert "&lt;script&gt;1&lt;/script&gt;" in page
    assert "1 of 1 thread open" in page


def test_an_author_answers_and_the_reviewer_resolves(client, cast, waiting):
    client.force_login(cast.steward)
    client.post(url(waiting, "comment"), {"body": "Why?"})
    said = ReviewComment.objects.get()
    client.force_login(cast.author)
    page = shown(client, waiting)
    assert ">Answer</button>" in page
    assert ">Resolve</button>" not in page
    client.post(url(waiting, "comment"), {"body": "For weekends.", "thread": said.pk})
    client.force_login(cast.steward)
    assert "For weekends." in shown(client, waiting)
    client.post(url(waiting, "resolve"), {"thread": said.pk})

    assert "Resolved by steward" in shown(client, waiting)


def test_at_the_next_submission_it_says_what_became_of_the_line(client, cast, waiting):
    client.force_login(cast.steward)
    place = {"path": "view.ttl", "side": "new", "line": "1"}
    client.post(url(waiting, "comment"), {"body": "Why?", **place})
    seen = factories.seen(waiting)
    client.post(url(waiting, "act"), {"action": "reject", "packet_hash": seen, "comment": ""})
    waiting.refresh_from_db()
    assert waiting.state == State.DRAFT
    again = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 4d"))
    assert again == waiting

    page = shown(client, again)

    assert 'as-info">changed</span> said of <code>3d</code>' in page


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({"body": "x" * 1_000_000}, "1,000,000 characters; write at most 10,000"),
        ({"body": " "}, "The comment is empty"),
        ({"body": "x", "thread": "9" * 40}, "has no thread that begins with"),
        ({"body": "x", "path": "view.ttl", "side": "new", "line": "²"}, "no 0"),
    ],
)
def test_what_cannot_be_said_becomes_a_message(client, cast, waiting, sent, says):
    client.force_login(cast.steward)

    client.post(url(waiting, "comment"), sent)

    assert says in shown(client, waiting)
    assert not ReviewComment.objects.exists()


def test_a_page_asks_as_much_for_many_threads_as_for_few(client, cast, waiting):
    client.force_login(cast.author)  # who does not see the trail, which is shown entry by entry
    place = {"path": "definition", "side": "new"}

    def talk(lines):
        for line in lines:
            client.post(url(waiting, "comment"), {"body": "Why?", **place, "line": line})

    talk([1])
    client.get(url(waiting))
    with CaptureQueriesContext(connection) as few:
        client.get(url(waiting))
    talk(range(2, 12))
    client.get(url(waiting))  # tells of what was done
    with CaptureQueriesContext(connection) as many:
        client.get(url(waiting))
    assert len(many) == len(few)


def test_who_may_only_look_finds_no_form(client, cast, waiting):
    ReviewComment.objects.create(version=waiting, author=cast.steward, body="Why?", created_at=AT)
    client.force_login(cast.consumer)

    page = shown(client, waiting)

    assert "Why?" in page
    assert 'name="body"' not in page
    assert "data-line" not in page
    client.post(url(waiting, "comment"), {"body": "x"})
    assert ReviewComment.objects.count() == 1
