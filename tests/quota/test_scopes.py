"""Which scopes select an object, as ResourceQuota selects it."""

from __future__ import annotations

import pytest

from webhook.quota.scopes import Operator, Requirement, Scopes, Selector, valued

POD: Scopes = ("NotBestEffort", "NotTerminating", "PriorityClass=high")
PLAIN_POD: Scopes = ("BestEffort", "CrossNamespacePodAffinity", "PriorityClass", "Terminating")
CLAIM: Scopes = ("VolumeAttributesClass=fast", "VolumeAttributesClass=slow")
PLAIN_CLAIM: Scopes = ("VolumeAttributesClass",)
OTHER: Scopes = ()


def priority(operator: Operator, *values: str) -> Requirement:
    return Requirement("PriorityClass", operator, values)


def volume(operator: Operator, *values: str) -> Requirement:
    return Requirement("VolumeAttributesClass", operator, values)


@pytest.mark.parametrize(
    ("requirement", "selected"),
    [
        (Requirement("BestEffort"), {PLAIN_POD}),
        (Requirement("NotBestEffort"), {POD}),
        (Requirement("Terminating"), {PLAIN_POD}),
        (Requirement("NotTerminating"), {POD}),
        (Requirement("CrossNamespacePodAffinity"), {PLAIN_POD}),
        (Requirement("PriorityClass"), {POD}),
        (priority(Operator.EXISTS), {POD}),
        (priority(Operator.DOES_NOT_EXIST), {PLAIN_POD}),
        (priority(Operator.IN, "high", "low"), {POD}),
        (priority(Operator.IN, "low"), set()),
        (priority(Operator.NOT_IN, "low"), {POD, PLAIN_POD}),
        (priority(Operator.NOT_IN, "high"), {PLAIN_POD}),
        (volume(Operator.EXISTS), {CLAIM}),
        (volume(Operator.IN, "slow"), {CLAIM}),
        (volume(Operator.NOT_IN, "slow"), {CLAIM, PLAIN_CLAIM}),
        (volume(Operator.NOT_IN, "slow", "fast"), {PLAIN_CLAIM}),
        (volume(Operator.DOES_NOT_EXIST), {PLAIN_CLAIM}),
    ],
    ids=str,
)
def test_what_a_requirement_selects(requirement: Requirement, selected: set[Scopes]) -> None:
    objects = (POD, PLAIN_POD, CLAIM, PLAIN_CLAIM, OTHER)

    assert {each for each in objects if requirement.holds(each)} == selected


def test_all_requirements_have_to_hold() -> None:
    both = Selector.of([Requirement("NotTerminating"), priority(Operator.IN, "high")])

    assert both.selects(POD)
    assert not both.selects(PLAIN_POD)
    assert not Selector.of([Requirement("Terminating"), priority(Operator.IN, "high")]).selects(POD)


def test_equal_selectors_are_equal_in_whatever_order_they_are_written() -> None:
    one, other = Requirement("BestEffort"), priority(Operator.IN, "a", "b")

    assert Selector.of([one, other, one]) == Selector.of([other, one])
    assert str(Selector.of([other, one])) == "BestEffort, PriorityClass In (a,b)"


def test_the_scopes_of_values() -> None:
    assert valued("PriorityClass", []) == ("PriorityClass",)
    assert valued("VolumeAttributesClass", ["b", "a", "b"]) == ("VolumeAttributesClass=a", "VolumeAttributesClass=b")
