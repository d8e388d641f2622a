"""The command line of a script: its docstring is the help."""

from __future__ import annotations

import argparse


def parser(text: str | None) -> argparse.ArgumentParser:
    """A parser without arguments: ``--help`` prints ``text``, and an unknown argument is an error."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
