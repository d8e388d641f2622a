"""``simcse-kit serve`` and ``simcse-kit demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.index import Store, Token, Uri
from simcse_kit.cli.options import FILE_HELP, BackendOption, Columns, Device, Dtype, TrustIndex, columns_of

Host = Annotated[str, typer.Option(help="Address to listen on; beyond this machine it needs --api-key or --no-auth.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="What requests must bear: Authorization: Bearer KEY.", envvar="SIMCSE_KIT_API_KEY", metavar="KEY"
    ),
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Let everybody ask who reaches the address.")]


def serve_targets(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Indexes: folders, milvus:FILE.db/NAME or milvus:http://HOST:19530/NAME; models: folders or hub "
            "names. Each perhaps with a name, NAME=TARGET.",
            metavar="TARGET...",
        ),
    ],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    api_key: ApiKey = None,
    no_auth: NoAuth = False,
    writable: Annotated[bool, typer.Option("--writable", help="Let POST /add add sentences to the indexes.")] = False,
    max_sentences: Annotated[int, typer.Option(help="Sentences in one request.", min=1)] = 2048,
    max_queue: Annotated[int, typer.Option(help="Sentences that may wait; more get 429.", min=1)] = 8192,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.", min=0.1)] = 60,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "auto",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Serve models and indexes over HTTP: OpenAI's embeddings, search, metrics; /docs describes it.

    Example: simcse-kit serve tickets-index my-model
    """
    from simcse_kit.cli.console import err, escaped
    from simcse_kit.serving import Limits, Started, serve

    def say(started: Started) -> None:
        url, indexes, models = started
        what = [*(f"index {escaped(name)}" for name in indexes), *(f"model {escaped(name)}" for name in models)]
        err().print(f"serving {', '.join(what)} at {url} (API: {url}/docs); Ctrl-C ends it")

    serve(
        targets=targets,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        store=store,
        uri=uri,
        token=token,
        host=host,
        port=port,
        api_key=api_key,
        no_auth=no_auth,
        limits=Limits(sentences=max_sentences, queue=max_queue, seconds=timeout),
        writable=writable,
        on_start=say,
    )


def run_demo(
    index: Annotated[
        str | None, typer.Argument(help="An index, see serve. Default: the package's sample.", metavar="[INDEX]")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Another index, beside it on the page: before and after training.", metavar="INDEX"),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            help="Also ask which hits of the two indexes are relevant, blind, and save it in this folder, see judge.",
            metavar="FOLDER",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="For --judge: a file of queries. Default: sentences of the indexes; one can type queries too.",
            metavar="FILE",
        ),
    ] = None,
    sentences: Annotated[str | None, typer.Option(help="Index these first. " + FILE_HELP, metavar="FILE")] = None,
    columns: Columns = None,
    model: Annotated[str, typer.Option(help="Model for --sentences: a folder or hub name.")] = "all-MiniLM-L6-v2",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    host: Host = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port. Default: 8000, or a free one.", min=0, max=65535)] = None,
    api_key: ApiKey = None,
    no_auth: NoAuth = False,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "auto",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Open a page to search in: an index, a file of sentences, or the package's sample.

    Example: simcse-kit demo --sentences tickets.txt
    """
    import webbrowser

    from simcse_kit.cli.console import err, escaped
    from simcse_kit.errors import SimCSEKitError, require_extra

    require_extra("serve", ["fastapi", "uvicorn", "prometheus_client"], "the demo")
    from simcse_kit.model import SimCSE
    from simcse_kit.serving import Started, check_access, free_port, open_targets, serve
    from simcse_kit.serving.demo import demo_index

    check_access(host, api_key, no_auth)
    if index is not None and sentences is not None:
        raise SimCSEKitError("demo takes an index or --sentences, one of the two")
    if queries is not None and judge is None:
        raise SimCSEKitError("--queries are for --judge FOLDER")
    if judge is not None and compare is None:
        raise SimCSEKitError("--judge compares two indexes: demo INDEX --compare INDEX --judge FOLDER")
    opened = {}
    if index is None:
        encoder = SimCSE(model, device=device, backend=backend, dtype=dtype)
        made, counts = demo_index(sentences, encoder, columns=columns_of(columns), show_progress_bar=True)
        state = "indexed in" if counts is not None else "opened from"
        err().print(f"{len(made):,} sentences {state} {escaped(made.folder)}")
        opened["sample" if sentences is None else Path(sentences).name.partition(".")[0]] = made
    targets = [name for name in (index, compare) if name is not None]
    indexes, models = open_targets(
        targets,
        indexes=opened,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        store=store,
        uri=uri,
        token=token,
    )
    if models:
        raise SimCSEKitError(f"{next(iter(models))} is no index; make one: simcse-kit index build MODEL FILE INDEX")

    def show(started: Started) -> None:
        err().print(f"open {started.url} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(started.url)

    serve(
        indexes,
        host=host,
        port=free_port(host, 8000) if port is None else port,
        api_key=api_key,
        no_auth=no_auth,
        writable=True,
        judgements=judge,
        queries=queries,
        on_start=show,
    )
