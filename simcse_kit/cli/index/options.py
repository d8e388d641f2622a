"""Arguments that several index commands share, and functions that read them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.completion import filter_starts, index_fields, index_folders, model_folders
from simcse_kit.cli.options import FILE_HELP, columns_of
from simcse_kit.wording import counted

Index = Annotated[
    str,
    typer.Argument(
        help="Index: a folder, milvus:FILE.db/NAME, or milvus:http://HOST:19530/NAME.",
        metavar="INDEX",
        autocompletion=index_folders,
    ),
]
Store = Annotated[Literal["folder", "milvus"] | None, typer.Option(help="The old way of an address.", hidden=True)]
Uri = Annotated[str | None, typer.Option(help="Milvus's uri. Deprecated: use an address.", hidden=True, metavar="URI")]
Token = Annotated[
    str | None, typer.Option(help="Milvus's uri. Deprecated: use an address.", hidden=True, metavar="TOKEN")
]
File = Annotated[str, typer.Argument(help=FILE_HELP[:-1] + ", or a folder of such files.", metavar="FILE")]
IdColumn = Annotated[
    str | None,
    typer.Option(help="Column of ids: strings or integers, each once. Default: numbers from 0.", metavar="NAME"),
]
MetadataColumns = Annotated[
    str | None,
    typer.Option(
        help="Columns to keep beside the text, with commas, such as lang,year, for search --filter. Default: none.",
        metavar="NAMES",
        autocompletion=index_fields,
    ),
]
Passages = Annotated[
    bool,
    typer.Option(
        "--passages",
        help="Cut long texts into overlapping passages with the ids ID#0, ID#1, ... Default: the end of a text that "
        "the model cannot read is cut off, and counted.",
    ),
]
Language = Annotated[str, typer.Option(help="Language of the texts, for --passages, as an ISO 639 code such as ko.")]
KeptIdColumn = Annotated[
    str | None, typer.Option("--id-column", help="Column of ids. Default: as the index was built.", metavar="NAME")
]
KeptMetadataColumns = Annotated[
    str | None,
    typer.Option(
        "--metadata-columns",
        help='Columns to keep beside the text, with commas; "" keeps no column. Default: as the index was built.',
        metavar="NAMES",
        autocompletion=index_fields,
    ),
]
KeptPassages = Annotated[
    bool | None,
    typer.Option("--passages/--no-passages", help="Cut long texts into passages. Default: as the index was built."),
]
KeptLanguage = Annotated[
    str | None,
    typer.Option("--language", help="Language of the texts, for --passages. Default: as the index was built."),
]
InfoFormat = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Form of the output: text is for people, json for programs.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process updates the index. Default: that is an error.")
]
Filter = Annotated[
    str | None,
    typer.Option(
        help='Condition on the metadata, as JSON, such as {"lang": "en", "year": {"$gte": 2020}}. Default: none.',
        metavar="JSON",
        autocompletion=filter_starts,
    ),
]
Queries = Annotated[
    str | None,
    typer.Option(
        help="File of example queries, by which the recall is tuned. Default: the texts of the index.", metavar="FILE"
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Model of the index, if it has moved. Default: the recorded one.", autocompletion=model_folders),
]


def left_out(counts: Any) -> str:
    blank = f", {counted(counts.blank, 'empty line')} dropped" if counts.blank else ""
    return blank + (f", {counted(counts.skipped, 'bad row')} skipped" if counts.skipped else "")


def kept_columns_of(text: str | None) -> list[str] | None:
    """Like `columns_of`; "" means no column."""
    return [] if text == "" else columns_of(text)


def queries_of(source: str | None) -> Any:
    from simcse_kit.cli.console import sentences_of
    from simcse_kit.data import read_sentences

    return None if source is None else read_sentences(sentences_of(source)).column(0)


def filter_of(text: str | None) -> Any:
    from simcse_kit.errors import SearchIndexError

    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise SearchIndexError(f'--filter is not valid JSON ({error}); write it like {{"lang": "en"}}') from error
