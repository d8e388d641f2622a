"""What an objective, a term and an augmentation are, and the families that hold them.

No heavy import: the command's help is made from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from simcse_kit.errors import TrainingError
from simcse_kit.parts import Family, check_settings, setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from simcse_kit.types import Vectors

COLDEST, WARMEST = 0.01, 1.0  # of a learned temperature: CLIP (Radford et al., 2021) clamps its scale at 100
_SCALE_RANK = 7  # the neighbour whose distance is a text's local scale (Zelnik-Manor and Perona, 2004)


class LossBatch(NamedTuple):
    """What a loss sees of a batch of B rows, of all devices: V views of width D, and what belongs to them."""

    views: Sequence[Tensor]  # V of (B, D)
    temperature: float | Tensor  # as set, or learned
    ids: Tensor | None = None  # (B, V): equal numbers are equal texts
    gold: Tensor | None = None  # (B,): of scored pairs
    teachers: Sequence[Tensor] = ()  # (B, V', D') each, unit vectors
    negatives: Tensor | None = None  # (K, D): from terms, beside those of the batch
    negative_ids: Tensor | None = None  # (Q,): texts of the first Q of them
    labels: Tensor | None = None  # (B,): class numbers, of texts with classes


class Neighborhood(NamedTuple):
    """b of N texts and the k others that are nearest to each, best first; unit vectors of the teacher.

    Fewer than k where N is less: the rest has the score -inf and the vector 0.
    """

    own: Vectors  # (b, D)
    near: Vectors  # (b, k, D)
    scores: Vectors  # (b, k): cosines
    farthest: Vectors  # (b, k): cosine of each near text with its own k-th nearest
    scale: Vectors  # (b,): see `local_scale`
    near_scale: Vectors  # (b, k): the same of the near texts


def local_scale(scores: Vectors) -> Vectors:
    """1 - cosine with the `_SCALE_RANK`-th nearest, or with the last there is: (n, k), best first -> (n,).

    >>> import numpy as np
    >>> local_scale(np.array([[0.75, 0.5, -np.inf]], dtype=np.float32))
    array([0.5], dtype=float32)
    """
    import numpy as np

    there = np.clip(np.isfinite(scores).sum(1), 1, _SCALE_RANK)
    found: Vectors = 1 - np.take_along_axis(scores, there[:, None] - 1, 1)[:, 0]
    return found


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Settings that are checked where they are made."""

    name: ClassVar[str]  # as users give it
    help: ClassVar[str]  # one line
    source: ClassVar[str] = ""  # paper, year, equation
    citation: ClassVar[str] = ""  # its BibTeX entry, for the card of a model that was trained with it
    order: ClassVar[int] = 100  # in lists

    def __post_init__(self) -> None:
        check_settings(self, TrainingError)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings."""
        return tuple(field.name for field in fields(cls))

    def changed(self, name: str) -> bool:
        """Whether a setting is not at its default."""
        return bool(getattr(self, name) != next(field.default for field in fields(self) if field.name == name))

    def notes(self) -> list[str]:
        """What is set, in words, for the plan of a run."""
        return []


@dataclass(frozen=True, kw_only=True)
class Objective(_Settings):
    """What a model is trained for: the views of a row, and the loss of a batch of them.

    A subclass is one file: its class variables say what data it takes and what it combines with, its fields are its
    settings, `loss` is its function. ``OBJECTIVES.register`` makes it a choice of ``--objective``.
    """

    modes: ClassVar[tuple[str, ...]]  # "unsup": sentences; "sup": pairs, triplets, scored pairs, or texts with classes
    scored: ClassVar[bool] = False  # rows are scored pairs
    labelled: ClassVar[bool] = False  # rows are texts with a class each
    contrastive: ClassVar[bool] = False  # takes terms that add negatives, or losses on two views
    augments: ClassVar[bool] = False  # takes augmentations
    needs_augmentation: ClassVar[bool] = False  # the views would be the same without one
    twins: ClassVar[bool] = True  # a sentence's views differ by dropout alone, where nothing else is set
    view_of_each_prompt: ClassVar[bool] = False  # a text is shown once behind each of the run's prompts
    taught: ClassVar[bool] = False  # takes a teacher
    needs_teacher: ClassVar[bool] = False
    shapes_vectors: ClassVar[bool] = False  # is about the vectors that are saved: no head in between

    temperature: float = setting(0.05, "Softmax temperature of the loss; lower weighs near negatives more.", above=0)
    learn_temperature: bool = setting(False, "Learn the temperature, starting at --temperature (CLIP).")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learn_temperature and not COLDEST <= self.temperature <= WARMEST:
            raise TrainingError(
                f"a temperature that is learned stays between {COLDEST} and {WARMEST}; got {self.temperature}"
            )

    @property
    def margin(self) -> float | None:
        """Negatives whose cosine is above the positive's less this are left out; None: all count."""
        return None

    def views(self, columns: int) -> tuple[int, ...]:
        """Which column of the data each view shows; a sentence alone is both views."""
        return (0, 0) if columns == 1 else tuple(range(columns))

    def augmented(self, view: int) -> bool:
        """Whether augmentations change this view: the positive's."""
        return view == 1

    @property
    def per_class(self) -> int:
        """How many texts of a class a batch holds, about, where the objective is `labelled`."""
        return 4

    @property
    def neighborhood(self) -> int:
        """How many of its nearest texts each text's target is made of; 0: the objective makes no targets."""
        return 0

    def targets(self, around: Neighborhood) -> Vectors:
        """What b texts learn, unit vectors (b, D), where there is a `neighborhood`; computed once, before training."""
        raise NotImplementedError

    def negatives(self, batch: int, columns: int) -> int:
        """How many negatives of the batch each sentence sees; 0 where the loss has none."""
        return 0

    def check_columns(self, columns: int, source: str) -> None:
        """Raise a `TrainingError` where rows of ``columns`` texts do not fit the settings."""

    def loss(self, batch: LossBatch) -> Tensor:
        """The loss of a batch, a scalar."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Term(_Settings):
    """Something that joins an objective: another loss on the same vectors, or more negatives.

    A term takes part where `active`; with ``needs_teacher``, where there is a teacher too. ``combines`` says with which
    objectives it does.
    """

    contrastive_only: ClassVar[bool] = False  # needs an objective that is `Objective.contrastive`
    shapes_vectors: ClassVar[bool] = False  # is about the vectors that are saved: no head in between
    masks_words: ClassVar[bool] = False  # masks words of the sentences
    needs_teacher: ClassVar[bool] = False  # takes no part in a run without one
    not_sharded: ClassVar[str] = ""  # why it does not work under FSDP, where it does not

    @property
    def active(self) -> bool:
        """Whether the term takes part."""
        raise NotImplementedError

    def combines(self, objective: type[Objective]) -> bool:
        """Whether the term can join an objective."""
        return objective.contrastive or not self.contrastive_only

    def loss(self, batch: LossBatch) -> Tensor | None:
        """What is added to the objective's loss; None: nothing."""
        return None

    def negatives(self, batch: LossBatch) -> Tensor | None:
        """More negatives, (K, D), from the batch's vectors; None: none."""
        return None

    def batches(self) -> float:
        """How many batches of negatives the term adds."""
        return 0.0

    def widths(self) -> tuple[int, ...]:
        """Widths of the vectors at which the whole loss is computed too."""
        return ()


class Vocabulary(NamedTuple):
    """What each of the V token ids is."""

    special: NDArray[np.bool_]  # (V,): CLS, SEP, padding and their like; an unknown word is none of them
    continues: NDArray[np.bool_]  # (V,): a piece that continues the word before it


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Another view of a sentence: from its token ids, or, with ``features``, from its embeddings.

    ``apply`` takes ids (L,) with their special tokens, which stay where they are, the vocabulary and a generator.
    """

    name: str
    help: str
    source: str = ""  # paper, year, section
    citation: str = ""  # its BibTeX entry, for the model card
    order: int = 100
    apply: Any = None  # Callable[[Ids, Vocabulary, np.random.Generator], Ids]; None: it works on embeddings
    features: Any = None  # Callable[[Module, float], AbstractContextManager]: cuts features in every forward pass

    def __call__(self, ids: Any, vocabulary: Vocabulary, rng: Any) -> Any:
        return self.apply(ids, vocabulary, rng)


OBJECTIVES: Family[type[Objective]] = Family("objective", "simcse_kit.objectives", TrainingError, Objective)
"""What a model can be trained for, by name."""
TERMS: Family[type[Term]] = Family("term", "simcse_kit.objectives.terms", TrainingError, Term)
"""What can join an objective, by name."""
AUGMENTATIONS: Family[Augmentation] = Family(
    "augmentation", "simcse_kit.objectives.augmentations", TrainingError, Augmentation
)
"""Augmentations of a sentence, by name."""
