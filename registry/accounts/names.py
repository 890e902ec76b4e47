"""Names that nobody takes for another account's: how they look, and that each is one's for ever.

Asked at every door, by what Django sends before it stores an account. Not for what projects are
called: their names are plain letters by their pattern.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db.models.signals import post_save, pre_save

from lib.errors import Conflict, Invalid
from registry.models import Pseudonym, UsedName
from registry.models.names import PSEUDONYM

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Whom the trail names without an account.
NOBODY = ("system", "anonymous", "somebody", "schedule", "shell")
#: Scripts that one language writes together.
EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
#: Letters that look like a Latin one, once they are small and without marks.
LOOKS_LIKE = str.maketrans(
    "авекмнорстухіјѕԁԛԝһүьгпиӏзαβγεηικμνορστυχωıɑɡօոսցհ01i|5",
    "abekmhopctyxijsdqwhybrnul3abyenikuvopotuxwiagonughollls",
)
PAIRS = {"rn": "m", "vv": "w", "cl": "d"}
#: Latin letters that languages have and that are no ASCII letter with a mark: how each is written
#: without it. Others, as small capitals, are none that anybody's name has.
LATIN = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ß": "ss", "ł": "l", "đ": "d", "ð": "d", "þ": "th",
     "ħ": "h", "ı": "i", "ŋ": "n", "ə": "e"}
)  # fmt: skip
#: The letter that one of them is taken for by who reads in haste: "æuthor" for "author".
TAKEN_FOR = str.maketrans({"æ": "a", "œ": "o", "ß": "b", "þ": "p", "ŋ": "n", "ə": "e"})
PUNCTUATION = re.compile(r"[._\-+@]+")


class UnclearName(Invalid):
    code = "unclear_name"


class NameTaken(Conflict):
    code = "name_taken"


def skeleton(name: str) -> str:
    """Return what names that look alike have in common."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    bare = "".join(c for c in plain if unicodedata.category(c)[0] != "M").translate(LOOKS_LIKE)
    bare = PUNCTUATION.sub(".", bare.translate(LATIN)).strip(".").replace("i", "l")
    for pair, letter in PAIRS.items():
        bare = bare.replace(pair, letter)
    return bare


def readings(name: str) -> set[str]:
    """Return the skeletons under which somebody may read the name."""
    bare = unicodedata.normalize("NFKD", name).lower()  # case folding would write ß as ss
    return {skeleton(name), skeleton(bare.translate(TAKEN_FOR))}


def digests_of(name: str) -> list[str]:
    return [hashlib.sha256(each.encode()).hexdigest() for each in sorted(readings(name))]


def require_clear(name: str) -> None:
    """Return if everybody reads the name as it is written.

    :raises UnclearName: it has letters of two scripts, characters that nobody sees, or is read as
        one that is nobody's; says which.
    """
    if problem := next(_problems(name), None):
        raise UnclearName(f"the name {name!r} {problem}")


def _problems(name: str) -> Iterator[str]:
    for character in name:
        if unicodedata.category(character)[0] in "CZ":
            code = f"U+{ord(character):04X}"
            yield f"has a character that nobody sees ({code}); leave it out."
    if unicodedata.normalize("NFKC", name) != name:
        better = unicodedata.normalize("NFKC", name)
        yield f"has characters that stand for others; write it as {better!r}."
    for letter in filter(str.isalpha, name):
        if _script(letter) == "LATIN" and not _base(letter).isascii():
            yield f"has the letter {letter!r}, which looks like another; use one that names have."
    scripts = {_script(character) for character in name if character.isalpha()}
    if len(scripts) > 1 and not scripts <= EAST_ASIAN:
        listed = " and ".join(sorted(each.capitalize() for each in scripts))
        yield f"mixes letters of {listed}, which look alike; use those of one script."
    if readings(name) & {skeleton(each) for each in NOBODY} or PSEUDONYM.fullmatch(name.casefold()):
        yield "is one under which the trail names nobody's account; choose another."


def _base(letter: str) -> str:
    """Return a letter without its marks, in small."""
    return unicodedata.normalize("NFKD", letter.casefold())[0].translate(LATIN)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "unknown").partition(" ")[0]


def require_free(name: str, user: User) -> None:
    """Return if the name is this account's, or was never anybody's.

    :raises NameTaken: another account has it, had it, or has one that looks the same.
    """
    used = UsedName.objects.filter(digest__in=digests_of(name))
    if any(each.user_id is None or each.user_id != user.pk for each in used):
        raise NameTaken(
            f"the name {name!r} is or was another account's, or looks like it; choose one that"
            " nobody takes for theirs. Names of accounts are never given twice."
        )


def check_name(user: User) -> None:
    """Return if the account may be called what it is called now.

    :raises UnclearName, NameTaken: naming what is wrong with it.
    """
    require_clear(user.username)
    require_free(user.username, user)


def note_name(user: User) -> None:
    """Keep the name for the account from now on."""
    for digest in digests_of(user.username):
        UsedName.objects.get_or_create(digest=digest, defaults={"user": user})


def _before_storing(instance: User, update_fields: frozenset[str] | None, **_: Any) -> None:
    if update_fields is not None and "username" not in update_fields:
        return
    stored = User.objects.filter(pk=instance.pk).values_list("username", flat=True).first()
    if stored != instance.username:
        check_name(instance)


def _once_stored(
    instance: User, created: bool, update_fields: frozenset[str] | None, **_: Any
) -> None:
    if created:
        Pseudonym.objects.get_or_create(user=instance)
    if update_fields is None or "username" in update_fields:
        note_name(instance)


def connect() -> None:
    """Ask of every account that is stored from now on; a second call changes nothing."""
    pre_save.connect(_before_storing, sender=User, dispatch_uid="account_names.before")
    post_save.connect(_once_stored, sender=User, dispatch_uid="account_names.after")
