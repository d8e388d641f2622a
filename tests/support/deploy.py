"""The files of ``examples/deploy`` as their programs read them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from simcse_kit.cli import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"


class Instruction(NamedTuple):
    """One of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Of its JSON form, or as a shell splits it."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def dockerfile() -> list[Instruction]:
    """Its instructions, continued lines joined, comments left out."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(" ", 1)) for line in joined.splitlines() if line]


def only(name: str) -> Instruction:
    """The one instruction of a name."""
    (found,) = [one for one in dockerfile() if one.name == name]
    return found


def health_check() -> list[str]:
    """The command of HEALTHCHECK."""
    return list(json.loads(only("HEALTHCHECK").text.partition("CMD ")[2]))


def environment() -> dict[str, str]:
    """What every ENV sets."""
    words = [word for one in dockerfile() if one.name == "ENV" for word in one.words]
    return dict(word.split("=", 1) for word in words)


def serve_options() -> list[Any]:
    """The parameters of ``simcse-kit serve``."""
    command: Any = get_command(app)
    return list(command.commands["serve"].params)
