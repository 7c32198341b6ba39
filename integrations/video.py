"""Where the call takes place: an address of the operator's own service, one room an appointment."""

from uuid import UUID

from integrations.runtime.settings import Settings


def room_address(settings: Settings, appointment_id: UUID) -> str | None:
    """Give the address of the appointment's room; None while the settings name no service."""
    if settings.room_url is None:
        return None
    return settings.room_url.replace("{appointment_id}", str(appointment_id))
