"""The files that pages name: the stylesheet, scripts, the icon.

Each is served by us at an address that changes with it, so that a browser keeps it for good. A script in the folder
`scripts` needs no more than to lie there: a template names it by `assets["hours.js"]`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response

from service.kernel import errors

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: where it is served, and as what."""

    path: str
    media_type: str
    content: bytes


def _read(file: Path) -> Asset:
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"/pages/{file.stem}-{digest}{file.suffix}", _MEDIA_TYPES[file.suffix], content)


ASSETS: Mapping[str, Asset] = {
    file.name: _read(file)
    for folder in ("templates", "scripts")
    for file in sorted((_FOLDER / folder).iterdir())
    if file.suffix in _MEDIA_TYPES
}
"""By the name of the file."""

PATHS: Mapping[str, str] = {name: asset.path for name, asset in ASSETS.items()}
_BY_PATH = {asset.path: asset for asset in ASSETS.values()}

router = APIRouter(include_in_schema=False)


@router.get("/pages/{name}")
async def served(name: str) -> Response:
    """Give the file; raises NotFound for one that no page of this version names."""
    asset = _BY_PATH.get(f"/pages/{name}")
    if asset is None:
        raise errors.NotFound
    return Response(asset.content, media_type=asset.media_type, headers=_KEPT)
