"""What counts as flat, on series that are made up; and the picture."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from benchmarks.soak import curve, samples
from benchmarks.soak.samples import Sample


def series(minutes: int, memory: Callable[[float], float]) -> list[Sample]:
    """Return a sample every ten seconds; *memory* is in MB, of hours."""
    chance = random.Random(1)  # noqa: S311 - only noise
    return [
        Sample(at, memory(at / 3600) + chance.gauss(0, 0.2), 90.0, 30 + chance.randrange(8), 6, 1, 300, at, 8)
        for at in range(0, minutes * 60 + 1, 10)
    ]


def ended(run: list[Sample]) -> list[Sample]:
    """Nothing is reserved in the end."""
    return [*run, replace(run[-1], seconds=run[-1].seconds + 10, reservations=0)]


def warm(hours: float) -> float:
    """Rise in the first half hour only, as caches fill."""
    return 70 + 20 * min(hours, 0.5)


def test_a_flat_run_has_no_troubles() -> None:
    assert samples.troubles(ended(series(120, warm))) == []


def test_a_leak_is_found() -> None:
    (found,) = samples.troubles(ended(series(120, lambda hours: warm(hours) + 4 * hours)))
    assert found.startswith("memory grows: +4.")


@pytest.mark.parametrize("minutes", [2, 12])
def test_a_short_run_proves_nothing(minutes: int) -> None:
    (found,) = samples.troubles(ended(series(minutes, lambda _: 70)))
    assert found.startswith("whether memory grows could not be told")


def test_files_that_are_lost_are_found() -> None:
    run = [replace(each, files=each.files + int(each.seconds) // 400) for each in series(120, warm)]
    assert samples.troubles(ended(run)) == [
        "open files grow: 5 more in the last quarter than in the one before",
    ]


def test_files_that_jump_are_found() -> None:
    run = series(120, warm)
    run[-40] = replace(run[-40], files=70)
    assert samples.troubles(ended(run)) == ["open files differ by 40, at most 30 is flat"]


def test_threads_that_are_added_are_found() -> None:
    run = [replace(each, threads=6 + int(each.seconds) // 1000) for each in series(120, warm)]
    assert samples.troubles(ended(run)) == ["threads differ by 4, at most 2 is flat"]


def test_reservations_that_are_left_are_found() -> None:
    assert samples.troubles(series(120, warm)) == ["1 reservations are left after the load has ended"]


def test_each_sample_is_written_on_a_line() -> None:
    head, *lines = samples.as_text(series(3, warm)).splitlines()
    assert head == "seconds,memory,peak,files,threads,reservations,pods,people,namespaces"
    assert [float(each.split(",")[0]) for each in lines] == list(range(0, 181, 10))


def test_the_table_has_the_first_and_the_last_sample() -> None:
    lines = samples.table(series(120, warm))
    assert [lines[2].split("|")[1].strip(), lines[-1].split("|")[1].strip()] == ["0.0", "120.0"]


def test_the_picture_has_a_line_for_each_series_and_a_mark_for_each_fault() -> None:
    root = ET.fromstring(curve.drawn(series(3, warm), [(30.0, "cut"), (90.0, "kill")]))  # noqa: S314 - ours
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 5
    assert [each.findtext(f"{space}title") for each in root.findall(f"{space}line")] == ["cut", "kill"]
