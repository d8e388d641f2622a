"""Settings of a training run: what a run goes by, frozen, validated where it is made.

What all runs have stands here; what an objective or a term has stands in its own file. No heavy import: the command's
help is made from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeVar

from simcse_kit.errors import TrainingError
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES, TERMS, Objective, Term
from simcse_kit.parts import check_settings, own_name, setting
from simcse_kit.training.recipes import recipe_settings

MODES = ("unsup", "sup")
STEPS = 100  # of a run whose batch size is chosen for its rows, at least
SMALLEST = 16  # rows of such a batch
Select = Literal["eval-data", "dropout-twins", "last"]
TrainHead = Literal["mlp", "projection", "none"]
LISTS = ("matryoshka_dims", "augmentation", "teacher", "prompts")  # one item or several
_SEEDS = 2**32  # numpy takes no more
T = TypeVar("T", bound=Term)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a run does; each setting is an option of ``simcse-kit train`` under the same name.

    ``None`` in ``pooling`` leaves the choice to the model's folder, then to the mode's default. The settings of the
    objective and of the terms are fields of theirs; `flat` has all of them by name.
    """

    mode: str  # "unsup": a sentence and itself; "sup": pairs, triplets, scored pairs or texts with classes
    objective: Objective
    terms: tuple[Term, ...] = ()  # every term that there is, active or not

    model: str = setting(
        None, "Model to start from: a folder or a hub name. Needed unless --recipe names one.", panel="model"
    )
    recipe: str | None = setting(
        None,
        "Named settings, see simcse-kit recipes; + joins several. Options that you give win. Default: none.",
        panel="objective",
    )
    pooling: str | None = setting(None, "", panel="model")
    train_head: TrainHead = setting(
        "mlp",
        "Layer between vector and loss, in training only: mlp (dense + tanh), projection (SimCLR's), none.",
        choices=("mlp", "projection", "none"),
        panel="model",
    )
    template: str | None = setting(
        None,
        "Text around each sentence [X] with a [MASK], whose vector is the sentence's (PromptBERT), such as 'This "
        'sentence : "[X]" means [MASK].\' It is saved with the model. Default: none.',
        panel="model",
    )
    second_template: str | None = setting(
        None, "Another template for the positive view, in training only. Default: --template.", panel="model"
    )
    template_denoising: bool = setting(
        True, "Subtract the vector of the template alone, in training.", panel="model", needs="template"
    )
    prompts: tuple[str, ...] = setting(
        (),
        "Names of the start model's prompts, one for each column, such as query,document; the last one is for all "
        "further columns. Default: the model's default prompt.",
        panel="model",
    )
    dropout: float | None = setting(
        None,
        "Dropout probability of the whole backbone; more makes the two views of a sentence differ more. Default: the "
        "model's own.",
        at_least=0,
        below=1,
        panel="model",
    )
    lora_rank: int | None = setting(
        None,
        "Train low-rank adapters of this rank, such as 8, in less memory (LoRA; needs the extra lora). Default: train "
        "all weights.",
        above=0,
        panel="model",
    )
    merge: bool = setting(False, "With --lora-rank: add the adapters to the weights of the saved model.", panel="model")
    augmentation: tuple[str, ...] = setting(
        (),
        f"Changes of the positive view, or of both views with simclr; several with commas: "
        f"{', '.join(one.name for one in AUGMENTATIONS)}. Default: none.",
        panel="objective",
    )
    teacher: tuple[str, ...] = setting(
        (),
        "Model whose similarities are learned beside the loss (RankCSE), or alone (--objective distill): "
        "NAME[:POOLING]; two with a comma. Default: none.",
        panel="objective",
    )
    epochs: float = setting(
        1.0,
        "Passes over the data; 0.5 uses half of the rows. Small data sets need more.",
        above=0,
        panel="optimisation",
    )
    batch_size: int = setting(
        64,
        "Rows in a step, on each device; at least 2. The other rows are the negatives: more rows are more negatives "
        "and more memory.",
        panel="optimisation",
    )
    learning_rate: float = setting(
        3e-5,
        "Learning rate at the start; it falls linearly to 0. Lower it if the loss jumps.",
        above=0,
        panel="optimisation",
    )
    start_share: float = setting(
        0.0,
        "Share of the start model's weights in the saved model (WiSE-FT, Wortsman et al., 2022); a larger one "
        "forgets less.",
        at_least=0,
        below=1,
        panel="optimisation",
    )
    max_seq_length: int = setting(
        32,
        "Tokens of a text that training reads, at least 3. Raise it for long texts; the saved model keeps its own.",
        panel="optimisation",
    )
    no_duplicates: bool = setting(
        False,
        "Keep equal texts out of a batch. Where that is impossible, the loss masks them.",
        panel="optimisation",
    )
    seed: int = setting(42, "Random seed of the run.", at_least=0, below=_SEEDS, panel="optimisation")
    select: Select | None = setting(
        None,
        "Score that chooses the saved checkpoint: eval-data; dropout-twins (two dropout views of held-out sentences "
        "find each other; this is not search); last (no score). Default: eval-data with --eval-data, otherwise last.",
        choices=("eval-data", "dropout-twins", "last"),
        aliases={"label-free": "dropout-twins"},
        panel="selection",
    )
    eval_steps: int = setting(125, "Steps between two checkpoints, each with its score.", above=0, panel="selection")
    mini_batch_size: int | None = setting(
        None,
        "Sentences in memory at once, for a --batch-size that does not fit (GradCache): same gradient, a third slower. "
        "Default: all.",
        above=0,
        panel="hardware",
    )
    mini_batch_tokens: int | None = setting(
        None, "As --mini-batch-size, in tokens with padding. Default: all.", above=0, panel="hardware"
    )
    gradient_checkpointing: bool = setting(
        False, "Compute activations twice and do not keep them: less memory, slower.", panel="hardware"
    )
    bf16: bool | None = setting(
        None, "Train in bfloat16 (autocast). Default: on where the processor has it.", panel="hardware"
    )
    torch_compile: bool | None = setting(
        None,
        "Compile the steps, which takes a minute at the start. Default: on for one CUDA device and more than 2,000 "
        "steps that embed each batch once.",
        panel="hardware",
    )
    device: str | None = setting(
        None,
        "Device to run on: cpu, cuda or mps; cuda:1 is the second GPU. Default: an accelerator if there is one.",
        panel="hardware",
    )
    report_to: str = setting(
        "none", "Also log to tensorboard, wandb or another integration of transformers.", panel="output"
    )

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise TrainingError(f"mode must be one of {', '.join(MODES)}; got {self.mode!r}")
        for field in fields(self):
            object.__setattr__(self, field.name, own_name(field, getattr(self, field.name)))
        check_settings(self, TrainingError)
        for name in self.augmentation:
            AUGMENTATIONS.get(name)
        if self.pooling is not None:
            from simcse_kit.encoder.pooling import pooling_name  # torch: not for a help text

            object.__setattr__(self, "pooling", pooling_name(self.pooling))
        if self.batch_size < 2:
            raise TrainingError(
                "batch_size must be at least 2: the other sentences of a batch are the negatives; "
                f"got {self.batch_size}"
            )
        if self.max_seq_length < 3:
            raise TrainingError(
                f"max_seq_length counts special tokens too and must be at least 3; got {self.max_seq_length}"
            )
        self._check_parts()
        self._check_combinations()

    def _check_parts(self) -> None:
        """The objective fits the mode, and everything else fits the objective."""
        objective = self.objective
        if self.mode not in objective.modes:
            allowed = ", ".join(one.name for one in OBJECTIVES if self.mode in one.modes)
            raise TrainingError(f"objective of train {self.mode} must be one of {allowed}; got {objective.name!r}")
        for term in self.terms:
            if not term.combines(type(objective)):
                for name in term.names():
                    if name not in objective.names() and term.changed(name):
                        raise TrainingError(f"{name} {_belongs(name)}, not of {objective.name}")
        if objective.needs_teacher and not self.teacher:
            raise TrainingError(f"objective {objective.name} needs a teacher")
        shaping = [name for term in self.active if term.shapes_vectors for name in term.names()]
        if self.train_head != "none" and (shaping or objective.shapes_vectors):
            what = shaping[0] if shaping else f"objective {objective.name}"
            raise TrainingError(f"{what} is about the vectors that are saved, so train_head must be none")
        if objective.labelled and self.no_duplicates:
            raise TrainingError(
                f"no_duplicates is not of objective {objective.name}: it leaves out repeats of a text with its class"
            )
        if objective.labelled and self.batch_size < 2 * objective.per_class:
            raise TrainingError(
                f"batch_size must hold {objective.per_class} texts of two classes, so be at least "
                f"{2 * objective.per_class}; got {self.batch_size}"
            )
        if objective.neighborhood and len(self.teacher) > 1:
            raise TrainingError(f"objective {objective.name} takes one teacher; got {', '.join(self.teacher)}")
        if self.teacher and not objective.taught:
            raise TrainingError(f"teacher goes with objective {_with('taught')}, not with {objective.name}")
        if objective.needs_augmentation and not (self.augmentation or self.template):
            raise TrainingError(f"objective {objective.name} needs an augmentation: {', '.join(AUGMENTATIONS.names())}")
        if self.augmentation and not objective.augments:
            raise TrainingError(f"augmentation goes with objective {_with('augments')}, not with {objective.name}")
        if self.second_template and (self.mode == "sup" or not objective.twins):
            single = " or ".join(one.name for one in OBJECTIVES if not one.twins)
            raise TrainingError(
                f"second_template is of a sentence's other view: of train unsup, not of objective {single}"
            )

    def _check_combinations(self) -> None:
        """Settings that make no sense together are refused by name."""
        if self.second_template and not self.template:
            raise TrainingError("second_template needs a template")
        if self.template and any(term.masks_words for term in self.active):
            raise TrainingError("mlm_weight with a template is not supported: its own words would be masked")
        if self.merge and self.lora_rank is None:
            raise TrainingError("merge folds LoRA's adapters into the model: it needs lora_rank")
        if self.embeds_twice and self.torch_compile:
            raise TrainingError(
                "torch_compile does not go with mini_batch_size, mini_batch_tokens or gradient_checkpointing: these "
                "embed twice and need the same dropout again"
            )
        if self.mini_batch_size is not None and self.mini_batch_tokens is not None:
            raise TrainingError("give mini_batch_size or mini_batch_tokens, not both")
        if len(self.teacher) > 2:
            raise TrainingError(f"teacher must be one or two models; got {len(self.teacher)}")

    @cached_property
    def cached(self) -> bool:
        """Whether a step goes through its batch in mini-batches."""
        return self.mini_batch_size is not None or self.mini_batch_tokens is not None

    @property
    def embeds_twice(self) -> bool:
        """Whether a step computes activations again, which needs the same dropout masks again."""
        return self.cached or self.gradient_checkpointing

    @cached_property
    def active(self) -> tuple[Term, ...]:
        """Terms that take part; the others are asked nothing in a run."""
        joining = (term for term in self.terms if term.active and term.combines(type(self.objective)))
        return tuple(term for term in joining if self.teacher or not term.needs_teacher)

    def term(self, kind: type[T]) -> T | None:
        """The active term of a class; None where there is none."""
        return next((term for term in self.active if isinstance(term, kind)), None)

    def flat(self) -> dict[str, Any]:
        """Every setting by its name, those of other objectives at their defaults: what ``run.json`` holds."""
        found: dict[str, Any] = {"mode": self.mode, "objective": OBJECTIVES.path_of(type(self.objective))}
        found |= {field.name: getattr(self, field.name) for field in COMMON}
        for other in (*OBJECTIVES, *TERMS):
            found |= {field.name: field.default for field in fields(other)}
        for part in (*self.terms, self.objective):
            found |= {name: getattr(part, name) for name in part.names()}
        return found


COMMON = tuple(field for field in fields(TrainConfig) if field.name not in ("mode", "objective", "terms"))
"""Settings that every run has."""


def part_settings(mode: str | None = None) -> dict[str, dataclasses.Field[Any]]:
    """Settings of all objectives (of one mode) and terms by name; what two parts share stands there once."""
    parts = [*(one for one in OBJECTIVES if mode is None or mode in one.modes), *TERMS]
    return {field.name: field for part in parts for field in fields(part)}


def make_config(mode: str, settings: Mapping[str, Any], *, labelled: bool = False) -> TrainConfig:
    """What a run goes by: the settings given, over the recipe's (the objective's), over the mode's defaults.

    ``objective`` is a name, ``module:attribute``, or an `Objective` with its settings. ``labelled``: the rows are texts
    with classes, which have an objective of their own where none is asked for.
    """
    asked = settings.get("objective")
    instance = asked if isinstance(asked, Objective) else None
    values = recipe_settings(mode, settings.get("recipe"), asked if isinstance(asked, str) else None)
    if labelled and mode == "sup" and not asked and "objective" not in values:
        asked = next(one.name for one in OBJECTIVES if one.labelled)
        values = recipe_settings(mode, settings.get("recipe"), asked)
    kind = type(instance) if instance is not None else OBJECTIVES.get(asked or values.get("objective") or "simcse")
    known = {field.name for field in COMMON} | set(part_settings()) | set(kind.names())
    given = {name: value for name, value in settings.items() if name in known and value is not None}
    if "teacher_weight" in values and not given.get("teacher"):
        raise TrainingError(f"recipe {given.get('recipe')} needs a teacher (--teacher), such as all-MiniLM-L6-v2")
    values = values | given
    _check_labels(mode, kind, labelled)
    if settings.get("text_column") and not labelled:
        raise TrainingError("text_column needs label_column (--label-column); for other rows give columns")
    if settings.get("positives_only") and (mode == "unsup" or kind.labelled or kind.scored):
        where = "train unsup" if mode == "unsup" else f"objective {kind.name}"
        raise TrainingError(f"positives_only (--positives-only) is for pairs with a label each, not for {where}")
    if kind.labelled and "no_duplicates" not in given:
        values["no_duplicates"] = False  # a repeat of a text with its class is left out when the texts are read
    _check_owners(kind, values)
    for name in LISTS:
        if name in values:
            values[name] = (values[name],) if isinstance(values[name], str) else tuple(values[name])
    _check_needs(values)
    if instance is not None:
        objective = dataclasses.replace(instance, **{name: given[name] for name in kind.names() if name in given})
    else:
        objective = kind(**{name: values[name] for name in kind.names() if name in values})
    terms = tuple(term(**{name: values[name] for name in term.names() if name in values}) for term in TERMS)
    shaping = objective.shapes_vectors or any(term.active and term.shapes_vectors for term in terms)
    if "train_head" not in given and shaping:
        values["train_head"] = "none"  # what is cut or distilled is the vector that is saved
    if not values.get("model"):
        raise TrainingError("name the model to start from: a folder or hub name, such as google-bert/bert-base-uncased")
    common = {field.name: values[field.name] for field in COMMON if field.name in values}
    return TrainConfig(**common | {"model": str(values["model"])}, mode=mode, objective=objective, terms=terms)


def _check_labels(mode: str, kind: type[Objective], labelled: bool) -> None:
    """Texts with classes and an objective that takes them go together."""
    if labelled and not kind.labelled:
        where = "train sup" if mode == "unsup" else f"objective {_with('labelled')}"
        what = "train unsup" if mode == "unsup" else kind.name
        raise TrainingError(f"label_column (texts with classes) goes with {where}, not with {what}")
    if kind.labelled and not labelled:
        raise TrainingError(
            f"objective {kind.name} needs the class of each text: name its column, label_column (--label-column), or "
            "give LabelledTexts"
        )


def _check_owners(kind: type[Objective], values: Mapping[str, Any]) -> None:
    """A setting that only other objectives have is refused."""
    own = {*kind.names(), *(name for term in TERMS for name in term.names())}
    for name, field in part_settings().items():
        if name not in own and values.get(name, field.default) != field.default:
            raise TrainingError(f"{name} {_belongs(name)}, not of {kind.name}")


def needs() -> dict[str, str]:
    """Settings that say nothing without another one, and which one that is."""
    found = {field.name: field.metadata["needs"] for field in (*COMMON, *part_settings().values())}
    return {name: other for name, other in found.items() if other}


def _check_needs(values: Mapping[str, Any]) -> None:
    """A setting that says nothing without another is refused without it."""
    known = {field.name: field for field in (*COMMON, *part_settings().values())}
    for name, other in needs().items():
        if not values.get(other) and values.get(name, known[name].default) != known[name].default:
            raise TrainingError(f"{name} needs {other}")


def _belongs(name: str) -> str:
    """Which objectives a setting is a part of, in words."""
    terms = [term() for term in TERMS if name in term.names()]
    owners = [one.name for one in OBJECTIVES if name in one.names() or any(term.combines(one) for term in terms)]
    return f"is a part of objective {' or '.join(owners)}"


def _with(feature: str) -> str:
    """Objectives whose class variable ``feature`` is set, in words."""
    return " or ".join(one.name for one in OBJECTIVES if getattr(one, feature))
