"""Running the application: what is served, where, until when."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.errors import require_extra
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search import open_collection
from simcse_kit.search.address import Address, index_address, masked
from simcse_kit.search.store import MANIFEST
from simcse_kit.serving.settings import Limits, ServeError, check_access


def open_targets(
    targets: Sequence[str],
    *,
    device: str | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
) -> tuple[dict[str, SentenceIndex], dict[str, SimCSE]]:
    """Indexes by their addresses and models by their folders or hub names, each perhaps ``NAME=TARGET``; by name.

    An address is a folder or a collection of Milvus, see `SentenceIndex.build`. An index takes a model that is loaded
    already, where it is its own. ``device``, ``backend`` and ``dtype`` are those of `SimCSE`, for every model; with
    ``store="milvus"``, the old way, every target is a collection's name.

    Raises:
        ServeError: two of one name.
        SearchIndexError, ModelError: one that cannot be opened.
    """
    from simcse_kit.serving.engines import name_of

    how = {"device": device, "backend": backend, "dtype": dtype}
    indexes: dict[str, SentenceIndex] = {}
    models: dict[str, SimCSE] = {}
    for target in targets:
        given, equals, path = target.partition("=")
        name, path = (given, path) if equals else (name_of(target), target)
        if name in indexes or name in models:
            raise ServeError(f"two are called {name!r}; name them: {name}-2={masked(path)}")
        address = index_address(path, store, uri, token)
        if address.uri is not None or (Path(path) / MANIFEST).is_file():
            indexes[name] = _open_index(address, [*models.values(), *(index.model for index in indexes.values())], how)
        else:
            models[name] = SimCSE(path, **how)  # type: ignore[arg-type]
    return indexes, models


def _open_index(address: Address, loaded: Sequence[SimCSE], how: dict[str, Any]) -> SentenceIndex:
    wanted = open_collection(address).model.get("fingerprint")
    model = next((model for model in loaded if model.fingerprint() == wanted), None)
    return SentenceIndex.open(address, model, **how)


def serve(
    indexes: Mapping[str, SentenceIndex] | None = None,
    models: Mapping[str, SimCSE] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    no_auth: bool = False,
    limits: Limits | None = None,
    writable: bool = False,
    judgements: str | Path | None = None,
    queries: str | Path | Iterable[str] | None = None,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer HTTP until SIGTERM or Ctrl-C, which let the requests under way end first.

    Args:
        indexes: by name; they are searched at ``/search``, and shown on the page at ``/``.
        models: by name; they give vectors, as the models of the indexes do.
        host: where to listen; beyond this machine a key is needed, or ``no_auth``.
        port: 0 takes a free one.
        api_key: API key that clients must send as a bearer token.
        no_auth: let everybody ask who reaches the host.
        limits: of requests, see `simcse_kit.serving.Limits`.
        writable: ``/add`` may add to the indexes, and commit where they have a folder.
        judgements: a folder; the page asks which hits of the two indexes are relevant, and saves it there. It takes
            ``writable``, and nothing is added meanwhile.
        queries: that are asked, as in `judge`.
        on_start: called with the URL, once it answers there.

    Raises:
        MissingExtraError: the extra ``serve`` is not installed.
        ServeError: nothing to serve, a host beyond this machine without a key, or a port that is taken; or judgements
            without two indexes of the same texts.
        DataError: the folder of judgements holds something else.
    """
    require_extra("serve", ["fastapi", "uvicorn", "prometheus_client"], "the server")
    import uvicorn

    from simcse_kit.serving.app import create_app

    limits = limits or Limits()
    check_access(host, api_key, no_auth)
    app = create_app(
        indexes,
        models,
        api_key=api_key,
        host=host,
        limits=limits,
        writable=writable,
        judgements=judgements,
        queries=queries,
    )
    bound = _bind(host, port)
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{bound.getsockname()[1]}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_start(url)

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(limits.seconds) + 1,
        h11_max_incomplete_event_size=64 * 1024,
    )
    try:
        Server(config).run(sockets=[bound])
    finally:
        bound.close()


def free_port(host: str, wanted: int) -> int:
    """The port that is wanted, or 0, which takes a free one, where it is taken."""
    try:
        _bind(host, wanted).close()
    except ServeError:
        return 0
    return wanted


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error
    return bound
