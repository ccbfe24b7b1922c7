"""The second names that DeviceClasses give to their devices."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from webhook.kube.device_classes import DeviceClass, DeviceClassMeta, DeviceClassSpec, ExtendedNames, second_names

IMPLICIT = "requests.deviceclass.resource.kubernetes.io/"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def a_class(name: str, extended: str | None = None, *, created: str = EARLY) -> DeviceClass:
    return DeviceClass(DeviceClassMeta(name, "5", created), DeviceClassSpec(extended))


def test_a_class_and_its_extended_resource_are_names_of_the_same_devices() -> None:
    names = second_names([a_class("big", "example.com/gpu"), a_class("plain")])

    assert names == {f"{IMPLICIT}big": "requests.example.com/gpu", "requests.example.com/gpu": f"{IMPLICIT}big"}


@pytest.mark.parametrize(
    ("classes", "taken"),
    [
        ([a_class("a", "example.com/gpu"), a_class("b", "example.com/gpu", created=LATE)], "b"),
        ([a_class("a", "example.com/gpu", created=LATE), a_class("b", "example.com/gpu")], "a"),
        ([a_class("a", "example.com/gpu"), a_class("b", "example.com/gpu")], "a"),
        ([a_class("b", "example.com/gpu"), a_class("a", "example.com/gpu")], "a"),
    ],
    ids=["the younger", "the younger, named before", "of equally old ones the first", "in whatever order"],
)
def test_of_classes_with_one_extended_resource_the_scheduler_takes_one(classes: list[DeviceClass], taken: str) -> None:
    names = second_names(classes)

    assert names["requests.example.com/gpu"] == f"{IMPLICIT}{taken}"
    assert names[f"{IMPLICIT}a"] == names[f"{IMPLICIT}b"] == "requests.example.com/gpu"


class Stage:
    """A sink, and what it has told."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, str]] = []
        self.names = ExtendedNames(on_change=self.told.append)

    def listed(self, *classes: DeviceClass) -> None:
        self.names.started()
        for each in classes:
            self.names.seen(each)
        self.names.synced(9)


def test_a_list_is_told_once_and_as_a_whole() -> None:
    stage = Stage()

    stage.listed(a_class("big", "example.com/gpu"), a_class("small", "example.com/part"))
    stage.listed(a_class("small", "example.com/part"))

    both = second_names([a_class("big", "example.com/gpu"), a_class("small", "example.com/part")])
    assert stage.told == [both, second_names([a_class("small", "example.com/part")])]


def test_what_changes_afterwards_is_told_and_nothing_else() -> None:
    stage = Stage()
    stage.listed(a_class("plain"))
    assert stage.told == []

    stage.names.seen(a_class("big", "example.com/gpu"))
    stage.names.seen(a_class("plain", created=LATE))
    stage.names.seen(a_class("big", "example.com/card"))
    stage.names.gone(a_class("big", "example.com/card"))

    assert [each.get(f"{IMPLICIT}big") for each in stage.told] == [
        "requests.example.com/gpu",
        "requests.example.com/card",
        None,
    ]


def test_a_class_that_goes_while_a_list_is_under_way_is_not_kept() -> None:
    stage = Stage()

    stage.names.started()
    stage.names.seen(a_class("big", "example.com/gpu"))
    stage.names.gone(a_class("big", "example.com/gpu"))
    stage.names.synced(9)

    assert stage.told == []
