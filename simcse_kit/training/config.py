"""Settings of a training run: what a run goes by, frozen, validated where it is made. No heavy import: the command's
help is made from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from simcse_kit.errors import TrainingError
from simcse_kit.training.recipes import recipe_settings

MODES = ("unsup", "sup")
OBJECTIVES = {
    "simcse": ("unsup", "sup"),
    "simclr": ("unsup",),
    "distill": ("unsup",),
    "cosent": ("sup",),
    "angle": ("sup",),
}
SCORED = ("cosent", "angle")  # objectives whose rows are scored pairs
COLDEST, WARMEST = 0.01, 1.0  # of a learned temperature: CLIP (Radford et al., 2021) clamps its scale at 100
TRAIN_HEADS = ("mlp", "projection", "none")
RANKINGS = ("listnet", "listmle")
HARDNESS_MODES = ("in_batch_negatives", "hard_negatives", "all_negatives")
AUGMENTATIONS = ("repetition", "deletion", "cropping", "shuffling", "cutoff")
_CONTRASTIVE = (  # parts of the contrastive loss
    "angular_margin",
    "momentum_queue",
    "noise_negatives",
    "bidirectional",
    "hardness_mode",
    "false_negative_margin",
    "hard_negative_weight",
    "consistency_weight",
)
SELECT = ("eval-data", "label-free", "last")
_SEEDS = 2**32  # numpy takes no more


def _option(default: Any, text: str) -> Any:
    """A field with its default and the text of its option on the command line."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a run does; each setting is an option of ``simcse-kit train`` under the same name.

    ``None`` in ``pooling`` leaves the choice to the model's folder, then to the mode's default.
    """

    mode: str  # "unsup": a sentence and itself; "sup": pairs, triplets or scored pairs
    model: str = _option(None, "Folder or hub name to start from. Needed, unless the recipe names one.")
    recipe: str | None = _option(None, "Settings by name, see simcse-kit recipes; several are joined by +.")
    objective: str = _option(
        "simcse",
        "simcse; simclr (two augmented views, NT-Xent); distill (a --teacher's vectors); with scored pairs cosent or "
        "angle.",
    )
    pooling: str | None = _option(None, "")
    train_head: str = _option(
        "mlp", "What stands between vector and loss, in training only: mlp (dense + tanh), projection (SimCLR's), none."
    )
    epochs: float = _option(1.0, "Passes over the data.")
    batch_size: int = _option(64, "Rows a step and device: the others are the negatives.")
    mini_batch_size: int | None = _option(
        None, "Sentences in memory at once, for large batches (GradCache): same gradient, a third slower."
    )
    mini_batch_tokens: int | None = _option(None, "The same as a number of tokens, padding included.")
    learning_rate: float = _option(3e-5, "Falls linearly to 0.")
    max_seq_length: int = _option(32, "Tokens, in training only; the saved model keeps its own.")
    temperature: float = _option(0.05, "Of the loss.")
    learn_temperature: bool = _option(False, "Let the temperature be learned, from --temperature on (CLIP).")
    no_duplicates: bool = _option(False, "Batches without equal texts; where they cannot be had, the loss masks them.")
    false_negative_margin: float | None = _option(
        None,
        "Leave out negatives whose cosine is above the positive's less this margin (GISTEmbed); such as 0.",
    )
    hard_negative_weight: float = _option(0.0, "Added to the logit of a row's own hard negative.")
    hardness_mode: str | None = _option(
        None, f"Which negatives count the more the nearer they are: {', '.join(HARDNESS_MODES)}."
    )
    hardness_strength: float = _option(9.0, "Of --hardness-mode (Lan et al., 2025).")
    bidirectional: bool = _option(False, "Also from positive to anchor.")
    angular_margin: float = _option(0.0, "Degrees added to the angle of each positive (ArcCSE); the paper's is 10.")
    momentum_queue: float = _option(
        0.0, "Negatives from earlier batches, in batches, by a momentum encoder (ESimCSE); the paper's is 2.5."
    )
    noise_negatives: float = _option(0.0, "Noise vectors as negatives, in batches (DCLR); such as 1.")
    matryoshka_dims: tuple[int, ...] = _option(
        (), "Widths to which vectors may be cut later, with commas, such as 128,64 (Matryoshka)."
    )
    augmentation: tuple[str, ...] = _option(
        (),
        f"Of the positive view, of both for simclr; several with commas: {', '.join(AUGMENTATIONS)} (cutoff zeroes "
        "a fifth of the features, in every view).",
    )
    template: str | None = _option(
        None,
        "Text around each sentence [X] with a [MASK] whose vector is the sentence's, such as 'This sentence : \"[X]\" "
        "means [MASK].' (PromptBERT); saved with the model.",
    )
    second_template: str | None = _option(None, "Another template for the positive view, in training only.")
    template_denoising: bool = _option(True, "Subtract the template's own vector in training.")
    teacher: tuple[str, ...] = _option(
        (),
        "Model whose similarities are learned too (RankCSE), or alone (distill): NAME[:POOLING], two with a comma.",
    )
    teacher_weight: float = _option(1.0, "Of the ranking by the teacher.")
    teacher_temperature: float = _option(0.05, "Of the teacher's similarities.")
    ranking: str = _option("listnet", "How the teacher's ranking is learned: listnet or listmle.")
    consistency_weight: float = _option(0.0, "Of RankCSE's consistency term.")
    mlm_weight: float = _option(0.0, "Weight of an added masked-language-model loss; 0: none.")
    dropout: float | None = _option(None, "Every dropout probability of the backbone. Default: its own.")
    lora_rank: int | None = _option(None, "Train adapters of this rank only (LoRA); needs the extra lora.")
    merge: bool = _option(False, "With --lora-rank: fold the adapters into the saved model.")
    gradient_checkpointing: bool = _option(False, "Compute activations twice instead of keeping them.")
    select: str | None = _option(
        None,
        "How the best checkpoint is chosen: eval-data; label-free (how well the dropout twins of held-out sentences "
        "find each other, which says nothing about search); last. Default: eval-data where given, otherwise last.",
    )
    eval_steps: int = _option(125, "Steps between checkpoints (and scores).")
    seed: int = _option(42, "Fixes everything that is drawn.")
    bf16: bool | None = _option(None, "bfloat16 autocast. Default: where the processor has it.")
    torch_compile: bool | None = _option(
        None,
        "Compile the steps, which takes a minute. Default: on one CUDA device, for runs of more than 2,000 steps "
        "that embed each batch once.",
    )
    device: str | None = _option(None, "cpu, cuda, mps. Default: an accelerator where there is one.")
    report_to: str = _option("none", "Also log to tensorboard, wandb or another of transformers' integrations.")

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise TrainingError(f"{name} must be a finite number; got {value}")
        for name, check, wanted in _CHECKS:
            value = getattr(self, name)
            if value is not None and not check(value):
                raise TrainingError(f"{name} must be {wanted}; got {value!r}")
        if self.mode not in OBJECTIVES[self.objective]:
            allowed = [name for name, modes in OBJECTIVES.items() if self.mode in modes]
            raise TrainingError(
                f"objective of train {self.mode} must be one of {', '.join(allowed)}; got {self.objective!r}"
            )
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
        self._check_combinations()

    def _check_combinations(self) -> None:
        """What makes no sense together is refused by name."""
        contrastive = self.objective == "simcse"
        plain = {item.name: item.default for item in fields(self)}
        for name in _CONTRASTIVE:
            if getattr(self, name) != plain[name] and not contrastive:
                raise TrainingError(f"{name} is a part of objective simcse, not of {self.objective}")
        if self.objective == "distill" and not self.teacher:
            raise TrainingError("objective distill needs a teacher")
        if self.train_head != "none" and (self.matryoshka_dims or self.objective == "distill"):
            what = "matryoshka_dims" if self.matryoshka_dims else "objective distill"
            raise TrainingError(f"{what} is about the vectors that are saved, so train_head must be none")
        if self.learn_temperature and not COLDEST <= self.temperature <= WARMEST:
            raise TrainingError(
                f"a temperature that is learned stays between {COLDEST} and {WARMEST}; got {self.temperature}"
            )
        if self.teacher and self.objective not in ("simcse", "distill"):
            raise TrainingError(f"teacher goes with objective simcse or distill, not with {self.objective}")
        if self.objective == "simclr" and not (self.augmentation or self.template):
            raise TrainingError(f"objective simclr needs an augmentation: {', '.join(AUGMENTATIONS)}")
        if self.augmentation and self.objective not in ("simcse", "simclr"):
            raise TrainingError(f"augmentation goes with objective simcse or simclr, not with {self.objective}")
        if self.second_template and not self.template:
            raise TrainingError("second_template needs a template")
        if self.second_template and (self.mode == "sup" or self.objective == "distill"):
            raise TrainingError(
                "second_template is of a sentence's other view: of train unsup, not of objective distill"
            )
        if self.template and self.mlm_weight:
            raise TrainingError("mlm_weight with a template is not supported: its own words would be masked")
        if self.merge and self.lora_rank is None:
            raise TrainingError("merge folds LoRA's adapters into the model: it needs lora_rank")
        if self.torch_compile and (self.cached or self.gradient_checkpointing):
            raise TrainingError(
                "torch_compile does not go with mini_batch_size, mini_batch_tokens or gradient_checkpointing: these "
                "embed twice and need the same dropout again"
            )
        if self.mini_batch_size is not None and self.mini_batch_tokens is not None:
            raise TrainingError("give mini_batch_size or mini_batch_tokens, not both")
        if len(self.teacher) > 2:
            raise TrainingError(f"teacher must be one or two models; got {len(self.teacher)}")

    @property
    def cached(self) -> bool:
        """Whether a step goes through its batch in mini-batches."""
        return self.mini_batch_size is not None or self.mini_batch_tokens is not None


def _one_of(values: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in values, f"one of {', '.join(values)}"


def _all_of(values: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda given: set(given) <= set(values), f"of {', '.join(values)}"


_ABOVE: tuple[Callable[[Any], bool], str] = (lambda value: value > 0, "above 0")
_AT_LEAST: tuple[Callable[[Any], bool], str] = (lambda value: value >= 0, "at least 0")

_POSITIVE = (
    "epochs",
    "learning_rate",
    "temperature",
    "teacher_temperature",
    "max_seq_length",
    "eval_steps",
    "mini_batch_size",
    "mini_batch_tokens",
    "lora_rank",
)
_NOT_NEGATIVE = (
    "mlm_weight",
    "hardness_strength",
    "momentum_queue",
    "noise_negatives",
    "teacher_weight",
    "consistency_weight",
)
_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("mode", *_one_of(MODES)),
    ("objective", *_one_of(tuple(OBJECTIVES))),
    ("train_head", *_one_of(TRAIN_HEADS)),
    ("hardness_mode", *_one_of(HARDNESS_MODES)),
    ("ranking", *_one_of(RANKINGS)),
    ("select", *_one_of(SELECT)),
    ("augmentation", *_all_of(AUGMENTATIONS)),
    *((name, *_ABOVE) for name in _POSITIVE),
    *((name, *_AT_LEAST) for name in _NOT_NEGATIVE),
    ("angular_margin", lambda value: 0 <= value < 90, "from 0 to below 90 degrees"),
    ("false_negative_margin", lambda value: -1 < value < 1, "between -1 and 1"),
    ("dropout", lambda value: 0 <= value < 1, "at least 0 and below 1"),
    ("matryoshka_dims", lambda value: all(isinstance(d, int) and d > 0 for d in value), "widths above 0"),
    ("seed", lambda value: 0 <= value < _SEEDS, f"at least 0 and below {_SEEDS}"),
)


_PARTS_OF = {  # settings that do nothing without another
    "hardness_strength": "hardness_mode",
    "teacher_weight": "teacher",
    "teacher_temperature": "teacher",
    "ranking": "teacher",
}


def make_config(mode: str, settings: Mapping[str, Any]) -> TrainConfig:
    """What a run goes by: the settings given, over the recipe's (the objective's), over the mode's defaults."""
    objective = settings.get("objective")
    values = recipe_settings(mode, settings.get("recipe"), objective)
    names = {item.name for item in fields(TrainConfig)}
    given = {name: value for name, value in settings.items() if name in names and value is not None}
    if "teacher_weight" in values and not given.get("teacher"):
        raise TrainingError(f"recipe {given.get('recipe')} needs a teacher (--teacher), such as all-MiniLM-L6-v2")
    defaults = {item.name: item.default for item in fields(TrainConfig)}
    for name, needs in _PARTS_OF.items():
        if given.get(name, defaults[name]) != defaults[name] and not (values | given).get(needs):
            raise TrainingError(f"{name} needs {needs}")
    values = values | given
    if "train_head" not in given and (values.get("matryoshka_dims") or values.get("objective") == "distill"):
        values["train_head"] = "none"  # what is cut or distilled is the vector that is saved
    if not values.get("model"):
        raise TrainingError("name the model to start from: a folder or hub name, such as google-bert/bert-base-uncased")
    for name in ("matryoshka_dims", "augmentation", "teacher"):
        if name in values:
            values[name] = (values[name],) if isinstance(values[name], str) else tuple(values[name])
    return TrainConfig(**values | {"model": str(values["model"]), "mode": mode})
