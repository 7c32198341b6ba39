"""The part of an address behind its `?`: each name is one that the route knows, and stands once.

A name that nobody knows is most likely a typing error, and a list that is not narrowed looks as if it were: so it is
refused, as an unknown field of a body is. Pages are not checked: what programs of others append to a link in a mail
(`utm_source`, `fbclid`) must not keep its reader out.
"""

from collections import Counter

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from service.kernel import errors

UNKNOWN = "there is no such parameter"
TWICE = "may stand only once"
_MOST_FAULTS = 100


async def must_be_known(request: Request) -> None:
    """Pass an address whose parameters the route knows; raises Invalid that names each other one."""
    if not request.url.query:
        return
    known = _names(request.scope["route"])
    faults = [
        errors.Fault(f"/query/{_escaped(name)}", TWICE if name in known else UNKNOWN)
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items()
        if name not in known or count > 1
    ]
    if faults:
        first, *more = faults[:_MOST_FAULTS]
        raise errors.Invalid(first.pointer, first.detail, *more)


KNOWN_ONLY = [Depends(must_be_known)]
"""The dependencies of a router whose routes refuse what they do not know."""


def _names(route: APIRoute) -> frozenset[str]:
    """Name what the route reads; each has one value."""
    waiting, names = [route.dependant], set[str]()
    while waiting:
        dependant = waiting.pop()
        names |= {field.alias for field in dependant.query_params}
        waiting += dependant.dependencies
    return frozenset(names)


def _escaped(name: str) -> str:
    return name[:64].replace("~", "~0").replace("/", "~1")
