"""Certificates of attendance on paper: one a session, or a list for a period."""

from collections.abc import Sequence

from babel import dates, numbers
from reportlab.graphics import shapes
from reportlab.graphics.barcode import qr
from reportlab.platypus import Flowable, Spacer

from integrations import catalogues
from integrations.catalogues import Catalogue
from integrations.documents import pdf
from service.reporting.certificates import Certificate

_HALF = 20  # of a code, with its hyphens: four of the eight groups
_QR = 32 * pdf.MM


def one(certificate: Certificate, locale: str, address: str) -> bytes:
    """Give the certificate as a page; `address` is where its code is confirmed."""
    catalogue = catalogues.of(locale)
    words = catalogue["certificate"]
    rows = [
        [words["role"], catalogue["certificate.roles"][certificate.role]],
        [words["mode"], catalogue["certificate.modes"][certificate.mode]],
        [words["topic"], _in(catalogue, certificate.topic)],
        [words["day"], dates.format_date(certificate.on, "long", catalogue.formats)],
        [words["duration"], _hours(certificate.minutes, catalogue)],
        [words["programme"], _in(catalogue, certificate.programme)],
    ]
    story: list[Flowable] = [
        pdf.words(words["title"], pdf.TITLE),
        pdf.words(words["that"]),
        pdf.words(certificate.name, pdf.LARGE),
        Spacer(1, 2 * pdf.MM),
        pdf.words(words["took_part"]),
        Spacer(1, 2 * pdf.MM),
        pdf.table(rows, [2, 5], has_head=False),
        Spacer(1, 8 * pdf.MM),
        pdf.words(words["code"], pdf.HEADING),
        pdf.words(certificate.code, pdf.LARGE),
        Spacer(1, 2 * pdf.MM),
        pdf.words(words["confirm"].format(address=address), pdf.SMALL),
        Spacer(1, 2 * pdf.MM),
        _square(address),
    ]
    return pdf.render(story, pdf.About(words["title"], locale, words["foot"]))


def many(certificates: Sequence[Certificate], locale: str, name: str, period: tuple[str, str], address: str) -> bytes:
    """Give the list of what one person took part in, with its sum and every code; `address` is that of the page."""
    catalogue = catalogues.of(locale)
    words = catalogue["certificate"]
    rows = [[words[key] for key in ("day", "topic", "role", "duration", "code")]]
    rows += [
        [
            dates.format_date(certificate.on, "short", catalogue.formats),
            f"{_in(catalogue, certificate.topic)} ({catalogue['certificate.modes'][certificate.mode]})",
            catalogue["certificate.roles"][certificate.role],
            _hours(certificate.minutes, catalogue),
            f"{certificate.code[:_HALF]}\n{certificate.code[_HALF:]}",
        ]
        for certificate in certificates
    ]
    count, whole = len(certificates), _hours(sum(certificate.minutes for certificate in certificates), catalogue)
    story = [
        pdf.words(words["list_title"], pdf.TITLE),
        pdf.words(name, pdf.LARGE),
        pdf.words(words["period"].format(first=period[0], last=period[1])),
        pdf.words(catalogue.counted("certificate", "whole", count).format(count=count, hours=whole)),
        Spacer(1, 3 * pdf.MM),
        pdf.table(rows, [1.2, 2.8, 1.4, 1.9, 2.5], numeric=[3]),
        Spacer(1, 3 * pdf.MM),
        pdf.words(words["confirm"].format(address=address), pdf.SMALL),
    ]
    return pdf.render(story, pdf.About(words["list_title"], locale, words["foot"]))


def _square(address: str) -> shapes.Drawing:
    code = qr.QrCodeWidget(address, barWidth=_QR, barHeight=_QR, barBorder=0)
    drawing = shapes.Drawing(_QR, _QR)
    drawing.add(code)
    return drawing


def _hours(minutes: int, catalogue: Catalogue) -> str:
    hours = numbers.format_decimal(round(minutes / 60, 2), locale=catalogue.formats)
    return catalogue["certificate"]["hours"].format(hours=hours, minutes=minutes)


def _in(catalogue: Catalogue, names: tuple[str, str]) -> str:
    english, ukrainian = names
    return catalogue.name({"en": english, "uk": ukrainian})
