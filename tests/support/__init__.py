"""Shared by tests: models, stores, a browser, processes that are killed."""

from pathlib import Path

SCRIPTS = Path(__file__).parent  # those that run as processes of their own
