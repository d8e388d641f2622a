"""Base classes of objectives, terms and augmentations, and their families.

No heavy import, because the command's help is built from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from simcse_kit.errors import TrainingError
from simcse_kit.parts import Family, check_complete, check_settings, setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from simcse_kit.types import Vectors

COLDEST, WARMEST = 0.01, 1.0  # bound of a learned temperature: CLIP (Radford et al., 2021) clamps its scale at 100
_SCALE_RANK = 7  # the neighbor whose distance is a text's local scale (Zelnik-Manor and Perona, 2004)


class LossBatch(NamedTuple):
    """Input of a loss: a batch of B rows, from all devices, with V views of dimension D and related data."""

    views: Sequence[Tensor]  # V of (B, D)
    temperature: float | Tensor  # set or learned
    ids: Tensor | None = None  # (B, V): equal numbers mean equal texts
    gold: Tensor | None = None  # (B,): of scored pairs
    teachers: Sequence[Tensor] = ()  # (B, V', D') each, unit vectors
    negatives: Tensor | None = None  # (K, D): from terms, in addition to those of the batch
    negative_ids: Tensor | None = None  # (Q,): text numbers of the first Q of them
    labels: Tensor | None = None  # (B,): class numbers, of texts with classes


class Neighborhood(NamedTuple):
    """b of N texts and the k nearest others of each, best first; unit vectors of the teacher.

    If N is smaller, missing ones have score -inf and vector 0.
    """

    own: Vectors  # (b, D)
    near: Vectors  # (b, k, D)
    scores: Vectors  # (b, k): cosines
    farthest: Vectors  # (b, k): cosine of each near text with its own k-th nearest
    scale: Vectors  # (b,): see `local_scale`
    near_scale: Vectors  # (b, k): the same of the near texts


def local_scale(scores: Vectors) -> Vectors:
    """1 - cosine with the `_SCALE_RANK`-th nearest, or with the last one: (n, k), best first -> (n,).

    >>> import numpy as np
    >>> local_scale(np.array([[0.75, 0.5, -np.inf]], dtype=np.float32))
    array([0.5], dtype=float32)
    """
    import numpy as np

    there = np.clip(np.isfinite(scores).sum(1), 1, _SCALE_RANK)
    found: Vectors = 1 - np.take_along_axis(scores, there[:, None] - 1, 1)[:, 0]
    return found


@dataclass(frozen=True, kw_only=True)
class _Settings(ABC):
    """Settings that are validated when they are made."""

    name: ClassVar[str]  # users' name for it
    help: ClassVar[str]  # one line
    source: ClassVar[str] = ""  # paper, year, equation
    citation: ClassVar[str] = ""  # its BibTeX entry, for the card of a model trained with it
    order: ClassVar[int] = 100  # position in lists

    def __post_init__(self) -> None:
        check_complete(self, type(self).__name__, TrainingError)
        check_settings(self, TrainingError)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the settings."""
        return tuple(field.name for field in fields(cls))

    def changed(self, name: str) -> bool:
        """Whether a setting differs from its default."""
        return bool(getattr(self, name) != next(field.default for field in fields(self) if field.name == name))

    def notes(self) -> list[str]:
        """The settings in words, for the plan of a run."""
        return []


@dataclass(frozen=True, kw_only=True)
class Objective(_Settings):
    """A training objective: the views of a row, and the loss of a batch.

    A subclass is a frozen dataclass in one file. It needs three class variables and one method:

    - ``name`` and ``help``: its name, and one line of text.
    - ``modes``: a tuple with the commands that it trains in. ``"unsup"`` is for sentences; ``"sup"`` is for pairs,
      triplets, scored pairs, or texts with classes.
    - `loss`: from a `LossBatch` to a scalar.

    Other class variables describe the data it takes and what it can be combined with; they have defaults. Fields, made
    by `simcse_kit.parts.setting`, are its settings. Use a class of your own as ``--objective module:Class``, or pass an
    object as ``objective``. ``OBJECTIVES.register`` makes it a choice of ``--objective``.
    """

    modes: ClassVar[tuple[str, ...]]  # unsup, sup
    scored: ClassVar[bool] = False  # rows are scored pairs
    labelled: ClassVar[bool] = False  # rows are texts with a class each
    contrastive: ClassVar[bool] = False  # takes terms that add negatives, or losses on two views
    augments: ClassVar[bool] = False  # takes augmentations
    needs_augmentation: ClassVar[bool] = False  # the views would be equal without one
    twins: ClassVar[bool] = True  # a sentence's views differ only by dropout, by default
    view_of_each_prompt: ClassVar[bool] = False  # each text is a row with every prompt of the run
    taught: ClassVar[bool] = False  # takes a teacher
    needs_teacher: ClassVar[bool] = False
    shapes_vectors: ClassVar[bool] = False  # uses the saved vectors: no training head

    temperature: float = setting(0.05, "Softmax temperature of the loss; lower weighs near negatives more.", above=0)
    learn_temperature: bool = setting(False, "Learn the temperature, starting at --temperature (CLIP).")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.modes, str) or not self.modes or not {*self.modes} <= {"unsup", "sup"}:
            raise TrainingError(
                f'modes of {type(self).__name__} must be a tuple of "unsup", "sup" or both; got {self.modes!r}'
            )
        if self.learn_temperature and not COLDEST <= self.temperature <= WARMEST:
            raise TrainingError(
                f"a learned temperature must be between {COLDEST} and {WARMEST}; got {self.temperature}"
            )

    @property
    def margin(self) -> float | None:
        """Exclude negatives whose cosine is above the positive's minus this margin; None: keep all."""
        return None

    def views(self, columns: int) -> tuple[int, ...]:
        """The data column of each view; a single sentence serves as both views."""
        return (0, 0) if columns == 1 else tuple(range(columns))

    def augmented(self, view: int) -> bool:
        """Whether augmentations change this view; by default only the positive."""
        return view == 1

    @property
    def per_class(self) -> int:
        """Approximate number of texts per class in a batch, if the objective is `labelled`."""
        return 4

    @property
    def neighborhood(self) -> int:
        """How many nearest texts each target uses; 0: the objective makes no targets."""
        return 0

    def targets(self, around: Neighborhood) -> Vectors:
        """Targets of b texts, unit vectors (b, D), if there is a `neighborhood`; computed once, before training."""
        raise NotImplementedError

    def negatives(self, batch: int, columns: int) -> int:
        """How many negatives of the batch each sentence sees; 0 for a loss without negatives."""
        return 0

    def check_columns(self, columns: int, source: str) -> None:
        """Raise a `TrainingError` if rows of ``columns`` texts do not fit the settings."""

    @abstractmethod
    def loss(self, batch: LossBatch) -> Tensor:
        """The loss of a batch, a scalar."""


@dataclass(frozen=True, kw_only=True)
class Term(_Settings):
    """An addition to an objective: another loss on the same vectors, or more negatives.

    A term is used if it is `active` and, with ``needs_teacher``, if there is a teacher. ``combines`` tells with which
    objectives it works.
    """

    contrastive_only: ClassVar[bool] = False  # needs an objective that is `Objective.contrastive`
    shapes_vectors: ClassVar[bool] = False  # uses the saved vectors: no training head
    masks_words: ClassVar[bool] = False  # masks words of the sentences
    needs_teacher: ClassVar[bool] = False  # not used in a run without one
    not_sharded: ClassVar[str] = ""  # reason if it does not work with FSDP

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether the term is used."""

    def combines(self, objective: type[Objective]) -> bool:
        """Whether the term can be added to an objective."""
        return objective.contrastive or not self.contrastive_only

    def loss(self, batch: LossBatch) -> Tensor | None:
        """The loss to add to the objective's; None: nothing."""
        return None

    def negatives(self, batch: LossBatch) -> Tensor | None:
        """More negatives, (K, D), from the batch's vectors; None: none."""
        return None

    def batches(self) -> float:
        """How many batches of negatives the term adds."""
        return 0.0

    def widths(self) -> tuple[int, ...]:
        """Vector widths at which the whole loss is computed too."""
        return ()


class Vocabulary(NamedTuple):
    """Kinds of the V token ids."""

    special: NDArray[np.bool_]  # (V,): CLS, SEP, padding and similar; the unknown token is not special
    continues: NDArray[np.bool_]  # (V,): a piece that continues the previous word


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A changed view of a sentence: from its token ids, or, with ``features``, from its embeddings.

    ``apply`` takes ids (L,) with special tokens, which it must not change, the vocabulary and a generator.
    """

    name: str
    help: str
    source: str = ""  # paper, year, section
    citation: str = ""  # its BibTeX entry, for the model card
    order: int = 100
    apply: Any = None  # Callable[[Ids, Vocabulary, np.random.Generator], Ids]; None: it works on embeddings
    features: Any = None  # Callable[[Module, float], AbstractContextManager]: sets features to 0 in every forward pass

    def __call__(self, ids: Any, vocabulary: Vocabulary, rng: Any) -> Any:
        return self.apply(ids, vocabulary, rng)


OBJECTIVES: Family[type[Objective]] = Family("objective", "simcse_kit.objectives", TrainingError, Objective)
"""Training objectives by name."""
TERMS: Family[type[Term]] = Family("term", "simcse_kit.objectives.terms", TrainingError, Term)
"""Terms by name."""
AUGMENTATIONS: Family[Augmentation] = Family(
    "augmentation", "simcse_kit.objectives.augmentations", TrainingError, Augmentation
)
"""Augmentations of a sentence, by name."""
