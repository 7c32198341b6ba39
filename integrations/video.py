"""The video room behind a join link: for now an address pattern of the settings."""

from uuid import UUID

from integrations.settings import Settings


def room_address(settings: Settings, appointment_id: UUID) -> str | None:
    """Give the room of the appointment; None when no pattern is set."""
    return settings.room_url and settings.room_url.replace("{appointment_id}", str(appointment_id))
