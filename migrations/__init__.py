"""The schema's history. A version's name says what it does: `YYYY_MM_DD_<verb>_<noun>`."""

import re


def statements(sql: str) -> list[str]:
    """Cut SQL at the semicolons that stand outside of $$; whole-line comments are dropped."""
    bare = re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE)
    parts = re.findall(r"(?:\$\$.*?\$\$|[^;])+", bare, flags=re.DOTALL)
    return [part.strip() for part in parts if part.strip()]
