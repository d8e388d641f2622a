"""What ``simcse-kit`` shows without arguments: the four main jobs."""

from __future__ import annotations

START = """\
simcse-kit: a sentence encoder of your own, and search with it.

Adapt a model to your own texts:
  simcse-kit adapt tickets.txt --output-dir my-model

Train a model on pairs, triplets or scored pairs:
  simcse-kit train sup pairs.csv --model all-MiniLM-L6-v2 --output-dir my-model

Measure models side by side:
  simcse-kit eval all-MiniLM-L6-v2 my-model --suite pairs --data scored.tsv

Index texts and search them:
  simcse-kit index build my-model tickets.txt my-index && simcse-kit search my-index "cannot log in"

Without files of your own: simcse-kit quickstart
All commands: simcse-kit --help
Options of one command: simcse-kit COMMAND --help
"""
