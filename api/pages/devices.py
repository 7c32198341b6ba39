"""Which browser on which system somebody uses, as it says of itself: so that they know their devices again."""

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
"""What is written in a User-Agent, and what it means; the first one found counts, since each names its forebears."""


def named(user_agent: str) -> str | None:
    """Name browser and system (`Firefox, Android`), as far as they are known; None if neither is."""
    found = (next((name for mark, name in table if mark in user_agent), None) for table in (_BROWSERS, _SYSTEMS))
    return ", ".join(name for name in found if name) or None
