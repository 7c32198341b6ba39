"""The path that `BASE_URL` may have: taken off what comes in, put before what goes out.

A proxy before us passes this path on or strips it, and both are understood. Nothing behind this module knows of it: a
handler, a route and a stored answer name our own addresses, from `/` on.
"""

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope


def entered(scope: Scope, base_path: str) -> Scope:
    """Give the scope whose path is one of our own, and whose state remembers what stands before it."""
    state = scope.setdefault("state", {}) | {"base_path": base_path}
    path = scope["path"]
    if base_path and (path == base_path or path.startswith(f"{base_path}/")):
        path = path[len(base_path) :] or "/"
        raw_path = scope.get("raw_path", b"")[len(base_path) :] or b"/"
        return dict(scope) | {"path": path, "raw_path": raw_path, "state": state}
    return dict(scope) | {"state": state}


def before(scope: Mapping[str, Any]) -> str:
    """Give what stands before each of our addresses when it is told to a client; mostly nothing."""
    return str(scope["state"].get("base_path", ""))


def outward(scope: Mapping[str, Any], address: str) -> str:
    """Give an address as a client may ask for it: one of our own with what stands before it, any other as it is."""
    return before(scope) + address if address.startswith("/") and not address.startswith("//") else address
