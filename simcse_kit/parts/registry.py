"""Registries of parts by name: objectives, poolers, suites, index kinds, backends, export formats.

A *part* is one object that describes itself: its name, one line of help, its source, its settings and its function. It
has one file in its family's package and registers itself there; no other code names it. Other packages add parts with
entry points of the group ``simcse_kit.FAMILY``, users with the name ``module:attribute``.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar, runtime_checkable

from simcse_kit.errors import SimCSEKitError, say_once
from simcse_kit.parts.complete import check_complete
from simcse_kit.parts.named import is_named, load_named


@runtime_checkable
class Part(Protocol):
    """Fields of every part: an object, or a class whose instances hold settings."""

    @property
    def name(self) -> str:
        """Users' name for it."""

    @property
    def help(self) -> str:
        """One line for command line, card and lists."""

    @property
    def source(self) -> str:
        """Paper and year, or URL; "" if there is none. A part may also have a BibTeX entry, as `citation`."""


P = TypeVar("P", bound=Part)


class Family(Generic[P]):
    """The parts of one kind; the package's own are imported on first use.

    Args:
        noun: name of a part in errors, such as ``pooling``.
        package: the package whose modules register the parts of simcse_kit. Its last name is the family's name, and so
            the group of entry points: ``simcse_kit.objectives``.
        error: raised for an unknown name.
        kind: class of the parts (or, if parts are classes, their base class); checked for users' own parts.
    """

    def __init__(self, noun: str, package: str, error: type[SimCSEKitError], kind: type) -> None:
        self.noun = noun
        self.package = package
        self.group = f"simcse_kit.{package.rpartition('.')[2]}"
        self._error = error
        self._kind = kind
        self._parts: dict[str, P] = {}
        self._aliases: dict[str, str] = {}
        self._homes: dict[str, str | None] = {}  # modules that registered the parts
        self._own: dict[str, P] = {}  # users' own, by module:attribute
        self._lock = threading.RLock()
        self._loading = self._loaded = False

    def register(self, part: P, *aliases: str) -> P:
        """Register a part under its name and ``aliases``; returns it, so that it can decorate a class."""
        check_complete(part, f"{self.noun} {getattr(part, '__name__', part)}", self._error)
        home = sys._getframe(1).f_globals.get("__name__")  # a module that is imported again registers its parts again
        for name in (part.name, *aliases):
            known = self._aliases.get(name, name)
            if known in self._parts and (known, home) != (part.name, self._homes[known]):
                raise ValueError(f"two parts of {self.group} are called {name!r}")
        self._parts[part.name] = part
        self._homes[part.name] = home
        self._aliases |= dict.fromkeys(aliases, part.name)
        return part

    def get(self, name: str, *, recorded: bool = False, trust_remote_code: bool = False) -> P:
        """The part for a name, an alias or ``module:attribute``.

        A name that was only ``recorded`` in a folder or a ``run.json`` imports no module, unless ``trust_remote_code``.

        Raises:
            SimCSEKitError: the family's error class; the text lists the choices and the nearest one.
        """
        self._load()
        known = self._parts.get(self._aliases.get(name, name))
        if known is not None:
            return known
        if is_named(name):
            if recorded and not trust_remote_code:
                raise self._error(
                    f"{self.noun} {name} is code outside this package, named in a file, and was not run. If "
                    f"you trust it, use trust_remote_code=True (--trust-remote-code) or, if {self.noun} "
                    f"is an argument, name {name} there"
                )
            return self._load_own(name)
        raise self._error(self.unknown(name))

    def known(self, name: object) -> P | None:
        """The part for a name, an alias, or a ``module:attribute`` that `get` has already imported; imports nothing."""
        self._load()
        return self._parts.get(self._aliases.get(str(name), str(name))) or self._own.get(str(name))

    def canonical(self, name: str) -> str:
        """Recorded name of a part; ``module:attribute`` stays. Same errors as `get`."""
        part = self.get(name)
        return name if name in self._own else part.name

    def unknown(self, name: object) -> str:
        """Error text for an unknown name."""
        choices = ", ".join(self.names())
        aliases = "".join(f"; {alias} is {name}" for alias, name in self._aliases.items())
        near = difflib.get_close_matches(str(name), [*self.names(), *self._aliases], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{self.noun} must be one of {choices}{aliases}; got {name!r}{hint}"

    def names(self) -> tuple[str, ...]:
        """All names in the family's order: by the parts' ``order`` (default 100), then by name."""
        return tuple(part.name for part in self)

    def __iter__(self) -> Iterator[P]:
        self._load()
        return iter(sorted(self._parts.values(), key=lambda part: (getattr(part, "order", 100), part.name)))

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._parts or name in self._aliases

    def by_name(self) -> Mapping[str, P]:
        """The parts as a read-only mapping: names in order, without aliases and users' own."""
        return _ByName(self)

    def path_of(self, part: P) -> str:
        """Recorded name of a part: its name, or ``module:attribute`` for a user's own."""
        self._load()
        if self._parts.get(part.name) is part:
            return part.name
        for name, own in list(self._own.items()):
            if own is part:
                return name
        kind = part if isinstance(part, type) else type(part)
        path = f"{kind.__module__}:{kind.__qualname__}"
        if isinstance(part, type):
            self._own[path] = part  # `known` finds it by its recorded name
        return path

    def _load_own(self, name: str) -> P:
        found = load_named(name, self._error)
        base = found if isinstance(found, type) else type(found)
        if not issubclass(base, self._kind):
            raise self._error(f"{self.noun} {name} is of type {base.__name__}, not {self._kind.__name__}")
        check_complete(found, f"{self.noun} {name}", self._error)
        self._own[name] = found
        return self._own[name]

    def _load(self) -> None:
        if self._loaded:
            return
        with self._lock:  # a second thread waits for the whole family; nested imports use what is already registered
            if self._loaded or self._loading:
                return
            self._loading = True
            try:
                self._import_parts()
                self._loaded = True
            finally:
                self._loading = False

    def _import_parts(self) -> None:
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.group):
            try:
                part = point.load()
                check_complete(part, point.value, self._error)
                if self._parts.get(part.name, part) is not part:
                    raise ValueError(f"there is already a {self.noun} {part.name}")
                self.register(part)
            except Exception as problem:  # another package's error must not stop ours
                say_once(f"{self.noun} {point.name} of {point.value} cannot be loaded and is ignored: {problem}")


class _ByName(Mapping[str, P]):
    """A view: it includes parts registered later."""

    def __init__(self, family: Family[P]) -> None:
        self._family = family

    def __getitem__(self, name: str) -> P:
        if name not in self._family.names():
            raise KeyError(name)
        return self._family.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._family.names())

    def __len__(self) -> int:
        return len(self._family.names())

    def __repr__(self) -> str:
        return f"<{self._family.group}: {', '.join(self)}>"
