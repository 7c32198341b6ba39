"""ETags in conditions: our own, and as what stands between us and the client has rewritten them (decision 0064).

A proxy that compresses an answer changes its tag: nginx makes it weak (`W/"3"`), Caddy and Apache add the coding
(`"3-gzip"`). Our tags number the version of a resource, not the octets that were sent, so each of these forms names
the same version.
"""

import re

_TAG = re.compile(r'\s*(\*|(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)")\s*(?:,|$)')
_CODING = re.compile(r"(--?|;)(gzip|br|zstd|deflate)$")


def named(header: str) -> frozenset[str]:
    """Give the tags that `If-Match` or `If-None-Match` names, as we wrote them; a star stands for itself."""
    tags: set[str] = set()
    place = 0
    while place < len(header) and (found := _TAG.match(header, place)):
        tags.add("*" if found[1] == "*" else f'"{_CODING.sub("", found[2])}"')
        place = found.end()
    return frozenset(tags) if place == len(header) else frozenset()


def names(header: str, tag: str) -> bool:
    """Tell whether the header names this tag of ours, or any."""
    return bool(named(header) & {"*", tag})
