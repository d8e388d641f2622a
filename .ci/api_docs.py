"""Check the docstrings of the package's public names, then write them as a page.

    python .ci/api_docs.py [--output site]

Every public name needs a docstring. A name in single backticks must exist: a parameter, a member of the class, a global
of the module, a public name, a path such as `simcse_kit.search.KINDS`, or a string in one of the module's tables. Text
in double backticks is not checked. Problems are printed, one per line. If there is one, no page is written.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import dataclasses
import importlib
import inspect
import keyword
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pdoc.doc
import pdoc.doc_ast
import pdoc.render

from simcse_kit.parts import Family

QUOTED = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\([^`]*\))?`(?!`)")
MISSING, UNKNOWN = object(), object()  # no such name; a name whose object is unknown, such as a parameter


class Entry(NamedTuple):
    """A public name."""

    name: str  # full, such as simcse_kit.SimCSE.encode
    doc: str  # "" if there is no docstring
    scope: dict[str, Any]  # the names that the docstring may use


def problems(package: ModuleType) -> list[str]:
    """Problems in the docstrings of a package's public names, one line each."""
    found = []
    for name, doc, scope in entries(package):
        if not doc:
            found.append(f"{name}: no docstring")
        found += [f"{name}: `{path}` does not exist" for path in QUOTED.findall(doc) if not exists(path, scope)]
    return found


def entries(package: ModuleType) -> Iterator[Entry]:
    """The package, its public names, and the public methods and properties of its classes."""
    root, public = package.__name__, {name: getattr(package, name) for name in package.__all__}
    everywhere = vars(builtins) | dict.fromkeys(keyword.kwlist, UNKNOWN) | public | {root: package}
    yield Entry(root, package.__doc__ or "", everywhere)
    for name, thing in public.items():
        scope = everywhere | module_names(home(package, name))
        if not isinstance(thing, type):
            doc = thing.__doc__ if callable(thing) else table_doc(package, name)
            yield Entry(f"{root}.{name}", doc or "", scope | parameters(thing))
            continue
        doc = vars(thing).get("__doc__") or ""  # its own, not that of a base
        automatic = doc.startswith(f"{name}(")  # written by NamedTuple or dataclass
        yield Entry(f"{root}.{name}", "" if automatic else doc, scope | members(thing) | parameters(thing))
        for base in own_classes(thing, package):
            near = everywhere | module_names(sys.modules[base.__module__]) | members(thing)
            for key, function in functions(base).items():
                yield Entry(f"{root}.{name}.{key}", function.__doc__ or "", near | parameters(function))


def exists(path: str, scope: dict[str, Any]) -> bool:
    """Whether a dotted path exists. Anything below an `UNKNOWN` counts as existing."""
    head, *rest = path.split(".")
    thing = scope.get(head, MISSING)
    for name in rest:
        if thing is MISSING or thing is UNKNOWN:
            break
        if isinstance(thing, ModuleType) and not hasattr(thing, name):
            try:
                thing = importlib.import_module(f"{thing.__name__}.{name}")
            except ImportError:
                return False
        else:
            thing = members(thing).get(name, MISSING) if isinstance(thing, type) else getattr(thing, name, MISSING)
    return thing is not MISSING


def home(package: ModuleType, name: str) -> ModuleType:
    """The module that defines a public name."""
    thing, homes = getattr(package, name), getattr(package, "_HOME", {})
    if isinstance(thing, type | FunctionType):
        return sys.modules[thing.__module__]
    return importlib.import_module(f"{package.__name__}.{homes[name]}") if name in homes else package


def module_names(module: ModuleType) -> dict[str, Any]:
    """Globals of a module, and the strings in its tables (keys, items), which name choices."""
    constants = [value for name, value in vars(module).items() if name.isupper()]
    tables: list[Any] = [value for value in constants if isinstance(value, dict | tuple)]
    tables += [value.names() for value in constants if isinstance(value, Family)]
    return {word: UNKNOWN for table in tables for word in table if isinstance(word, str)} | vars(module)


def table_doc(package: ModuleType, name: str) -> str:
    """Docstring below a table."""
    return pdoc.doc_ast.walk_tree(home(package, name)).var_docstrings.get(name, "")


def choices(table: Any) -> list[tuple[str, str]]:
    """Names in a public table or in a family of parts, each with its line of help."""
    if isinstance(table, Family):
        return [(part.name, part.help) for part in table]
    return [(name, choice.help) for name, choice in table.items()]


def members(cls: type) -> dict[str, Any]:
    """Members of an instance: attributes, fields and what the constructor assigns."""
    declared = {name for base in cls.__mro__ for name in pdoc.doc_ast.walk_tree(base).annotations}
    return dict.fromkeys(declared, UNKNOWN) | {name: getattr(cls, name, UNKNOWN) for name in dir(cls)}


def parameters(thing: Any) -> dict[str, Any]:
    """Parameters of a function or class."""
    try:
        return dict.fromkeys(inspect.signature(thing).parameters, UNKNOWN)
    except (TypeError, ValueError):  # a table; an exception
        return {}


def own_classes(cls: type, package: ModuleType) -> list[type]:
    """A public class and its private bases in the package, whose members are documented with it."""
    bases = [base for base in cls.__mro__[1:] if base.__module__.partition(".")[0] == package.__name__]
    return [cls, *(base for base in bases if base.__name__ not in package.__all__)]


def functions(cls: type) -> dict[str, FunctionType]:
    """Functions behind the public methods and properties that a class defines."""
    found = {}
    for name, member in vars(cls).items():
        for attribute in ("fget", "func", "__func__"):  # of a property, cached_property, classmethod or staticmethod
            member = getattr(member, attribute, member)
        if isinstance(member, FunctionType) and not name.startswith("_"):
            found[name] = member
    return found


def page(package: ModuleType) -> pdoc.doc.Module:
    """A copy of the package's module with all public names loaded."""
    copy = ModuleType(package.__name__)
    vars(copy).update(vars(package) | {name: getattr(package, name) for name in package.__all__})
    module = pdoc.doc.Module(copy)
    for name, doc in module.members.items():
        if isinstance(doc, pdoc.doc.Class):
            arrange(doc, package)
        elif isinstance(doc, pdoc.doc.Variable):
            listed = [f"- ``{choice}``: {line}" for choice, line in choices(getattr(package, name))]
            doc.docstring = "\n".join([table_doc(package, name), "", *listed])
            doc.default_value = inspect.Parameter.empty
        for each in [doc, *(doc.members.values() if isinstance(doc, pdoc.doc.Class) else ())]:
            if not each.name.startswith("_") or each.name == "__init__":
                shorten(each, package)
    return module


def arrange(doc: pdoc.doc.Class, package: ModuleType) -> None:
    """Show fields once, with their comments, and show the members of private bases with the class."""
    if dataclasses.is_dataclass(doc.obj) or issubclass(doc.obj, tuple):
        doc.members.pop("__init__", None)  # it would list the fields again
    lines, strings = doc.source.splitlines(), pdoc.doc_ast.walk_tree(doc.obj).var_docstrings
    for node in pdoc.doc_ast.parse(doc.obj).body:
        if isinstance(node, ast.AnnAssign):
            name, comment = ast.unparse(node.target), lines[(node.end_lineno or 1) - 1].partition("  # ")[2]
            doc.members[name].docstring = comment or strings.get(name, "")
    hidden = [base.__module__ for base in own_classes(doc.obj, package)[1:]]
    for name, member in doc.members.items():
        if member.taken_from[0] in hidden:
            member.taken_from = (doc.taken_from[0], f"{doc.taken_from[1]}.{name}")
    doc.bases = [(module, name, name) for module, name, _ in doc.bases if module not in hidden]


class Shown(str):
    """An annotation as the page shows it."""

    __repr__ = str.__str__


def shorten(doc: pdoc.doc.Doc[Any], package: ModuleType) -> None:
    """Remove modules from annotations, except before public names, which pdoc turns into links."""

    def name(path: re.Match[str]) -> str:
        first, last = path[0].partition(".")[0], path[0].rpartition(".")[2]
        if first == package.__name__ and last in package.__all__:
            return f"{first}.{last}"
        return path[0] if first == "torch" else last

    def shown(annotation: Any) -> Any:
        if annotation is inspect.Parameter.empty:
            return annotation
        text = re.sub(r"\w+(?:\.\w+)+", name, inspect.formatannotation(annotation))
        text = re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]", r"NDArray[\1]", text)
        return Shown(re.sub(r"\*<class '(\w+)'>", r"Unpack[\1]", text))

    if isinstance(doc, pdoc.doc.Variable):
        doc.annotation = shown(doc.annotation)
    elif isinstance(doc, pdoc.doc.Function):
        old = doc.signature
        short = [parameter.replace(annotation=shown(parameter.annotation)) for parameter in old.parameters.values()]
        doc.signature = old.replace(parameters=short, return_annotation=shown(old.return_annotation))


def main() -> int:
    """Check, then write the page. Returns 1 if a docstring has a problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("site"), help="Folder for the page. Default: site.")
    output: Path = parser.parse_args().output
    package = importlib.import_module("simcse_kit")
    if found := problems(package):
        print(*found, sep="\n")
        return 1
    footer = f"{package.__name__} {package.__version__}"
    pdoc.render.configure(docformat="google", footer_text=footer, show_source=False)
    with warnings.catch_warnings():  # on annotations that only type checkers import; `shorten` writes them
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        html = pdoc.render.html_module(module := page(package), {module.modulename: module})
    html = html.replace("calc(54rem +", "calc(64rem +")  # formulas and examples have long lines
    output.mkdir(parents=True, exist_ok=True)
    (output / "index.html").write_text(html, encoding="utf-8")
    print(f"{output / 'index.html'}: {len(package.__all__)} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
