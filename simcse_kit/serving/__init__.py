"""Models and indexes behind HTTP, and the demo page: the extra ``serve``."""

from simcse_kit.serving.app import create_app
from simcse_kit.serving.server import free_port, open_targets, serve
from simcse_kit.serving.settings import Limits, ServeError, check_access

__all__ = ["Limits", "ServeError", "check_access", "create_app", "free_port", "open_targets", "serve"]
