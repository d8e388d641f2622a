"""``python -m simcse_kit`` is ``simcse-kit``."""

from simcse_kit.cli import main

main()
