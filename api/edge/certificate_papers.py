"""Certificates on paper. What makes them is imported by their thread: it is large, and no request waits for it."""

import asyncio
from collections.abc import Sequence
from datetime import date

from service.reporting.certificates import Certificate

MEDIA_TYPE = "application/pdf"


def address(base_url: str, code: str) -> str:
    """Give the address of the page that confirms the code."""
    return f"{base_url}/certificates/{code}"


async def of_session(certificate: Certificate, locale: str, base_url: str) -> bytes:
    """Give the certificate of one session as PDF."""

    def paper() -> bytes:
        from integrations.documents import certificates as papers  # noqa: PLC0415

        return papers.one(certificate, locale, address(base_url, certificate.code))

    return await asyncio.to_thread(paper)


async def of_period(
    certificates: Sequence[Certificate], locale: str, name: str, period: tuple[date, date], base_url: str
) -> bytes:
    """Give the list of what one person took part in as PDF, with its sum; the last day of the period is not counted."""
    first, until = (day.isoformat() for day in period)

    def paper() -> bytes:
        from integrations.documents import certificates as papers  # noqa: PLC0415

        return papers.many(certificates, locale, name, (first, until), address(base_url, "\N{HORIZONTAL ELLIPSIS}"))

    return await asyncio.to_thread(paper)
