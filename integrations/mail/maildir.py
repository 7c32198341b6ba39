"""Mail lies in a folder where no mail server is configured: for development, the demo and tests."""

import asyncio
import os
import tempfile
from dataclasses import dataclass
from email import parser, policy
from pathlib import Path

from integrations.mail import messages
from service.kernel import email_addresses, outcomes


@dataclass(frozen=True, slots=True)
class MaildirOutbox:
    """A folder in Maildir form that takes mail where no server is configured."""

    folder: Path

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        """The message lies in `new/` under its Message-ID: the same one twice is one file, also once it was read."""
        email_addresses.normal_form(recipient)
        fields = parser.BytesHeaderParser(policy=policy.compat32).parsebytes(message)
        name = messages.checked_message_id(str(fields["Message-ID"]))
        try:
            await asyncio.to_thread(self._put, name, message)
        except OSError as fault:
            return outcomes.Retry(None, f"{type(fault).__name__}: {fault.strerror}")
        return outcomes.Delivered(None)

    def _put(self, name: str, message: bytes) -> None:
        for part in ("tmp", "new", "cur"):
            (self.folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        if any((self.folder / "cur").glob(f"{name}*")):
            return
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder / "tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(self.folder / "new" / name)
