"""``python -m simcse_kit`` runs ``simcse-kit``."""

from simcse_kit.cli import main

main()
