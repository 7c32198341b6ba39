"""What every document on paper has in common: the fonts, the styles, the pages, and bytes that depend on nothing else.

DejaVu Sans lies beside this module and is embedded, as far as it is used: it draws Cyrillic and every Latin alphabet,
so a document looks the same wherever it is opened. Words come from whoever writes the document.
"""

import functools
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportlab.lib import colors, enums, pagesizes, units
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics, ttfonts
from reportlab.pdfgen import canvas as canvases
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Table

MM = units.mm
PAGE = pagesizes.A4
MARGIN = 20 * MM
WIDTH = PAGE[0] - 2 * MARGIN
"""What is left between the margins."""
INK, MUTED, ACCENT, RULE, SHADE = (
    colors.HexColor(shade) for shade in ("#1a1f2b", "#5a6375", "#1f5aa6", "#c8ced8", "#f2f5f9")
)
_FOLDER = Path(__file__).parent / "fonts"
PLAIN, BOLD = "DejaVu", "DejaVu-Bold"


def _style(name: str, size: float, leading: float, **more: Any) -> ParagraphStyle:  # noqa: ANN401 - the library's own
    values: dict[str, Any] = {"fontName": PLAIN, "fontSize": size, "leading": leading, "textColor": INK}
    return ParagraphStyle(name, **(values | more))


TITLE = _style("title", 18, 24, fontName=BOLD, spaceAfter=4 * MM)
HEADING = _style("heading", 11.5, 16, fontName=BOLD, textColor=ACCENT, spaceBefore=4 * MM, spaceAfter=1.5 * MM)
TEXT = _style("text", 9.5, 14, spaceAfter=1.5 * MM)
LARGE = _style("large", 14, 20, fontName=BOLD)
SMALL = _style("small", 7.5, 10.5, textColor=MUTED)
CELL = _style("cell", 8.5, 11)
NUMBER = _style("number", 8.5, 11, alignment=enums.TA_RIGHT)
HEAD = _style("head", 8.5, 11, fontName=BOLD)


@dataclass(frozen=True, slots=True)
class About:
    """What the file says of itself; `footer` stands at the foot of every page, before its number."""

    title: str
    locale: str
    footer: str = ""


def words(text: str, style: ParagraphStyle = TEXT) -> Paragraph:
    """Give a paragraph; nothing in the text is markup, and its line breaks stay."""
    _have_fonts()
    return Paragraph(html.escape(text, quote=False).replace("\n", "<br/>"), style)


def table(
    rows: Sequence[Sequence[str | Flowable]],
    widths: Sequence[float],
    *,
    numeric: Sequence[int] = (),
    has_head: bool = True,
) -> Table:
    """Give a table over the whole width, `widths` being shares of it; `numeric` columns stand on the right.

    The first row is repeated on every page unless `has_head` is False.
    """
    paragraphs = [
        [
            cell if isinstance(cell, Flowable) else words(cell, _cell_style(row, place, numeric, has_head=has_head))
            for place, cell in enumerate(cells)
        ]
        for row, cells in enumerate(rows)
    ]
    whole = sum(widths)
    lines: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
    ]
    if has_head:
        lines.append(("BACKGROUND", (0, 0), (-1, 0), SHADE))
    return Table(
        paragraphs,
        colWidths=[WIDTH * share / whole for share in widths],
        repeatRows=1 if has_head else 0,
        hAlign="LEFT",
        style=lines,
    )


def render(story: Sequence[Flowable], about: About) -> bytes:
    """Lay the story out on A4 pages; the same story and words about it give the same bytes."""
    _have_fonts()
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=PAGE,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=about.title,
        author="Pobratym",
        lang=about.locale,
        invariant=1,  # no date of making and no random id
        initialFontName=PLAIN,
    )

    def foot(canvas: canvases.Canvas, _: object) -> None:
        canvas.setFont(PLAIN, SMALL.fontSize)
        canvas.setFillColor(MUTED)
        canvas.drawString(MARGIN, 12 * MM, about.footer)
        canvas.drawRightString(PAGE[0] - MARGIN, 12 * MM, str(canvas.getPageNumber()))

    document.build(list(story), onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()


@functools.cache
def _have_fonts() -> None:
    """Let the library know our fonts, and that bold text has its own."""
    pdfmetrics.registerFont(ttfonts.TTFont(PLAIN, _FOLDER / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(ttfonts.TTFont(BOLD, _FOLDER / "DejaVuSans-Bold.ttf"))
    pdfmetrics.registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)


def _cell_style(row: int, place: int, numeric: Sequence[int], *, has_head: bool) -> ParagraphStyle:
    if has_head and row == 0:
        return HEAD
    return NUMBER if place in numeric else CELL
