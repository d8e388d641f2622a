"""Parts that describe themselves, and the registry that finds them."""

from simcse_kit.parts.complete import check_complete
from simcse_kit.parts.keywords import check_keywords, keywords_of
from simcse_kit.parts.named import is_named, load_named
from simcse_kit.parts.registry import Family, Part
from simcse_kit.parts.settings import allowed, check_settings, own_name, setting

__all__ = [
    "Family",
    "Part",
    "allowed",
    "check_complete",
    "check_keywords",
    "check_settings",
    "is_named",
    "keywords_of",
    "load_named",
    "own_name",
    "setting",
]
