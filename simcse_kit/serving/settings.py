"""What the server allows: sizes, times, who may ask."""

from __future__ import annotations

from dataclasses import dataclass

from simcse_kit.errors import SimCSEKitError


class ServeError(SimCSEKitError, ValueError):
    """The server cannot start as asked; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request, and all that wait, may ask for; what exceeds it gets 413, 422 or 429 with these figures."""

    body_bytes: int = 8 * 2**20
    sentences: int = 2048  # in one request; OpenAI's own limit
    characters: int = 100_000  # in one sentence
    k: int = 1000  # hits for one query
    queue: int = 8192  # sentences of all requests that wait for the model
    seconds: float = 60.0  # for one request, from its first byte to its answer

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ServeError(f"the limit {name} must be positive; got {value}")


LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_access(host: str, api_key: str | None, no_auth: bool) -> None:
    """Beyond this machine a key is needed, or the word that none is wanted.

    Raises:
        ServeError: another host than the loopback without either, or a key that no header can carry.
    """
    if api_key is not None and (not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key):
        raise ServeError("an API key is of printable ASCII characters without spaces")
    if host not in LOOPBACK and api_key is None and not no_auth:
        raise ServeError(
            f"with --host {host} others can reach the server: give --api-key KEY (or SIMCSE_KIT_API_KEY), "
            "or --no-auth where everybody may ask"
        )
