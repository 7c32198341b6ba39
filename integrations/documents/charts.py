"""Charts for documents on paper, drawn as lines and text: bars over time, and bars beside their names.

Names wrap and numbers stand beside their bars, so that nothing is cut off and nothing has to be read from a scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reportlab.lib import colors
from reportlab.platypus import Flowable, Table

from integrations.documents import pdf

LIGHT = colors.HexColor("#8fb4de")
_HEIGHT = 125.0
_FOOT, _TOP = 14.0, 12.0
_BAR = 9.0
_LABEL = 6.5
_BETWEEN_LABELS = 34.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A bar over time: what is below, and what is above it."""

    label: str
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class NamedBar:
    """A bar beside its name: from `start` to `end`, with a mark, and the number in words; none if it ends at 0."""

    label: str
    end: float
    said: str
    start: float = 0.0
    mark: float | None = None


class Columns(Flowable):
    """Stacked bars side by side, each with its sum above and, where there is room, its label below."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        """Draw these, left to right."""
        super().__init__()
        self._stacks = stacks
        self.width, self.height = pdf.WIDTH, _HEIGHT

    def wrap(self, *_: float) -> tuple[float, float]:
        """Take the whole width."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw the bars."""
        canvas, count = self.canv, len(self._stacks)
        most = max((stack.lower + stack.upper for stack in self._stacks), default=0) or 1
        room, scale = self.width / max(count, 1), (self.height - _FOOT - _TOP) / most
        every = max(1, -int(-_BETWEEN_LABELS // room))
        canvas.setStrokeColor(pdf.RULE)
        canvas.line(0, _FOOT, self.width, _FOOT)
        canvas.setFont(pdf.PLAIN, _LABEL)
        bar = min(room * 0.7, 40)
        for place, stack in enumerate(self._stacks):
            middle = room * (place + 0.5)
            for shade, base, size in ((pdf.ACCENT, 0.0, stack.lower), (LIGHT, stack.lower, stack.upper)):
                canvas.setFillColor(shade)
                canvas.rect(middle - bar / 2, _FOOT + base * scale, bar, size * scale, stroke=0, fill=1)
            canvas.setFillColor(pdf.INK)
            total = stack.lower + stack.upper
            if total:
                canvas.drawCentredString(middle, _FOOT + total * scale + 2.5, f"{total:.0f}")
            if place % every == 0:
                canvas.setFillColor(pdf.MUTED)
                canvas.drawCentredString(middle, 4, stack.label)


class _Bar(Flowable):
    def __init__(self, line: NamedBar, most: float, width: float) -> None:
        super().__init__()
        self._line, self._most = line, most
        self.width, self.height = width, _BAR

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        scale, line = self.width / self._most, self._line
        if not line.end:
            return
        self.canv.setFillColor(LIGHT if line.mark is not None else pdf.ACCENT)
        self.canv.rect(line.start * scale, 0, max((line.end - line.start) * scale, 0.8), _BAR, stroke=0, fill=1)
        if line.mark is not None:
            self.canv.setFillColor(pdf.ACCENT)
            self.canv.rect(max(line.mark * scale - 1, 0), -1.5, 2, _BAR + 3, stroke=0, fill=1)


def beside(lines: Sequence[NamedBar], widths: tuple[float, float, float] = (34, 46, 20)) -> Table:
    """Give bars beside their names; `widths` are the shares of name, bar and number."""
    shares = [pdf.WIDTH * share / sum(widths) for share in widths]
    most = max(line.end for line in lines) or 1
    rows = [
        [pdf.words(line.label, pdf.CELL), _Bar(line, most, shares[1] - 12), pdf.words(line.said, pdf.CELL)]
        for line in lines
    ]
    style = [
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ]
    return Table(rows, colWidths=shares, hAlign="LEFT", style=style)


def legend(*names: tuple[str, colors.Color]) -> Flowable:
    """Give what the shades of a chart stand for."""
    return _Legend(names)


class _Legend(Flowable):
    def __init__(self, names: Sequence[tuple[str, colors.Color]]) -> None:
        super().__init__()
        self._names = names
        self.width, self.height = pdf.WIDTH, 12.0

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        x = 0.0
        for name, shade in self._names:
            self.canv.setFillColor(shade)
            self.canv.rect(x, 2, 7, 7, stroke=0, fill=1)
            self.canv.setFillColor(pdf.INK)
            self.canv.setFont(pdf.PLAIN, pdf.SMALL.fontSize)
            self.canv.drawString(x + 10, 2.5, name)
            x += 10 + self.canv.stringWidth(name, pdf.PLAIN, pdf.SMALL.fontSize) + 16
