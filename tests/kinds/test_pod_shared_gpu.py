"""What a pod asks of shared GPUs by KAI Scheduler's annotations: exact, and whole devices where it is unreadable."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.building import app
from tests.oracle.building import pod as a_pod
from webhook.kinds import pod_cost
from webhook.kinds.pod_shapes import Pod
from webhook.kinds.pods import PODS
from webhook.quota import resources
from webhook.quota.devices import FRACTION, MEMORY
from webhook.quota.objects import ObjectMeta, UserInfo
from webhook.quota.quantity import NANOS
from webhook.quota.resources import Amounts

LAST = "9" * 19
"""More than an `int64` holds."""


def shared(fraction: str | None = None, memory: str | None = None, devices: str | None = None, **more: Any) -> Pod:
    written = a_pod(app(cpu="1"), **more)
    noted = {"gpu-fraction": fraction, "gpu-memory": memory, "gpu-fraction-num-devices": devices, "another": "x"}
    written["metadata"]["annotations"] = {name: value for name, value in noted.items() if value is not None}
    return msgspec.json.decode(json.dumps(written), type=Pod)


def asked(pod: Pod) -> dict[str, int | Fraction]:
    """Return the devices that the annotations ask for, by their names, as numbers of devices."""
    usage = PODS.evaluator.usage(pod, now=None)
    assert list(usage) == sorted(usage)
    return {name: Fraction(amount, NANOS) for name, amount in usage if name.startswith("annotation/")}


@pytest.mark.parametrize(
    ("fraction", "devices", "cost"),
    [
        ("0.5", None, Fraction(1, 2)),
        ("0.333", None, Fraction(333, 1000)),
        ("1", None, 1),
        ("1.0", None, 1),
        (".25", None, Fraction(1, 4)),
        ("00.50", None, Fraction(1, 2)),
        ("2.5", None, Fraction(5, 2)),
        ("0.5", "1", Fraction(1, 2)),
        ("0.5", "2", 1),
        ("0.1", "3", Fraction(3, 10)),
        ("0.5", "+2", 1),
        ("0.5", "002", 1),
        ("0.5", "0" * 300 + "8", 4),
        ("0.5", str(2**63 - 1), Fraction(2**63 - 1, 2)),
        # Finer than a billionth: rounded up, once for all devices.
        ("0.0000000001", None, Fraction(1, NANOS)),
        ("0.0000000001", "10", Fraction(1, NANOS)),
        ("0.0000000001", "11", Fraction(2, NANOS)),
        ("0.000000000000000000000000000001", None, Fraction(1, NANOS)),
    ],
)
def test_a_fraction_counts_as_it_is_written(fraction: str, devices: str | None, cost: Fraction) -> None:
    assert asked(shared(fraction, devices=devices)) == {FRACTION: cost}


UNREADABLE = {
    "empty": "",
    "zero": "0",
    "zero with decimals": "0.000",
    "negative": "-0.5",
    "with a sign": "+0.5",
    "an exponent": "5e-1",
    "hexadecimal": "0x1p-2",
    "infinite": "Inf",
    "no number": "NaN",
    "a word": "half",
    "a quotient": "1/4",
    "a percentage": "50%",
    "a quantity": "500m",
    "a point": ".",
    "two points": "0.5.0",
    "a comma": "0,5",
    "a space before": " 0.5",
    "a line after": "0.5\n",
    "an underscore": "0.2_5",
    "Arabic digits": "\u0660.\u0665",
    "full-width digits": "\uff10.\uff15",
    "33 characters": "0." + "1" * 31,
    "a million digits": "0." + "1" * 10**6,
}


@pytest.mark.parametrize("fraction", UNREADABLE.values(), ids=UNREADABLE)
def test_a_fraction_that_cannot_be_read_is_a_whole_device_each(fraction: str) -> None:
    assert asked(shared(fraction)) == {FRACTION: 1}
    assert asked(shared(fraction, devices="3")) == {FRACTION: 3}


@pytest.mark.parametrize("memory", ["2000", "1", "0", "", "-5", "2Gi", "a lot", "9" * 10**5])
def test_a_size_is_a_whole_device_each_whatever_it_says(memory: str) -> None:
    assert asked(shared(memory=memory)) == {MEMORY: 1}
    assert asked(shared(memory=memory, devices="2")) == {MEMORY: 2}


@pytest.mark.parametrize(
    "devices", ["", "0", "-2", "+", "two", "1.0", "1e3", "0x2", " 2", "2\n", "1_0", "\u0662", LAST, "9" * 10**6]
)
def test_where_the_number_of_devices_cannot_be_read_it_is_one_whole_device(devices: str) -> None:
    """KAI reads none of these either."""
    assert asked(shared("0.5", devices=devices)) == {FRACTION: 1}
    assert asked(shared("1.5", devices=devices)) == {FRACTION: Fraction(3, 2)}
    assert asked(shared(memory="100", devices=devices)) == {MEMORY: 1}


def test_of_both_annotations_each_is_there() -> None:
    """Which one counts depends on what the policy says of them."""
    assert asked(shared("0.5", "100", "2")) == {FRACTION: 1, MEMORY: 2}


def test_without_them_a_pod_asks_for_nothing() -> None:
    assert asked(shared()) == {}
    assert asked(shared(devices="4")) == {}


def test_what_resourcequota_counts_stays_as_it_is() -> None:
    pod, plain = shared("0.5", "100"), shared()
    charged = resources.amounts(pod_cost.charge(pod_cost.size_of(pod)))

    assert charged == PODS.evaluator.usage(plain, now=None)
    assert PODS.evaluator.usage(pod, now=None) == ((FRACTION, NANOS // 2), (MEMORY, NANOS), *charged)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_asks_for_nothing(phase: str) -> None:
    pod = shared("0.5", "100", status={"phase": phase})

    assert PODS.evaluator.usage(pod, now=None) == (("count/pods", NANOS),)
    assert list(PODS.evaluator.explain(pod)) == ["count/pods"]


def test_a_pod_past_its_grace_period_asks_for_nothing() -> None:
    ended = datetime(2026, 11, 1, 12, tzinfo=UTC)
    written = json.loads(msgspec.json.encode({"metadata": {"annotations": {"gpu-fraction": "0.5"}}}))
    written["metadata"] |= {"deletionTimestamp": "2026-11-01T12:00:00Z", "deletionGracePeriodSeconds": 0}
    pod = msgspec.json.decode(json.dumps(written), type=Pod)

    assert asked(pod) == {FRACTION: Fraction(1, 2)}
    assert PODS.evaluator.usage(pod, now=ended + timedelta(seconds=1)) == (("count/pods", NANOS),)


def test_it_is_explained_with_the_rest() -> None:
    lines = PODS.evaluator.explain(shared("0.25", devices="2"))

    assert str(lines[FRACTION].quantity) == "500m"
    assert lines.keys() == {FRACTION, "count/pods", "pods", "requests.cpu"}


def test_pods_that_differ_in_an_annotation_alone_are_not_taken_for_one() -> None:
    variants = [shared(), shared("0.5"), shared("0.25"), shared(memory="0.5"), shared("0.5", devices="2")]

    assert len({pod_cost.amounts_of(each) for each in variants}) == len(variants)


def test_equal_ones_are_computed_once_and_long_ones_are_not_kept() -> None:
    def of(fraction: str) -> Amounts:
        return pod_cost.amounts_of(shared(fraction))

    assert of("0.5") is of("0.5")
    assert of("1" * 5000) == of("1" * 5000)
    assert of("1" * 5000) is not of("1" * 5000)


# Laws.


@given(st.integers(0, 10**6), st.text("0123456789", max_size=20), st.one_of(st.none(), st.integers(1, 2**63 - 1)))
def test_a_pod_costs_its_fraction_times_its_devices_and_less_than_a_billionth_more(
    whole: int, decimals: str, devices: int | None
) -> None:
    written = f"{whole}.{decimals}"
    exact = (Fraction(written) or 1) * (devices or 1)
    cost = asked(shared(written, devices=None if devices is None else str(devices)))[FRACTION]

    assert cost == Fraction(math.ceil(exact * NANOS), NANOS)
    assert 0 <= cost - exact < Fraction(1, NANOS)


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.none() | st.text(max_size=40))
def test_any_text_counts_as_something(fraction: str, memory: str | None, devices: str | None) -> None:
    cost = asked(shared(fraction, memory, devices))

    assert all(number > 0 for number in cost.values())
    assert len(cost) == 1 + (memory is not None)


@pytest.mark.parametrize(
    ("before", "after", "is_less"),
    [
        ({"gpu-fraction": "0.5"}, {"gpu-fraction": "0.5"}, False),
        ({"gpu-fraction": "0.5"}, {"gpu-fraction": "0.75"}, False),
        ({"gpu-fraction": "0.5"}, {"gpu-fraction": "0.49"}, True),
        ({"gpu-fraction": "0.5"}, {}, True),
        ({"gpu-fraction": "0.5"}, {"gpu-memory": "2000"}, True),
        ({"gpu-fraction": "0.5", "gpu-fraction-num-devices": "2"}, {"gpu-fraction": "0.5"}, True),
        ({"gpu-memory": "2000"}, {"gpu-memory": "1"}, False),
        ({}, {"gpu-fraction": "0.5"}, False),
        ({}, {}, False),
    ],
)
def test_what_annotations_ask_for_cannot_be_made_smaller(
    before: dict[str, str], after: dict[str, str], *, is_less: bool
) -> None:
    old, new = (msgspec.convert({"annotations": each}, ObjectMeta) for each in (before, after))
    user = UserInfo("alice")

    assert (PODS.evaluator.forgery(new, old, user) is not None) is is_less
    assert PODS.evaluator.forgery(new, None, user) is None
