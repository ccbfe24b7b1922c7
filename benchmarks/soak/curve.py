"""
The curve of a run as an SVG picture: memory above, files, threads and reservations below, faults as marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.soak.samples import Sample

_LEFT, _WIDE, _HIGH, _GAP = 60, 800, 180, 50
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")


def drawn(samples: Sequence[Sample], faults: Sequence[tuple[float, str]]) -> str:
    """Return the picture. *faults* are seconds and names."""
    last = max(samples[-1].seconds, 1.0)
    of_memory: list[tuple[str, Callable[[Sample], float]]] = [
        ("memory, MB", lambda each: each.memory),
        ("most so far, MB", lambda each: each.peak),
    ]
    of_numbers: list[tuple[str, Callable[[Sample], float]]] = [
        ("open files", lambda each: each.files),
        ("threads", lambda each: each.threads),
        ("reservations", lambda each: each.reservations),
    ]
    marks = "".join(
        f'<line x1="{_x(at, last):.1f}" x2="{_x(at, last):.1f}" y1="25" y2="{2 * _HIGH + _GAP + 25}" '
        f'stroke="#d0d7de"><title>{name}</title></line>'
        for at, name in faults
    )
    body = [marks, *_panel(samples, of_memory, last, top=25), *_panel(samples, of_numbers, last, top=25 + _HIGH + _GAP)]
    size = f'width="{_LEFT + _WIDE + 20}" height="{2 * _HIGH + _GAP + 70}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>"]) + "\n"


def _panel(
    samples: Sequence[Sample], series: Sequence[tuple[str, Callable[[Sample], float]]], last: float, *, top: int
) -> list[str]:
    most = max(1.0, *(value(each) for _, value in series for each in samples)) * 1.1
    lines = [f'<rect x="{_LEFT}" y="{top}" width="{_WIDE}" height="{_HIGH}" fill="none" stroke="#57606a"/>']
    for part in range(5):
        y = top + _HIGH - _HIGH * part / 4
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * part / 4:.0f}</text>')
        minute = f"{last * part / 4 / 60:.0f} min"
        lines.append(f'<text x="{_LEFT + _WIDE * part / 4:.0f}" y="{top + _HIGH + 16}">{minute}</text>')
    for at, (name, value) in enumerate(series):
        points = " ".join(
            f"{_x(each.seconds, last):.1f},{top + _HIGH - _HIGH * value(each) / most:.1f}" for each in samples
        )
        colour = _COLOURS[at]
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>')
        lines.append(f'<text x="{_LEFT + 10 + 150 * at}" y="{top - 6}" fill="{colour}">{name}</text>')
    return lines


def _x(seconds: float, last: float) -> float:
    return _LEFT + _WIDE * seconds / last
