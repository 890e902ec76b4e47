"""What is written again is what was made, and it is made wherever it may come out otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction

from registry.models import FeatureTable, FeatureView, Project
from registry.trail import verifying
from tests import factories, tapes
from tests.remembering import _models
from tests.undoing import undone

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = factories.DEFINITIONS.replace("driver_hourly", "of_tapes")


def rows() -> dict[str, Any]:
    """Return every row there is, but for what is different each time."""
    random = {FeatureTable: {"uid"}, FeatureView: {"epoch"}, Project: {"epoch"}}
    return {
        model._meta.label: [
            {name: value for name, value in row.items() if name not in random.get(model, ())}
            for row in model._base_manager.order_by("pk").values()
        ]
        for model in _models()
    }


def test_what_is_written_again_is_what_was_made(db):
    seen, uids = [], set()
    for _ in range(2):
        with undone():
            tapes.begin(is_known=True)
            cast = factories.make_cast()
            for text in (TEXT, TEXT.replace("ttl: 2d", "ttl: 3d")):
                factories.make_version(cast, text=text)
            seen.append(rows())
            uids |= set(FeatureTable.objects.values_list("uid", flat=True))
            assert [str(each) for each in verifying.findings()] == []

    assert seen[0] == seen[1]
    assert [len(each["registry.FeatureTable"]) for each in seen] == [1, 1]
    assert len(uids) == 2


def test_it_is_made_wherever_it_may_come_out_otherwise(db, settings):
    made = []

    def again(*, after: Callable[[], object] = lambda: None, is_known: bool = True) -> bool:
        """Tell whether it was written again, and not made."""
        before = len(made)
        with undone():
            tapes.begin(is_known=is_known)
            after()
            tapes.again("a user", make, lambda key: None)
        return len(made) == before

    def make() -> int:
        made.append(User.objects.create(username="ana").pk)
        return made[-1]

    assert [again(), again()] == [False, True]
    assert not again(after=lambda: User.objects.create(username="ben"))
    assert not again(is_known=False)
    settings.FILE_ROOTS = ["/elsewhere"]
    assert again()
    settings.MAX_APPROVALS = 7
    assert not again()


def test_nothing_is_kept_of_what_was_taken_back_or_has_more_to_do(db):
    def make() -> int:
        with undone():
            User.objects.create(username="ana")
        made.append(1)
        return 1

    made: list[int] = []
    for name, do in {"taken back": make, "has more to do": lambda: to_do(made)}.items():
        for _ in range(2):
            with undone():
                tapes.begin(is_known=True)
                tapes.again(name, do, lambda key: None)
    assert len(made) == 4


def to_do(made: list[int]) -> int:
    transaction.on_commit(lambda: None)
    made.append(1)
    return 1
