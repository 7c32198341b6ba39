"""What mail servers answer, and whose fault it is: replies as their makers and their users publish them.

Sources: RFC 3463, RFC 5248 and RFC 5321; Postfix's and Exim's own sources and tests; Google's list of SMTP errors;
Microsoft's list of non-delivery reports; Yahoo's and Mimecast's lists; Spamhaus; what users of the others quote in
public. `{to}` stands for the recipient's address, `{from}` for ours; IP addresses are those kept for documents.
"""

import csv
from pathlib import Path
from typing import NamedTuple, cast

from service import vocabulary


class Published(NamedTuple):
    """One reply: by what, at which step, its code and text, and whose fault."""

    server: str
    phase: vocabulary.SmtpPhase
    code: int
    text: str
    fault: vocabulary.MailFault


def _read() -> tuple[Published, ...]:
    text = Path(__file__).with_name("replies.csv").read_text(encoding="utf-8")
    return tuple(
        Published(row["server"], cast("vocabulary.SmtpPhase", row["phase"]), int(row["code"]), row["text"],
                  cast("vocabulary.MailFault", row["fault"]))
        for row in csv.DictReader(text.splitlines())
    )  # fmt: skip


REPLIES = _read()
