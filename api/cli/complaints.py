"""What a command that cannot go on says: a sentence for each error that we foresee, never a traceback.

Imported once something went wrong: the modules that name these errors are heavy, and `pobratym --help` needs none.
"""

from collections.abc import Sequence

from api.cli import command
from integrations import address_words, catalogues
from integrations.runtime import database_faults, postgres, settings
from integrations.runtime.world import NotMigrated
from service.kernel import crypto, email_addresses, errors

FAILED, BAD_SETTINGS = 1, 2


def told(error: Exception) -> tuple[int, Sequence[str]] | None:  # noqa: PLR0911 - a table
    """Give the status to end with, and the sentences; None for what nobody foresaw."""
    match error:
        case settings.BadSettings():
            return BAD_SETTINGS, error.faults
        case command.Stop() | postgres.CannotStart() | NotMigrated() | database_faults.Unusable():
            return FAILED, [str(error)]
        case email_addresses.Unmailable():
            return FAILED, [address_words.worded(error.refused, catalogues.of(catalogues.FALLBACK))]
        case errors.OutcomeUnknown():
            return FAILED, ["The database went away while it was saving: see whether it was done before you try again."]
        case errors.Unavailable():
            return FAILED, ["The database went away, or was too busy: try again."]
        case crypto.CannotDecrypt():
            return FAILED, ["POBRATYM_SECRET_KEYS lacks the key under which the database was sealed."]
    return None
