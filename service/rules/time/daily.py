"""Something that comes once a day at an hour of somebody's own clock."""

from datetime import datetime, time, timedelta

from service.rules.time import availability

_DAY = timedelta(days=1)


def next_at(after: datetime, zone: str, hour: int) -> datetime:
    """Give the first instant after this one at which the zone's clock shows the full hour.

    On a day on which the clock skips the hour it is the same time by the offset before (RFC 5545 3.3.5); of an hour
    that the clock shows twice it is the first. So each date has exactly one.
    """
    today = availability.local_date(after, zone)
    candidates = (
        availability.to_instant(datetime.combine(today + _DAY * days, time(hour)), zone, strict=False)
        for days in range(3)
    )
    return next(at for at in candidates if at > after)
