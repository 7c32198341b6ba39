"""What people keep outside of us and both the API and the pages give: the invitation to a call."""

from fastapi import Response

from integrations.runtime.world import World
from service.care import appointments


def invite(world: World, invitation: appointments.Invitation) -> Response:
    """Give the invitation as an iCalendar object."""
    from integrations.runtime import mail_delivery  # noqa: PLC0415 - what words mails is the worker's, and large

    token = invitation.join and world.keys.link_token(invitation.join.id, invitation.join.purpose)
    links = {"join": f"{world.settings.base_url}/j/{token}"} if token else {}
    body = mail_delivery.invite(
        world.settings, invitation.calendar, invitation.values, invitation.locale, invitation.people, links
    )
    kind = f"text/calendar; charset=utf-8; method={invitation.calendar['method']}; component=VEVENT"
    return Response(body, media_type=kind, headers={"Content-Disposition": 'attachment; filename="invite.ics"'})
