"""What the server allows: sizes, times, who may ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from simcse_kit.errors import SimCSEKitError


class ServeError(SimCSEKitError, ValueError):
    """The server cannot start as asked; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request, and all that wait, may ask for; what exceeds it gets 413, 422 or 429 with these figures."""

    body_bytes: int = 8 * 2**20
    json_tokens: int = 500_000  # strings, opening brackets and commas of one body
    header_bytes: int = 64 * 2**10  # of the request line and all headers
    header_seconds: float = 10.0  # for the request line and all headers to come in
    seconds: float = 60.0  # for one request, from its headers to its answer
    connections: int = 1000  # at once; one more closes the one that has waited longest for a request
    sentences: int = 2048  # in one request; OpenAI's own limit
    characters: int = 100_000  # in one sentence
    k: int = 1000  # hits for one query
    hits: int = 20_480  # of all queries of one request, queries times k: the default k for the most sentences
    cosines: int = 2**20  # in one answer of /similarity
    answer_bytes: int = 64 * 2**20  # of hits with their texts and metadata
    queue: int = 8192  # sentences of all requests that wait for the model
    additions: int = 16  # requests that wait to be added to one index

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ServeError(f"the limit {name} must be positive; got {value}")


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the page shows around its indexes."""

    title: str = "simcse_kit"
    link: str | None = None  # address that a hit's id leads to: https://tickets.example/{id}
    queries: Sequence[str] = ()  # examples, each a button
    facets: Sequence[str] | None = None  # fields to filter by; None: those with few values

    def __post_init__(self) -> None:
        if self.link is not None and (wrong := _wrong_with_link(self.link)):
            raise ServeError(
                f"the link {self.link!r} {wrong}; it is an address such as https://tickets.example/{{id}}: http or "
                "https, with {id} after the host"
            )
        if not self.title.strip():
            raise ServeError("the page's title is empty; leave it out for the default")
        if not all(query.strip() for query in self.queries):
            raise ServeError("one of the page's sample queries is empty; leave it out")


def _wrong_with_link(link: str) -> str:
    """What is wrong with a template of a link, in words; empty: nothing."""
    if any(character <= " " or character in '\\"<>^`|\x7f' for character in link):
        return "holds a blank, or a character that no address has"
    try:
        parts = urlsplit(link)
        host = parts.hostname
    except ValueError as error:
        return f"cannot be read ({error})"
    if parts.scheme not in ("http", "https"):
        return f"begins with {parts.scheme + ':' if parts.scheme else 'no scheme'}"
    if not host or "@" in parts.netloc:
        return "holds a user name" if host else "names no host"
    if "{" in parts.netloc or "}" in parts.netloc:
        return "has a placeholder in its host, so that an id would decide who is asked"
    if "{id}" not in link:
        return "has no {id}"
    if "{" in (rest := link.replace("{id}", "")) or "}" in rest:
        return "has a placeholder other than {id}"
    return ""


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_access(host: str, api_key: str | Sequence[str] | None, no_auth: bool) -> None:
    """Beyond this machine a key is needed, or the word that none is wanted.

    Raises:
        ServeError: another host than the loopback without either, or a key that no header can carry.
    """
    keys = [api_key] if isinstance(api_key, str) else api_key or ()
    if any(not key or not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise ServeError("an API key is of printable ASCII characters without spaces")
    if host not in LOOPBACK and not keys and not no_auth:
        raise ServeError(
            f"with --host {host} others can reach the server: give --api-key-file FILE or --api-key KEY (or "
            "SIMCSE_KIT_API_KEY), or --no-auth where everybody may ask"
        )


def read_api_keys(path: str | Path) -> list[str]:
    """The API keys of a file, one in a line; empty lines and those that begin with # are not keys.

    Raises:
        ServeError: it cannot be read, or holds no key.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"the API keys of {path} cannot be read: {error}") from error
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ServeError(f"{path} holds no API key; write one in a line")
    return keys


def check_root_path(root_path: str) -> None:
    """A `ServeError` for a path that no proxy can put before a server's."""
    if root_path and (not root_path.startswith("/") or root_path.endswith("/")):
        raise ServeError(f"a root path begins with a slash and does not end with one: /search; got {root_path!r}")
