"""``simcse-kit prepare sentences|nli|negatives``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.cli.options import (
    BackendOption,
    BatchSize,
    Columns,
    Device,
    Dtype,
    Header,
    Overwrite,
    Pooling,
    SkipBadRows,
    TrustRemoteCode,
    columns_of,
)

Seed = Annotated[int, typer.Option(help="Random seed of the draw.")]
Combinations = Literal["one", "all"]
SamplingStrategy = Literal["top", "random"]


def prepare_sentences_command(
    docs: Annotated[
        list[str],
        typer.Argument(
            help="Documents: .txt, .jsonl or .parquet, each also .gz, or folders of such files.", metavar="DOCS..."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .txt.", metavar="OUT")],
    language: Annotated[
        str, typer.Option(help="Language of the documents, for the splitter, as an ISO 639 code such as ko.")
    ] = "en",
    column: Annotated[
        str | None,
        typer.Option(help="Column of the text. Default: the one named text, sentence or sent, or the only one."),
    ] = None,
    line_paragraphs: Annotated[
        bool,
        typer.Option("--line-paragraphs", help="Each line is a paragraph. Default: a blank line ends a paragraph."),
    ] = False,
    min_words: Annotated[
        int | None, typer.Option(help="Fewest words of a sentence. Default: 3; none without spaces (zh, ja).", min=0)
    ] = None,
    max_words: Annotated[
        int | None,
        typer.Option(help="Most words of a sentence. Default: 128; no limit without spaces (zh, ja).", min=1),
    ] = None,
    min_chars: Annotated[
        int | None,
        typer.Option(help="Fewest characters of a sentence. Default: no limit; 6 without spaces (zh, ja).", min=0),
    ] = None,
    max_chars: Annotated[
        int | None,
        typer.Option(help="Most characters of a sentence. Default: no limit; 256 without spaces (zh, ja).", min=1),
    ] = None,
    near_duplicates: Annotated[
        float,
        typer.Option(
            help="Drop a sentence whose character trigrams have at least this Jaccard similarity, 0 to 1, with an "
            "earlier one; 0 keeps all but equal ones."
        ),
    ] = 0.9,
    skip_bad_rows: SkipBadRows = False,
    overwrite: Overwrite = False,
) -> None:
    """Split documents into sentences: one in each line, without repetitions.

    Example: simcse-kit prepare sentences articles/ sentences.txt
    Example: simcse-kit prepare sentences articles/ notes.txt sentences.txt --language ko --min-words 5
    """
    from simcse_kit.data.prepare.corpus import prepare_sentences

    counts = prepare_sentences(
        docs,
        out,
        language=language,
        column=column,
        line_paragraphs=line_paragraphs,
        min_words=min_words,
        max_words=max_words,
        min_chars=min_chars,
        max_chars=max_chars,
        near_duplicates=near_duplicates,
        skip_bad_rows=skip_bad_rows,
        overwrite=overwrite,
        show_progress_bar=True,
    )
    _tell(counts, out, "adapt", str(out))


def prepare_nli_command(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files of SNLI, MultiNLI, XNLI, ANLI, KLUE-NLI or KorNLI: .jsonl, .parquet, .csv, .txt or .tsv, "
            "each also .gz.",
            metavar="FILES...",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .csv.", metavar="OUT")],
    combinations: Annotated[
        Combinations, typer.Option(help="Triplets of a premise: one, as in the paper's file, or all combinations.")
    ] = "one",
    language: Annotated[
        str | None, typer.Option(help="Use only rows of this language, such as ko (XNLI). Default: all rows.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Meaning of each label, such as 0=contradiction,1=entailment,2=neutral; - leaves rows out. Default: "
            "the words, their first letters, or 0=entailment,1=neutral,2=contradiction,-1=-.",
            metavar="LABEL=MEANING,...",
        ),
    ] = None,
    seed: Seed = 42,
    skip_bad_rows: SkipBadRows = False,
    overwrite: Overwrite = False,
) -> None:
    """Make triplets of NLI data: a premise, a sentence that it entails, one that it contradicts.

    Example: simcse-kit prepare nli snli_1.0_train.jsonl multinli_1.0_train.jsonl nli.csv
    Example: simcse-kit prepare nli xnli.tsv nli-ko.csv --language ko --combinations all
    """
    from simcse_kit.data.prepare.nli import prepare_nli

    counts = prepare_nli(
        files,
        out,
        combinations=combinations,
        language=language,
        labels=None if labels is None else _meanings(labels),
        seed=seed,
        skip_bad_rows=skip_bad_rows,
        overwrite=overwrite,
        show_progress_bar=True,
    )
    _tell(counts, out, "train", "sup", str(out), "--model", "all-MiniLM-L6-v2")


def _meanings(text: str) -> dict[str, str]:
    """``0=entailment,1=neutral`` as a mapping."""
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    if not parts or not all(label.strip() and sign for label, sign, _ in parts):
        raise typer.BadParameter(f"--labels takes LABEL=MEANING with commas, such as 0=entailment; got {text!r}")
    return {label: meaning for label, _, meaning in parts}


def prepare_negatives_command(
    pairs: Annotated[
        str, typer.Argument(help="Rows of 2 texts, anchor and positive, as for train sup.", metavar="PAIRS")
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .csv.", metavar="OUT")],
    model: Annotated[
        str, typer.Option(help="Model that finds the negatives: a folder or a hub name.", autocompletion=model_folders)
    ],
    corpus: Annotated[
        str | None,
        typer.Option(help="File of more texts to choose negatives from. Default: the positives only.", metavar="FILE"),
    ] = None,
    num_negatives: Annotated[int, typer.Option(help="Negatives of a pair; each makes a row.", min=1)] = 1,
    range_min: Annotated[
        int, typer.Option(help="Skip this number of the nearest texts, which may be true matches.", min=0)
    ] = 0,
    range_max: Annotated[
        int | None,
        typer.Option(help="Look at this number of the nearest texts at most. Default: as many as needed.", min=1),
    ] = None,
    max_score: Annotated[
        float | None,
        typer.Option(
            help="Highest cosine of a negative with its anchor, -1 to 1; lower it if negatives are true matches. "
            "Default: no limit."
        ),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Lowest cosine of a negative with its anchor, -1 to 1. Default: no limit.")
    ] = None,
    absolute_margin: Annotated[
        float | None,
        typer.Option(
            help="Least difference between the cosines of positive and negative, such as 0.1. Default: no limit."
        ),
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option(help="The same as a share of the positive's cosine, such as 0.05. Default: no limit."),
    ] = None,
    sampling_strategy: Annotated[
        SamplingStrategy,
        typer.Option(help="Candidates that become negatives: top takes the nearest, random draws from all."),
    ] = "top",
    seed: Seed = 42,
    columns: Columns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    overwrite: Overwrite = False,
) -> None:
    """Find hard negatives for pairs: texts that a model puts near the anchor and that are not the positive.

    Example: simcse-kit prepare negatives pairs.csv triplets.csv --model my-model
    Example: simcse-kit prepare negatives pairs.csv triplets.csv --model all-MiniLM-L6-v2 --relative-margin 0.05
    """
    from simcse_kit.model import SimCSE
    from simcse_kit.training.negatives import prepare_negatives

    counts = prepare_negatives(
        pairs,
        out,
        SimCSE(
            model, pooling=pooling, device=device, backend=backend, dtype=dtype, trust_remote_code=trust_remote_code
        ),
        corpus=corpus,
        range_min=range_min,
        range_max=range_max,
        max_score=max_score,
        min_score=min_score,
        absolute_margin=absolute_margin,
        relative_margin=relative_margin,
        num_negatives=num_negatives,
        sampling_strategy=sampling_strategy,
        seed=seed,
        columns=columns_of(columns),
        header=header,
        skip_bad_rows=skip_bad_rows,
        overwrite=overwrite,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    trust = ["--trust-remote-code"] if trust_remote_code else []
    _tell(counts, out, "train", "sup", str(out), "--model", model, *trust)


def _tell(counts: Any, path: Path, *job: str) -> None:
    """A named tuple of counts as two aligned columns, zeros left out; and the job that takes the file."""
    from simcse_kit.cli.console import escaped, out, show_next, table
    from simcse_kit.workflows.steps import new_name

    rows = [[name.replace("_", " "), f"{count:,}"] for name, count in counts._asdict().items() if count]
    out().print(table([escaped(path), "count"], rows))
    show_next([*job, "--output-dir", new_name("my-model")])
