"""``simcse-kit serve`` and ``simcse-kit demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from simcse_kit.cli.completion import index_folders, model_folders, target_folders
from simcse_kit.cli.index.options import Store, Token, Uri
from simcse_kit.cli.options import FILES, BackendOption, Columns, Device, Dtype, TrustIndex, columns_of
from simcse_kit.cli.settings_file import ConfigFile
from simcse_kit.wording import counted


def _visible(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Warn that other users can see a key on the command line."""
    from simcse_kit.errors import say_once

    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE":
        say_once("other users of this machine can see --api-key KEY (ps); use --api-key-file or SIMCSE_KIT_API_KEY")
    return value


Host = Annotated[
    str,
    typer.Option(
        help="Address to listen on; 0.0.0.0 is every network of this machine. Beyond this machine it needs "
        "--api-key-file or --no-auth."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="API key that clients must send as Authorization: Bearer KEY. Every user of this machine can see the "
        "command line (ps): prefer --api-key-file or the variable. Default: no key.",
        envvar="SIMCSE_KIT_API_KEY",
        metavar="KEY",
        callback=_visible,
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(help="File of API keys, one in each line; any of them is accepted. Default: no keys.", metavar="FILE"),
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Answer everybody who can reach the address, without a key.")]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Name that clients use for the server, such as search.example.org behind a proxy; the headers Host and "
        "Origin may have it. May be given several times. Default: none.",
        metavar="NAME",
    ),
]
RootPath = Annotated[
    str, typer.Option(help="Path under which a proxy shows the server, such as /search. Default: none.", metavar="PATH")
]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option(
        help="Address or network of a proxy whose headers X-Forwarded-For and X-Forwarded-Proto are used. May be given "
        "several times. Default: none.",
        metavar="IP",
    ),
]


def serve_targets(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="What to serve, TARGET or NAME=TARGET: an index (folder, milvus:FILE.db/NAME or "
            "milvus:http://HOST:19530/NAME) or a model (folder or hub name).",
            metavar="TARGET...",
            autocompletion=target_folders,
            envvar="SIMCSE_KIT_SERVE_TARGETS",
        ),
    ],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
    no_auth: NoAuth = False,
    allowed_host: AllowedHost = None,
    root_path: RootPath = "",
    trusted_proxy: TrustedProxy = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Allow requests to change the indexes, such as POST /add.")
    ] = False,
    strict_dimensions: Annotated[
        bool,
        typer.Option(
            "--strict-dimensions",
            help="Reject requests for shorter vectors (dimensions) of a model that was not trained for it "
            "(Matryoshka). Default: answer, with a note in the log.",
        ),
    ] = False,
    max_sentences: Annotated[int, typer.Option(help="Most texts in one request.", min=1)] = 2048,
    max_queue: Annotated[
        int, typer.Option(help="Most texts that may wait; further requests get status 429.", min=1)
    ] = 8192,
    timeout: Annotated[float, typer.Option(help="Most seconds for one request.", min=0.1)] = 60,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="Form of the lines on standard error. No line contains a text, a query or a key."),
    ] = "text",
    access_log: Annotated[
        bool | None,
        typer.Option(
            "--access-log/--no-access-log",
            help="Write a line for each request, with id, method, route, status, milliseconds and bytes. Default: only "
            "with --log-format json.",
        ),
    ] = None,
    config: ConfigFile = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "auto",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Serve models and indexes over HTTP: OpenAI's embeddings, search, metrics; /docs describes it.

    It listens at once; /health answers 503 until everything is loaded. SIGHUP opens indexes, models and API keys again,
    from the disk only. SIGTERM and Ctrl-C stop the server when the running requests have ended.

    Each option can also be an environment variable, such as SIMCSE_KIT_SERVE_PORT, or a line of a file, see --config.

    Example: simcse-kit serve tickets-index my-model
    Example: simcse-kit serve tickets=tickets-index --host 0.0.0.0 --port 80 --api-key-file keys.txt
    """
    from simcse_kit.cli.console import err, escaped, speak
    from simcse_kit.serving import Limits, Started, serve
    from simcse_kit.serving.logs import log_to_stderr

    if log_format == "json":
        speak("json")
    log_to_stderr(log_format, requests=log_format == "json" if access_log is None else access_log)

    def say(started: Started) -> None:
        url, indexes, models = started
        what = [*(f"index {escaped(name)}" for name in indexes), *(f"model {escaped(name)}" for name in models)]
        place = f"{url}/" if root_path else url  # /search alone is an address of the API
        err().print(f"serving {', '.join(what)} at {place} (API: {url}/docs); press Ctrl-C to stop")

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
        api_key_file=api_key_file,
        no_auth=no_auth,
        allowed_hosts=allowed_host or (),
        root_path=root_path,
        trusted_proxies=trusted_proxy or (),
        strict_dimensions=strict_dimensions,
        reload_on_hangup=True,
        limits=Limits(sentences=max_sentences, queue=max_queue, seconds=timeout),
        writable=writable,
        on_start=say,
    )


def run_demo(
    index: Annotated[
        str | None,
        typer.Argument(
            help="Index to show, as in serve. Default: the package's sample.",
            metavar="[INDEX]",
            autocompletion=index_folders,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Second index to show beside the first, such as before and after training. Default: none.",
            metavar="INDEX",
            autocompletion=index_folders,
        ),
    ] = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            help="Also ask which hits of the two indexes are relevant, blind, and save the answers in this folder (see "
            "judge). Default: no questions.",
            metavar="FOLDER",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="File of queries for --judge. Default: texts of the indexes; you can also type queries.",
            metavar="FILE",
        ),
    ] = None,
    sentences: Annotated[
        str | None, typer.Option(help="File to index first: " + FILES + " Default: none.", metavar="FILE")
    ] = None,
    columns: Columns = None,
    model: Annotated[
        str,
        typer.Option(
            help="Model for --sentences and the sample: a folder or a hub name.", autocompletion=model_folders
        ),
    ] = "all-MiniLM-L6-v2",
    title: Annotated[
        str | None, typer.Option(help="Title of the page. Default: a general one.", metavar="TEXT")
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            help="Address that the id of each hit links to, such as https://tickets.example/{id}. Default: no link.",
            metavar="URL",
        ),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            help="Sample query, a button on the page. May be given several times. Default: none.", metavar="TEXT"
        ),
    ] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(
            help="Metadata field to filter by and to colour the map by. May be given several times. Default: fields "
            "with few values.",
            metavar="FIELD",
        ),
    ] = None,
    writable: Annotated[
        bool,
        typer.Option(
            "--writable",
            help="Let the page add texts to INDEX and --compare. Default: only to what demo itself indexed.",
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser, or only print its address.")
    ] = True,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen on; 0 takes a free one. Default: 8000, or a free one if it is taken.", min=0, max=65535
        ),
    ] = None,
    api_key: ApiKey = None,
    api_key_file: ApiKeyFile = None,
    no_auth: NoAuth = False,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "auto",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Open a page to search in: an index, a file of texts, or the package's sample.

    Example: simcse-kit demo --sentences tickets.txt
    Example: simcse-kit demo old-index --compare new-index --query "cannot log in"
    """
    import webbrowser

    from simcse_kit.cli.console import err, escaped
    from simcse_kit.errors import SimCSEKitError, require_extra

    require_extra("serve", ["fastapi", "uvicorn", "prometheus_client"], "the demo")
    from simcse_kit.model import SimCSE
    from simcse_kit.serving import PageSettings, Started, check_access, free_port, open_targets, read_api_keys, serve
    from simcse_kit.serving.demo import demo_index

    page = PageSettings(link=link, queries=query or (), facets=facet, **({} if title is None else {"title": title}))
    keys = [] if api_key is None else [api_key]
    check_access(host, [*keys, *(read_api_keys(api_key_file) if api_key_file is not None else [])], no_auth)
    if index is not None and sentences is not None:
        raise SimCSEKitError("give demo either an index or --sentences")
    if queries is not None and judge is None:
        raise SimCSEKitError("--queries needs --judge FOLDER")
    if judge is not None and compare is None:
        raise SimCSEKitError("--judge compares two indexes: demo INDEX --compare INDEX --judge FOLDER")
    opened = {}
    if index is None:
        encoder = SimCSE(model, device=device, backend=backend, dtype=dtype)
        made, counts = demo_index(sentences, encoder, columns=columns_of(columns), show_progress_bar=True)
        state = "indexed in" if counts is not None else "opened from"
        err().print(f"{counted(len(made), 'sentence')} {state} {escaped(made.folder)}")
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
        raise SimCSEKitError(
            f"{next(iter(models))} is not an index; build one: simcse-kit index build MODEL FILE INDEX"
        )

    def show(started: Started) -> None:
        err().print(f"open {started.url} (press Ctrl-C to stop)")
        if browser:
            webbrowser.open(started.url)

    serve(
        indexes,
        host=host,
        port=free_port(host, 8000) if port is None else port,
        api_key=api_key,
        api_key_file=api_key_file,
        no_auth=no_auth,
        writable=writable or judge is not None or tuple(opened),  # trust code in a user's index only on request
        judgements=judge,
        queries=queries,
        page=page,
        on_start=show,
    )
