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
            return _away(fault)
        return outcomes.Delivered(None)

    async def probe(self, sender: str) -> outcomes.Away | None:  # noqa: ARG002 - an outbox's own form
        """Tell what keeps a mail from being written, if anything does."""
        try:
            await asyncio.to_thread(self._try)
        except OSError as fault:
            return _away(fault)
        return None

    def _try(self) -> None:
        self._make_folders()
        tempfile.TemporaryFile(dir=self.folder / "tmp").close()

    def _make_folders(self) -> None:
        for part in ("tmp", "new", "cur"):
            (self.folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)

    def _put(self, name: str, message: bytes) -> None:
        self._make_folders()
        if any((self.folder / "cur").glob(f"{name}*")):
            return
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder / "tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(self.folder / "new" / name)


def _away(fault: OSError) -> outcomes.Away:
    return outcomes.Away(None, f"{type(fault).__name__}: {fault.strerror}")
