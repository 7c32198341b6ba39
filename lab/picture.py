"""The picture of a simulation, as SVG written by hand: no script, no font of its own, 30 kB at most.

For each behaviour two panels: what share of the requests was answered within so many hours, and what share of the cases
the busiest mentors took; one line a policy.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from lab.measures import CURVE_HOURS

_WIDE, _HIGH, _GAP, _TOP = 340, 170, 60, 46
_COLOURS = ("#0b3d91", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#a16207", "#be123c", "#374151", "#000000")
_FONT = 'font-family="sans-serif" font-size="11"'
Curve = Sequence[float]


def draw(curves: Mapping[str, Mapping[str, tuple[Curve, Curve]]]) -> str:
    """Draw, by behaviour and policy, the shares answered by hour and those of the busiest parts; either may be ()."""
    policies = list(dict.fromkeys(policy for of_behaviour in curves.values() for policy in of_behaviour))
    height = _TOP + len(curves) * (_HIGH + _GAP) + 10
    width = 2 * (_WIDE + _GAP) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {_FONT}>',
        "<title>A simulated year: how soon requests are answered, and how the cases are shared out</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, policy in enumerate(policies):
        x, colour = _GAP + place * 84, _COLOURS[place % len(_COLOURS)]
        lines.append(f'<path d="M{x} 16h16" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{x + 20}" y="20">{escape(policy)}</text>')
    for row, (behaviour, of_behaviour) in enumerate(curves.items()):
        top = _TOP + row * (_HIGH + _GAP)
        by_hour = {policy: pair[0] for policy, pair in of_behaviour.items()}
        by_part = {policy: pair[1] for policy, pair in of_behaviour.items()}
        answered = f"{behaviour}: answered within hours, of 100"
        lines += _panel(_GAP, top, answered, (0, CURVE_HOURS[-1]), by_hour, policies)
        busiest = f"{behaviour}: cases of the busiest mentors, of 100"
        lines += _panel(_GAP + _WIDE + _GAP, top, busiest, (0, 100), by_part, policies)
    return "\n".join([*lines, "</svg>", ""])


def _panel(
    left: int, top: int, title: str, ends: tuple[int, int], curves: Mapping[str, Curve], policies: Sequence[str]
) -> list[str]:
    bottom = top + _HIGH
    lines = [
        f'<text x="{left}" y="{top - 6}" font-weight="bold">{escape(title)}</text>',
        f'<path d="M{left} {top}V{bottom}H{left + _WIDE}" fill="none" stroke="#888"/>',
    ]
    for quarter in range(5):
        x, y = left + quarter * _WIDE // 4, bottom - quarter * _HIGH // 4
        at = ends[0] + quarter * (ends[1] - ends[0]) // 4
        lines.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{at}</text>')
        lines.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{25 * quarter}</text>')
    for policy, curve in curves.items():
        if not curve:
            continue
        last = len(curve) - 1
        points = [(place * _WIDE // last, -round(share * _HIGH)) for place, share in enumerate(curve)]
        steps = " ".join(f"{x - before_x} {y - before_y}" for (before_x, before_y), (x, y) in pairwise(points))
        colour = _COLOURS[policies.index(policy) % len(_COLOURS)]
        begin = f"M{left + points[0][0]} {bottom + points[0][1]}"
        lines.append(f'<path d="{begin}l{steps}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return lines
