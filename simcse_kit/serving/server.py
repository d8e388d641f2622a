"""Runs the application: address, and what is loaded meanwhile. Heavy imports follow after it listens."""

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
    """A running server: its address, and the names of what it serves."""

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
    """Answer HTTP until SIGTERM or Ctrl-C; running requests are finished first.

    Args:
        indexes: by name; searched at ``/search``, and shown on the page at ``/``.
        models: by name; they give vectors, like the models of the indexes.
        targets: further ones to open: addresses of indexes, folders or hub names of models, each also as
            ``NAME=TARGET``.
        device: as in `SimCSE`, for the models of ``targets``.
        backend: as in `SimCSE`.
        dtype: as in `SimCSE`.
        trust_remote_code: run Python code of the models in ``targets``, or of a kind that their indexes name.
        store: for ``targets``, deprecated, see `SentenceIndex.build`.
        uri: for ``targets``, deprecated.
        token: for ``targets``, deprecated.
        host: address to listen on; other than the loopback needs a key or ``no_auth``.
        port: 0 takes any free port.
        api_key: API key that clients must send as a bearer token.
        api_key_file: file of valid keys, one per line.
        no_auth: allow access without a key to everyone who can reach the host.
        allowed_hosts: further names of the server, such as that of a proxy's site, which the headers Host and Origin
            may have. With any of them, Host is checked on every address.
        root_path: path of the server behind a proxy, such as ``/search``.
        trusted_proxies: addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted.
        limits: limits of requests, see `simcse_kit.serving.Limits`.
        writable: ``/add`` and ``/documents`` may change the indexes, and commit if they have a folder; or the names of
            such indexes.
        strict_dimensions: reject ``dimensions`` for a model that is not known to be trained for it (Matryoshka).
        reload_on_hangup: SIGHUP opens the targets again, from the disk only, and reads ``api_key_file``; running
            requests end with the old ones. Only for ``targets``, and not with ``judgements``.
        judgements: a folder; the page asks which hits of the two indexes are relevant, and saves the answers there.
            Needs ``writable``; nothing can be added meanwhile.
        queries: queries to ask, as in `judge`.
        page: settings of the page, see `simcse_kit.serving.PageSettings`.
        on_start: called when everything is loaded, and after each reload, with the URL and the served names.

    Raises:
        MissingExtraError: the extra ``serve`` is not installed.
        ServeError: nothing to serve, two equal names, a host other than the loopback without a key, a port in use, or
            judgements without two indexes of the same texts.
        SearchIndexError, ModelError: a target cannot be opened.
        DataError: the folder of judgements holds other content.
    """
    require_extra("serve", ["fastapi", "uvicorn", "prometheus_client"], "the server")
    from simcse_kit.serving.reloading import Reloading
    from simcse_kit.serving.running import run_server

    keep_few_kernels()
    limits = limits or Limits()
    if reload_on_hangup and judgements is not None:
        raise ServeError("a server that judges cannot reload: judgements belong to the indexes as they are")
    check_root_path(root_path)

    def read_keys() -> list[str]:
        keys = [] if api_key is None else [api_key]
        keys += [] if api_key_file is None else read_api_keys(api_key_file)
        check_access(host, keys, no_auth)
        return keys

    read_keys()  # raises an error before the server listens
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
    """The URL for a browser on this machine. A browser cannot open a host that means all addresses.

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
    """The requested port, or 0 for any free port if it is taken."""
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
        raise ServeError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port with --port"
        ) from error
    return bound
