"""The ratio in which pods ask for what nodes of a class have, exactly, and what would be in it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.quota.quantity import NANOS, parse
from webhook.quota.resources import Amount
from webhook.quota.shapes import Shape


def amounts(cpu: str = "", memory: str = "", gpu: Fraction | int = 0, **raw: int) -> dict[str, Amount]:
    asked = {"requests.cpu": cpu, "requests.memory": memory}
    found: dict[str, Amount] = {name: parse(text).nanos for name, text in asked.items() if text}
    found |= {"gpu": gpu * NANOS} if gpu else {}
    return found | {f"requests.example.com/{name}": each * NANOS for name, each in raw.items()}


def a_shape(tolerance: Fraction | int = 0, **unit: object) -> Shape:
    return Shape(tuple(sorted(amounts(**unit).items())), Fraction(tolerance))  # type: ignore[arg-type]


H100 = a_shape(cpu="8", memory="480Gi", gpu=1)
PLAIN = a_shape(cpu="3", memory="8Gi")
TWENTIETH = a_shape(Fraction(1, 20), cpu="8", memory="480Gi", gpu=1)
TWO = a_shape(gpu=8, nic=1)
ODD = a_shape(cpu="2", memory="2032Mi", nic=3)

HALF = Fraction(1, 2)
CASES: dict[str, tuple[Shape, dict[str, Amount], bool, dict[str, Amount] | None]] = {
    "one unit": (H100, amounts("8", "480Gi", 1), True, None),
    "several": (H100, amounts("24", "1440Gi", 3), True, None),
    "a part of one": (H100, amounts("4", "240Gi", Fraction(1, 2)), True, None),
    "what is not in the unit": (H100, amounts("8", "480Gi", 1, nic=7), True, None),
    "too little cpu for a device": (H100, amounts("4", "480Gi", 1), False, amounts("8", "480Gi", 1)),
    "too much": (H100, amounts("16", "480Gi", 1), False, amounts("8", "480Gi", 1)),
    "a thousandth of a core more": (H100, amounts("8001m", "480Gi", 1), False, amounts("8", "480Gi", 1)),
    "a byte more": (H100, amounts("8", str(480 * 2**30 + 1), 1), False, amounts("8", "480Gi", 1)),
    "a byte less": (H100, amounts("8", str(480 * 2**30 - 1), 1), False, amounts("8", "480Gi", 1)),
    "half a device with all the rest": (H100, amounts("8", "480Gi", HALF), False, amounts("4", "240Gi", HALF)),
    "no device at all": (H100, amounts("12", "480Gi"), False, amounts("16", "960Gi", 2)),
    "a device alone": (H100, amounts(gpu=2), False, amounts("16", "960Gi", 2)),
    "nothing": (H100, {}, False, amounts("8", "480Gi", 1)),
    "without devices any part": (PLAIN, amounts("1500m", "4Gi"), True, None),
    "as much as of the most": (PLAIN, amounts("1500m", "1Gi"), False, amounts("1500m", "4Gi")),
    "a third of a byte cannot be asked for": (PLAIN, amounts("1", "2863311531"), True, None),
    "nor a third of a thousandth": (PLAIN, amounts("376m", str(2**30 + 1)), True, None),
    "up to the next thousandth": (PLAIN, amounts("375m", "1Gi"), True, None),
    "within the tolerance": (TWENTIETH, amounts("8400m", "504Gi", 1), True, None),
    "a little beyond": (TWENTIETH, amounts("8401m", "480Gi", 1), False, amounts("8", "480Gi", 1)),
    "less is measured by the others": (TWENTIETH, amounts("7500m", "480Gi", 1), False, amounts("8", "480Gi", 1)),
    "a device that is a part of one": (
        ODD,
        amounts("2", "2032Mi", nic=1),
        False,
        amounts("667m", "710235478", nic=1),
    ),
    "no half of another device": (TWO, amounts(gpu=4), False, amounts(gpu=8, nic=1)),
    "of odd memory": (ODD, amounts("4", "4064Mi", nic=6), True, None),
}


@pytest.mark.parametrize(("shape", "asked", "holds", "nearest"), CASES.values(), ids=CASES)
def test_a_pod_has_the_ratio_of_the_unit(
    shape: Shape, asked: dict[str, Amount], holds: bool, nearest: dict[str, Amount] | None
) -> None:
    assert shape.holds(asked) is holds
    if nearest is not None:
        assert dict(shape.nearest(asked)) == nearest
        assert shape.holds(nearest)


def test_a_shape_is_told_with_its_tolerance() -> None:
    assert str(H100) == "gpu=1,requests.cpu=8,requests.memory=480Gi"
    assert str(TWENTIETH) == "gpu=1,requests.cpu=8,requests.memory=480Gi within 5%"


CORES = st.integers(1, 10**6).map(lambda millis: millis * (NANOS // 1000))
BYTES = st.integers(1, 2**40).map(lambda each: each * NANOS)
WHOLE = st.integers(1, 64).map(lambda each: each * NANOS)
PARTS = st.fractions(Fraction(1, 7), 64, max_denominator=7).map(lambda each: each * NANOS)
NIC = "requests.example.com/nic"
UNITS = st.fixed_dictionaries({"requests.cpu": CORES, "requests.memory": BYTES}, optional={"gpu": WHOLE, NIC: WHOLE})
ASKED = st.fixed_dictionaries({}, optional={"requests.cpu": CORES, "requests.memory": BYTES, "gpu": PARTS, NIC: WHOLE})


@given(UNITS, ASKED, st.integers(0, 100))
def test_what_is_said_to_be_in_shape_is(unit: dict[str, Amount], asked: dict[str, Amount], percent: int) -> None:
    shape = Shape(tuple(sorted(unit.items())), Fraction(percent, 100))
    nearest = dict(shape.nearest(asked))
    assert shape.holds(nearest)
    assert all(amount % NANOS == 0 for name, amount in nearest.items() if name.endswith(("memory", "nic")))
    assert all(amount % (NANOS // 1000) == 0 for name, amount in nearest.items() if name.endswith("cpu"))


@given(UNITS, st.integers(1, 1000))
def test_any_number_of_units_is_in_shape(unit: dict[str, Amount], number: int) -> None:
    shape = Shape(tuple(sorted(unit.items())))
    assert shape.holds({name: amount * number for name, amount in unit.items()})
