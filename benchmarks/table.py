"""
Prints the table: for a terminal, and for Markdown, which reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks import figures
from benchmarks.contestants import OURS
from benchmarks.figures import Figure, Row

_HEAD = ("id", "what", OURS, "against", "its figure", "ratio", "target", "met")
_RIGHT = {2, 4, 5, 6}
_QUIET_MS = 1.0


def render(raw: Mapping[str, Any]) -> str:
    """Return the table, the versions compared, the machine and its noise."""
    return "\n".join([*markdown(figures.rows(raw)), "", *_notes(raw), ""])


def markdown(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table itself."""
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    ruler = tuple(f"{'-' * (width - 1)}:" if at in _RIGHT else "-" * width for at, width in enumerate(widths))
    return [_line(line, widths) for line in (lines[0], ruler, *lines[1:])]


def _cells(row: Row) -> tuple[str, ...]:
    sign = "<=" if row.is_ceiling else ">="
    return (
        row.id,
        row.what,
        _shown(row.ours),
        row.against,
        _shown(row.other),
        f"{row.ratio:.2f}",
        f"{sign} {row.target:g}" if row.target is not None else "",
        {True: "yes", False: "NO", None: ""}[row.is_met],
    )


def _shown(figure: Figure) -> str:
    value = _number(figure.value)
    if figure.low == figure.high:
        return f"{value} {figure.unit}".rstrip()
    return f"{value} {figure.unit}".rstrip() + f" ({_number(figure.low)} to {_number(figure.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    fitted = (
        cell.rjust(width) if at in _RIGHT else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(fitted)} |"


def _notes(raw: Mapping[str, Any]) -> Iterator[str]:
    if "wire" in raw:
        yield from _notes_on_the_wire(raw)
    if "kinds" in raw:
        yield from _notes_on_kinds(raw["kinds"])
    yield quietness([noise for part in ("wire", "kinds") for noise in raw.get(part, {}).get("noise", ())])
    yield from origin(raw)


def _notes_on_the_wire(raw: Mapping[str, Any]) -> Iterator[str]:
    plan = raw["plan"]
    yield (
        f"Medians of {plan['rounds']} rounds of {plan['seconds']:g} s (lowest to highest); all taking turns; "
        f"{plan['connections']} connections kept alive, TLS 1.3; CPU is user and system time of the server per review."
    )
    yield f"Bodies: {_sizes(raw['body_bytes'])}."
    yield _busyness(raw["wire"]["runs"])


def _notes_on_kinds(raw: Mapping[str, Any]) -> Iterator[str]:
    turns = max(map(len, raw["decision_us"].values()))
    yield (
        f"Kinds: medians of {turns} turns, one kind after the other, beside {raw['objects']:_} of each; ".replace(
            "_", " "
        )
        + f"memory: of {len(raw['memory'])} processes each. Bodies: {_sizes(raw['body_bytes'])}."
    )


def _sizes(bodies: Mapping[str, int]) -> str:
    return "; ".join(f"{what} {length / 1000:.1f} kB" for what, length in bodies.items())


def origin(raw: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines about versions and the machine."""
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in raw["versions"].items()) + "."
    yield f"Machine: {raw['machine']['cpu']}, {raw['machine']['cpus']} CPUs used, Linux {raw['machine']['kernel']}."


def quietness(noises: list[Mapping[str, float]]) -> str:
    """Return the line about the noise, which limits what absolute times mean."""
    longest = max(noise["longest_ms"] for noise in noises)
    gaps = sum(noise["gaps_above_1ms"] for noise in noises) / sum(noise["seconds"] for noise in noises)
    lost = median(noise["lost_share"] for noise in noises)
    verdict = (
        "quiet" if longest < _QUIET_MS else "NOT quiet: read the ratios, and the spread, and leave absolute times alone"
    )
    return (
        f"Noise floor: a thread that only spins lost {lost:.1%} of its time, {longest:.2g} ms at most at once, "
        f"{gaps:.2g} gaps above 1 ms a second: {verdict}."
    )


def _busyness(runs: list[Mapping[str, Any]]) -> str:
    names = sorted({run["contestant"] for run in runs})
    shares = {
        name: median(run["busy"] for run in runs if run["contestant"] == name and run["rate"] == 0) for name in names
    }
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"Share of the core that the server had when saturated: {told}. Well below 100 % means that others took it."
