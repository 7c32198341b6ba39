"""Which methods an address answers to."""

from fastapi import Request
from starlette.routing import Match

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def methods(request: Request) -> str:
    """List the methods of the request's address, as `Allow` does; HEAD is there wherever GET is."""
    own = ("route", "endpoint", "path_params", "router")
    scope = {name: value for name, value in request.scope.items() if name not in own}
    answered = [
        method
        for method in _METHODS
        if any(route.matches(scope | {"method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join([*answered, *(["HEAD"] if "GET" in answered else []), "OPTIONS"])
