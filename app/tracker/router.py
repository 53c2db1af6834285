"""Serves the tracker: under a name for all versions, and under one for the version that it is."""

import gzip
import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

TRACKER_PATHS = ("/t.js", "/t.{version}.js")
SCRIPT = Path(__file__).with_name("t.js")
DIGEST_HEX_DIGITS = 16
# How long a browser goes on with the version before, once there is a new one.
MAX_AGE_SECONDS = 3_600
IMMUTABLE = "public, max-age=31536000, immutable"

HEADERS = {
    "Content-Type": "text/javascript; charset=utf-8",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    # For script tags with `crossorigin`, which `integrity` needs, and for pages that isolate themselves.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def tracker_router() -> APIRouter:
    """Reads the script once."""
    script = SCRIPT.read_bytes()
    compressed = gzip.compress(script, 9, mtime=0)
    digest = hashlib.sha256(script).hexdigest()[:DIGEST_HEX_DIGITS]
    tag = f'"{digest}"'
    router = APIRouter(include_in_schema=False)

    def answer(request: Request, cache_control: str) -> Response:
        headers = {**HEADERS, "Cache-Control": cache_control, "ETag": f"W/{tag}"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(compressed, headers={**headers, "Content-Encoding": "gzip"})
        return Response(script, headers=headers)

    newest_path, version_path = TRACKER_PATHS

    @router.api_route(newest_path, methods=["GET", "HEAD"])
    async def newest(request: Request) -> Response:
        return answer(request, f"public, max-age={MAX_AGE_SECONDS}")

    @router.api_route(version_path, methods=["GET", "HEAD"])
    async def version(request: Request, version: str) -> Response:
        if version == digest:
            return answer(request, IMMUTABLE)
        # A page that names a version of before goes on working. Relative, as there may be a path before it.
        return RedirectResponse("t.js", 302, {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})

    return router
