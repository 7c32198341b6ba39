"""What a device keeps of us: the manifest by which it installs the pages, and a worker with a page for a lost line.

The worker keeps that page, the stylesheet, scripts and icon, and never another page: those hold case text. What is
sent never passes through it.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from fastapi import APIRouter, Request, Response

from api.pages import assets, frame, words
from service import vocabulary

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
_WORKER = (Path(__file__).parent / "templates" / "worker.js.txt").read_text("utf-8")
_KEPT_FILES = sorted(path for path in assets.PATHS.values() if not path.endswith(".png"))
_ICONS = (
    ("icon.svg", "any", "any"),
    ("icon-192.png", "192x192", "any"),
    ("icon-512.png", "512x512", "any"),
    ("icon-512.png", "512x512", "maskable"),
)
"""File, size, purpose: not every device that installs the pages draws an SVG."""
_VERSION = hashlib.sha256("".join([_WORKER, *_KEPT_FILES]).encode()).hexdigest()[:12]
_ASK_EACH_TIME = {"Cache-Control": "no-cache"}


@router.get("/sw.js")
async def worker() -> Response:
    """Give the service worker, at the root for its scope; it changes with the files that it keeps."""
    kept = json.dumps([path.removeprefix("/") for path in _KEPT_FILES])
    text = _WORKER.replace("VERSION", json.dumps(_VERSION)).replace("FILES", kept)
    return Response(text, media_type="text/javascript", headers=_ASK_EACH_TIME)


@router.get("/offline")
async def offline(request: Request) -> Response:
    """Say that there is no line; it names nobody, since it is kept on the device."""
    visit = frame.strangers_visit(request)
    if request.url.query in vocabulary.LOCALES:  # the worker's own language is that of the page that brought it
        visit = dataclasses.replace(visit, words=words.of(request.url.query))
    return visit.show("offline.html")


@router.get("/manifest.webmanifest")
async def manifest(request: Request) -> Response:
    """Describe the pages to a device that installs them."""
    visit = frame.strangers_visit(request)
    base = visit.world.settings.base_path
    described = {
        "name": visit.words.table["page"]["name"],
        "short_name": visit.words.table["page"]["name"],
        "lang": visit.words.locale,
        "id": f"{base}/",
        "start_url": f"{base}/",
        "scope": f"{base}/",
        "display": "standalone",
        "background_color": "#f5f7fa",
        "theme_color": "#0b4f8a",
        "icons": [
            {
                "src": base + assets.PATHS[name],
                "sizes": sizes,
                "type": assets.ASSETS[name].media_type,
                "purpose": purpose,
            }
            for name, sizes, purpose in _ICONS
        ],
    }
    body = json.dumps(described, ensure_ascii=False)
    return Response(body, media_type="application/manifest+json", headers=_ASK_EACH_TIME)
