"""Settings of the server: limits of size and time, and access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from simcse_kit.errors import SimCSEKitError


class ServeError(SimCSEKitError, ValueError):
    """The server cannot start as requested; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one request, and of all waiting ones. Beyond them, a request gets 413, 422 or 429 with the limit."""

    body_bytes: int = 8 * 2**20
    json_tokens: int = 500_000  # strings, opening brackets and commas in one body
    header_bytes: int = 64 * 2**10  # of the request line and all headers
    header_seconds: float = 10.0  # for the request line and all headers to arrive
    seconds: float = 60.0  # for one request, from its headers to its answer
    connections: int = 1000  # open at a time; one more closes the connection that has waited longest for a request
    sentences: int = 2048  # in one request; OpenAI's own limit
    characters: int = 100_000  # in one sentence
    k: int = 1000  # hits for one query
    hits: int = 20_480  # of all queries of a request, queries times k: the default k for the most sentences
    cosines: int = 2**20  # in one answer of /similarity
    answer_bytes: int = 64 * 2**20  # for hits with their texts and metadata
    queue: int = 8192  # sentences of all requests waiting for the model
    additions: int = 16  # requests waiting to add to one index

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ServeError(f"the limit {name} must be positive; got {value}")


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """Settings of the page."""

    title: str = "simcse_kit"
    link: str | None = None  # link of a hit's id: https://tickets.example/{id}
    queries: Sequence[str] = ()  # sample queries, each a button
    facets: Sequence[str] | None = None  # fields to filter by; None: those with few values

    def __post_init__(self) -> None:
        if self.link is not None and (wrong := _wrong_with_link(self.link)):
            raise ServeError(
                f"the link {self.link!r} {wrong}; use an address such as https://tickets.example/{{id}}: http "
                f"or https, with {{id}} after the host"
            )
        if not self.title.strip():
            raise ServeError("the page's title is empty; leave it out for the default")
        if not all(query.strip() for query in self.queries):
            raise ServeError("a sample query of the page is empty; leave it out")


def _wrong_with_link(link: str) -> str:
    """The fault of a link template, in words; "" if it has none."""
    if any(character <= " " or character in '\\"<>^`|\x7f' for character in link):
        return "contains a blank, or a character that addresses do not allow"
    try:
        parts = urlsplit(link)
        host = parts.hostname
    except ValueError as error:
        return f"cannot be parsed ({error})"
    if parts.scheme not in ("http", "https"):
        return f"starts with {parts.scheme + ':' if parts.scheme else 'no scheme'}"
    if not host or "@" in parts.netloc:
        return "contains a user name" if host else "has no host"
    if "{" in parts.netloc or "}" in parts.netloc:
        return "has a placeholder in its host, so an id would choose the server"
    if "{id}" not in link:
        return "has no {id}"
    if "{" in (rest := link.replace("{id}", "")) or "}" in rest:
        return "has a placeholder other than {id}"
    return ""


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_access(host: str, api_key: str | Sequence[str] | None, no_auth: bool) -> None:
    """Raise an error if the server is open to other machines without an API key or ``--no-auth``.

    Raises:
        ServeError: a host other than the loopback without either, or a key that no header can contain.
    """
    keys = [api_key] if isinstance(api_key, str) else api_key or ()
    if any(not key or not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise ServeError("an API key has printable ASCII characters without spaces")
    if host not in LOOPBACK and not keys and not no_auth:
        raise ServeError(
            f"with --host {host}, other machines can reach the server: set an API key with --api-key-file FILE "
            "or the variable SIMCSE_KIT_API_KEY, or use --no-auth to allow access to everyone"
        )


def read_api_keys(path: str | Path) -> list[str]:
    """API keys from a file, one per line; empty lines and lines that start with # are ignored.

    Raises:
        ServeError: the file cannot be read, or holds no key.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ServeError(f"{path} does not exist; write a file with one API key in each line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"cannot read the API keys in {path}: {error}") from error
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ServeError(f"{path} holds no API key; write one per line")
    return keys


def check_root_path(root_path: str) -> None:
    """Raise a `ServeError` for a path that cannot be a root path behind a proxy."""
    if root_path and (not root_path.startswith("/") or root_path.endswith("/")):
        raise ServeError(
            f"a root path starts with a slash and does not end with one, such as /search; got {root_path!r}"
        )
