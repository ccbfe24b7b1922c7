"""The members that Group objects list, from events as an API server sends them."""

from __future__ import annotations

import json
import time

import pytest

from webhook.kube.group_objects import GroupMembers, GroupObject
from webhook.kube.reflector import Undecodable
from webhook.kube.reflector.events import Added, Decoder
from webhook.quota.membership import GroupsByMember

decoder = Decoder(GroupObject)


def a_group(name: str, *users: str | None, **fields: object) -> GroupObject:
    body = {"kind": "Group", "metadata": {"name": name, "resourceVersion": "5"}, "users": list(users), **fields}
    event = decoder.event(json.dumps({"type": "ADDED", "object": body}).encode())
    assert isinstance(event, Added)
    item: GroupObject = event.object
    return item


def unreadable(name: str, *, is_gone: bool = False) -> Undecodable:
    event = decoder.event(
        json.dumps(
            {
                "type": "DELETED" if is_gone else "MODIFIED",
                "object": {"metadata": {"name": name, "resourceVersion": "6"}, "users": {"alice": True}},
            }
        ).encode()
    )
    assert isinstance(event, Undecodable)
    return event


class Stage:
    """A sink, and what it told last; `changed` are all that it told of."""

    def __init__(self) -> None:
        self.groups: GroupsByMember = {}
        self.changed: list[set[str]] = []
        self.members = GroupMembers(on_change=self._take)

    def _take(self, groups: GroupsByMember, changed: frozenset[str]) -> None:
        self.groups = groups
        self.changed.append(set(changed))

    def list(self, *groups: GroupObject | Undecodable) -> None:
        self.members.started()
        for each in groups:
            if isinstance(each, Undecodable):
                self.members.undecodable(each)
            else:
                self.members.seen(each)
        self.members.synced(9)


def names(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_a_list_is_told_once_and_as_a_whole() -> None:
    stage = Stage()

    stage.list(a_group("ml", "alice", "bob"), a_group("staff", "bob"), a_group("none"))

    assert stage.groups == {"alice": names("ml"), "bob": names("ml", "staff")}
    assert stage.changed == [{"alice", "bob"}]


def test_a_list_replaces_what_was_known_and_tells_of_the_difference() -> None:
    stage = Stage()
    stage.list(a_group("ml", "alice", "bob"), a_group("staff", "bob"))

    stage.list(a_group("ml", "bob", "carol"))

    assert stage.groups == {"bob": names("ml"), "carol": names("ml")}
    assert stage.changed[1:] == [{"alice", "bob", "carol"}]


def test_a_list_that_begins_again_forgets_its_first_half() -> None:
    stage = Stage()
    stage.members.started()
    stage.members.seen(a_group("ml", "alice"))
    assert stage.changed == []

    stage.list(a_group("ml", "bob"))

    assert stage.groups == {"bob": names("ml")}


def test_what_goes_while_a_list_is_under_way_is_gone() -> None:
    stage = Stage()
    stage.members.started()
    stage.members.seen(a_group("ml", "alice"))
    stage.members.gone(a_group("ml", "alice"))
    stage.members.synced(9)

    assert stage.groups == {}


def test_members_who_come_and_go_are_told_and_nobody_else() -> None:
    stage = Stage()
    stage.list(a_group("ml", "alice"), a_group("staff", "alice"))

    stage.members.seen(a_group("ml", "alice", "bob"))
    assert (stage.groups["bob"], stage.changed[-1]) == (names("ml"), {"bob"})
    stage.members.seen(a_group("ml", "bob"))
    assert (stage.groups["alice"], stage.changed[-1]) == (names("staff"), {"alice"})
    told = len(stage.changed)
    stage.members.seen(a_group("ml", "bob", metadata={"name": "ml", "resourceVersion": "9", "labels": {"a": "b"}}))
    assert len(stage.changed) == told
    stage.members.gone(a_group("ml", "bob"))
    assert stage.groups == {"alice": names("staff")}
    stage.members.gone(a_group("ml", "bob"))
    assert len(stage.changed) == told + 1


def test_what_was_told_stays_as_it_was_told() -> None:
    stage = Stage()
    stage.list(a_group("ml", "alice"))
    told = stage.groups

    stage.members.gone(a_group("ml", "alice"))

    assert told == {"alice": names("ml")}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (a_group("ml", users=None), {}),
        (a_group("ml", users=[]), {}),
        (a_group("ml", "", None, "alice", "alice"), {"alice": {"ml"}}),
        (a_group("ML", "Alice", "alice"), {"Alice": {"ML"}, "alice": {"ML"}}),
        (a_group("CN=ml,OU=x", 'a "b"\n', " alice "), {'a "b"\n': {"CN=ml,OU=x"}, " alice ": {"CN=ml,OU=x"}}),
    ],
    ids=["null users", "no users", "null and empty names, and one twice", "capital letters", "odd names"],
)
def test_odd_groups(group: GroupObject, expected: dict[str, set[str]]) -> None:
    stage = Stage()
    stage.list(group)

    assert stage.groups == expected


def test_a_group_without_the_field_lists_nobody() -> None:
    event = decoder.event(b'{"type": "ADDED", "object": {"metadata": {"name": "ml", "resourceVersion": "5"}}}')
    assert isinstance(event, Added)

    assert event.object.members == frozenset()


def test_a_group_that_cannot_be_read_is_known_as_such_until_it_can_be_or_is_gone() -> None:
    stage = Stage()
    stage.list(a_group("ml", "alice"), unreadable("staff"))
    assert stage.members.unreadable == {"staff"}

    stage.members.undecodable(unreadable("ml"))
    assert stage.members.unreadable == {"ml", "staff"}
    assert stage.groups == {}
    stage.members.seen(a_group("ml", "bob"))
    assert stage.members.unreadable == {"staff"}
    assert stage.groups == {"bob": names("ml")}
    stage.members.undecodable(unreadable("staff", is_gone=True))
    assert stage.members.unreadable == frozenset()


def test_a_list_without_it_ends_that_a_group_cannot_be_read() -> None:
    stage = Stage()
    stage.list(unreadable("staff"))
    stage.members.started()
    assert stage.members.unreadable == {"staff"}
    stage.members.synced(9)
    assert stage.members.unreadable == frozenset()


def test_large_groups_take_linear_time() -> None:
    """
    A list of many groups with all people in each, then one who leaves: eight times as much takes less than 40 times as
    long, where quadratic work takes 64 times.
    """

    def seconds(groups: int, users: int) -> float:
        stage = Stage()
        everybody = [f"user-{number}" for number in range(users)]
        listed = [a_group(f"group-{number}", *everybody) for number in range(groups)]
        begun = time.process_time()
        stage.list(*listed)
        stage.members.seen(a_group("group-0", *everybody[1:]))
        took = time.process_time() - begun
        assert len(stage.groups["user-0"]) == groups - 1
        assert stage.changed[1:] == [{"user-0"}]
        return took

    for small, large in (((10, 1250), (10, 10_000)), ((500, 10), (4000, 10))):
        before = min(seconds(*small) for _ in range(5))
        assert min(seconds(*large) for _ in range(5)) < 40 * before
