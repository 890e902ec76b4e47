"""Finds the server's address, the token and the project.
Not for talking to the server; nothing is checked against it here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from assay.errors import NotConfigured, why_unreadable

WHERE_TOKENS_ARE_MADE = "make your own with `assay login NAME`, or in the admin, under API tokens"
FILE_NAME = "assay.toml"
DEFAULT_URL = "http://127.0.0.1:8000"
FILE_KEYS = ("url", "token", "token_file", "project")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where to ask, as whom, and about which project. The token stays out of ``repr``."""

    url: str
    token: str | None
    project: str | None
    #: The addresses of those that a call is passed on for; none: it is whoever runs this.
    asked_from: str = ""
    #: The program that a call is passed on for, as the trail names it.
    asked_through: str = ""

    def __repr__(self) -> str:
        token = "set" if self.token else "not set"
        return f"Config(url={self.url!r}, project={self.project!r}, token {token})"


def load(
    *,
    url: str | None = None,
    token: str | None = None,
    project: str | None = None,
    environ: Mapping[str, str],
    cwd: Path,
) -> Config:
    """Take each value from the arguments, else the environment, else the nearest assay.toml.

    :raises NotConfigured: the file cannot be read, has an unknown key, or a value is unusable.
    """
    file = read_file(find_file(cwd))
    token = (
        token
        or _secret(environ.get("ASSAY_TOKEN"), environ.get("ASSAY_TOKEN_FILE"))
        or _secret(file.get("token"), file.get("token_file"))
    )
    return Config(
        url=_checked_url(url or environ.get("ASSAY_URL") or file.get("url") or DEFAULT_URL),
        token=_checked_token(token),
        project=project or environ.get("ASSAY_PROJECT") or file.get("project"),
    )


def find_file(start: Path) -> Path | None:
    """Give the assay.toml of ``start`` or of the nearest folder above it."""
    folders = (start, *start.parents)
    return next((path for folder in folders if (path := folder / FILE_NAME).is_file()), None)


def read_file(path: Path | None) -> dict[str, str]:
    """Read an assay.toml; a relative ``token_file`` is relative to the file itself."""
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise NotConfigured(
            f"{path} cannot be read: {why_unreadable(exc)}", path=str(path)
        ) from exc
    for key, value in values.items():
        _check_key(path, key, value)
    if "token_file" in values:
        values["token_file"] = str(path.parent / values["token_file"])
    return values


def _check_key(path: Path, key: str, value: object) -> None:
    if key not in FILE_KEYS:
        near = get_close_matches(key, FILE_KEYS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(FILE_KEYS)}"
        raise NotConfigured(f"{path}: unknown key {key!r}; {hint}", path=str(path), key=key)
    if not isinstance(value, str):
        raise NotConfigured(f"{path}: {key} must be a string, not {value!r}", key=key)


def _secret(value: str | None, path: str | None) -> str | None:
    if value or not path:
        return value
    try:
        token = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:
        message = f"the token file {path} cannot be read: {why_unreadable(exc)}"
        raise NotConfigured(message, path=path) from exc
    if not token:
        raise NotConfigured(f"the token file {path} is empty; {WHERE_TOKENS_ARE_MADE}", path=path)
    return token


def _checked_url(url: str) -> str:
    if not _is_address(url):
        raise NotConfigured(
            f"{url!r} is not the address of a server; "
            "give one like https://assay.example.org (--url, ASSAY_URL or url in assay.toml)",
            url=url,
        )
    return url.rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket or a port that is none
        return False


def _checked_token(token: str | None) -> str | None:
    token = token.strip() if token else None
    # Anything else would end or corrupt the Authorization header. Never echo the token itself.
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise NotConfigured("the token has a space or a character that no token has; copy it again")
    return token or None
