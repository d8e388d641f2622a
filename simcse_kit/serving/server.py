"""Running the application: where it listens, what is loaded meanwhile. What is heavy is imported after it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simcse_kit.encoder.speed.kernels import keep_few_kernels
from simcse_kit.errors import require_extra
from simcse_kit.serving.settings import (
    Limits,
    PageSettings,
    ServeError,
    check_access,
    check_root_path,
    read_api_keys,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

    from simcse_kit.index.sentence_index import SentenceIndex
    from simcse_kit.model import SimCSE


class Started(NamedTuple):
    """A server that answers: where, and the names of what it serves."""

    url: str  # for a browser on this machine; with the root path
    indexes: tuple[str, ...]
    models: tuple[str, ...]


def serve(
    indexes: Mapping[str, SentenceIndex] | None = None,
    models: Mapping[str, SimCSE] | None = None,
    *,
    targets: str | Sequence[str] = (),
    device: str | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    api_key_file: str | Path | None = None,
    no_auth: bool = False,
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
    trusted_proxies: Sequence[str] = (),
    limits: Limits | None = None,
    writable: bool | Collection[str] = False,
    strict_dimensions: bool = False,
    reload_on_hangup: bool = False,
    judgements: str | Path | None = None,
    queries: str | Path | Iterable[str] | None = None,
    page: PageSettings | None = None,
    on_start: Callable[[Started], object] = lambda started: None,
) -> None:
    """Answer HTTP until SIGTERM or Ctrl-C, which let the requests under way end first.

    Args:
        indexes: by name; they are searched at ``/search``, and shown on the page at ``/``.
        models: by name; they give vectors, as the models of the indexes do.
        targets: more of both, to be opened: addresses of indexes, folders or hub names of models, each perhaps
            ``NAME=TARGET``.
        device: of `SimCSE`, for the models of ``targets``.
        backend: the same.
        dtype: the same.
        trust_remote_code: run code that the models of ``targets`` bring, or their indexes name as their kind.
        store: of ``targets``, the old way, see `SentenceIndex.build`.
        uri: of ``targets``, the old way.
        token: of ``targets``, the old way.
        host: where to listen; beyond this machine a key is needed, or ``no_auth``.
        port: 0 takes a free one.
        api_key: API key that clients must send as a bearer token.
        api_key_file: file of such keys, one in a line; any of them will do.
        no_auth: let everybody ask who reaches the host.
        allowed_hosts: names under which clients reach the server beside its own, such as that of a proxy's site: the
            headers Host and Origin may have them. With any of them Host is checked on every address.
        root_path: path under which a proxy shows the server, such as ``/search``.
        trusted_proxies: addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
        limits: of requests, see `simcse_kit.serving.Limits`.
        writable: ``/add`` and ``/documents`` may change the indexes, and commit where they have a folder; or the names
            of such indexes.
        strict_dimensions: refuse ``dimensions`` for a model that is not known to be trained for it (Matryoshka).
        reload_on_hangup: SIGHUP opens the targets again, from the disk only, and reads ``api_key_file``; requests
            under way end with what was there before. It is for ``targets``, and not with ``judgements``.
        judgements: a folder; the page asks which hits of the two indexes are relevant, and saves it there. It takes
            ``writable``, and nothing is added meanwhile.
        queries: that are asked, as in `judge`.
        page: what the page shows around the indexes, see `simcse_kit.serving.PageSettings`.
        on_start: called when everything is loaded, with the URL and the names of what it serves; again after a reload.

    Raises:
        MissingExtraError: the extra ``serve`` is not installed.
        ServeError: nothing to serve, two of one name, a host beyond this machine without a key, or a port that is
            taken; or judgements without two indexes of the same texts.
        SearchIndexError, ModelError: a target that cannot be opened.
        DataError: the folder of judgements holds something else.
    """
    require_extra("serve", ["fastapi", "uvicorn", "prometheus_client"], "the server")
    from simcse_kit.serving.reloading import Reloading
    from simcse_kit.serving.running import run_server

    keep_few_kernels()
    limits = limits or Limits()
    if reload_on_hangup and judgements is not None:
        raise ServeError("a server that judges is not reloaded: what was judged belongs to the indexes as they are")
    check_root_path(root_path)

    def read_keys() -> list[str]:
        keys = [] if api_key is None else [api_key]
        keys += [] if api_key_file is None else read_api_keys(api_key_file)
        check_access(host, keys, no_auth)
        return keys

    read_keys()  # an error before anything listens
    bound = _bind(host, port)
    started: Started | None = None

    def load() -> FastAPI:
        from simcse_kit.serving.app import create_app
        from simcse_kit.serving.targets import open_targets

        nonlocal started
        keys = read_keys()
        found, loaded = open_targets(
            targets,
            indexes=indexes,
            models=models,
            device=device,
            backend=backend,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            local_files_only=started is not None,
            store=store,
            uri=uri,
            token=token,
        )
        app = create_app(
            found,
            loaded,
            api_key=keys,
            host=host,
            allowed_hosts=allowed_hosts,
            root_path=root_path,
            limits=limits,
            writable=writable,
            strict_dimensions=strict_dimensions,
            judgements=judgements,
            queries=queries,
            page=page,
        )
        started = Started(address_of(host, bound.getsockname()[1], root_path), tuple(found), tuple(loaded))
        return app

    def loaded_now() -> None:
        assert started is not None
        on_start(started)

    run_server(
        Reloading(load, limits.seconds),
        bound,
        limits=limits,
        trusted_proxies=trusted_proxies,
        reload_on_hangup=reload_on_hangup,
        on_load=loaded_now,
    )


def address_of(host: str, port: int, root_path: str = "") -> str:
    """The URL for a browser on this machine. A host that stands for all addresses is none that a browser can open.

    >>> address_of("0.0.0.0", 8000), address_of("::", 8000), address_of("localhost", 80, "/search")
    ('http://localhost:8000', 'http://[::1]:8000', 'http://localhost:80/search')
    """
    try:
        everywhere = not host or ip_address(host).is_unspecified
    except ValueError:  # a name
        everywhere = False
    if everywhere:
        host = "::1" if ":" in host else "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{root_path}"


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
