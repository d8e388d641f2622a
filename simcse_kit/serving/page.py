"""The demo page and the API description, with their content-security policies."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from simcse_kit.serving.errors import ApiError

_INLINE = re.compile(r"<(script|style)(?:\s[^>]*)?>(.*?)</\1>", re.DOTALL)


@cache
def _page() -> tuple[str, str]:
    """The demo page and its content-security policy: only its own script, its own style and this server."""
    text = files("simcse_kit.serving").joinpath("page.html").read_text(encoding="utf-8")
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _INLINE.findall(text):
        allowed[kind].append(hash_source(content))
    policy = (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}; "
        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def hash_source(content: str) -> str:
    """The content-security policy's hash of an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _assets() -> Path:
    """Files of Swagger UI, from the package that ships them."""
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise ApiError(
            404, "the interactive description needs: pip install fastapi-offline; GET /openapi.json works without it"
        )
    return Path(found.origin).parent / "static"


def add_pages(app: FastAPI, *, page: bool) -> None:
    """``/`` if there is an index, and ``/docs``, which needs nothing from other hosts."""

    @app.get("/", include_in_schema=False)
    async def demo() -> Response:
        if not page:
            raise ApiError(404, "this server has no index and so no search page; GET /docs describes its API")
        text, policy = _page()
        return Response(text, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        _assets()
        root = request.scope["root_path"]
        response = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title}: API",
            swagger_js_url=f"{root}/docs/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/swagger-ui.css",
            swagger_favicon_url="data:,",
        )
        scripts = [hash_source(text) for kind, text in _INLINE.findall(bytes(response.body).decode()) if text.strip()]
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self' {' '.join(scripts)}; style-src 'self' 'unsafe-inline'; "
            "connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
        )
        return response

    @app.get("/docs/swagger-ui-bundle.js", include_in_schema=False)
    async def script() -> Response:
        return Response((_assets() / "swagger-ui-bundle.js").read_bytes(), media_type="text/javascript")

    @app.get("/docs/swagger-ui.css", include_in_schema=False)
    async def style() -> Response:
        return Response((_assets() / "swagger-ui.css").read_bytes(), media_type="text/css")
