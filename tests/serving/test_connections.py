"""Which connections are ended where there are too many, and which are idle for too long."""

from __future__ import annotations

import pytest

from webhook.serving.connections import FIRST_REQUEST_SECONDS, IDLE_SECONDS, Connection, Connections, Standing


class Port:
    """Connections by name, and the names of those that were ended, in order."""

    def __init__(self, most: int, *, must_prove: bool = False) -> None:
        self.connections = Connections(most, must_prove=lambda: must_prove)
        self.ended: list[str] = []
        self.gone: set[str] = set()

    def add(
        self,
        name: str,
        address: str = "10.0.0.1",
        *,
        used_at: float = 0,
        standing: Standing = Standing.REVIEWING,
        under_way: bool = False,
    ) -> None:
        end, is_over = (lambda: self.ended.append(name)), (lambda: name in self.gone)
        self.connections.add(name, Connection(address, used_at, end, is_over, standing, under_way))


def test_as_long_as_there_is_room_none_is_ended() -> None:
    port = Port(3)
    port.add("one")
    port.add("two")

    assert port.connections.make_room()
    assert port.ended == []


def test_of_the_address_with_most_the_one_that_is_idle_for_longest_goes() -> None:
    port = Port(4)
    port.add("of an API server", "10.0.0.1", used_at=1)
    port.add("idle for long", "10.0.0.9", used_at=2)
    port.add("idle", "10.0.0.9", used_at=3)
    port.add("at work", "10.0.0.9", used_at=0, under_way=True)

    assert port.connections.make_room()
    assert port.connections.make_room()
    assert port.ended == ["idle for long"]


def test_those_that_have_shown_least_go_first() -> None:
    port = Port(3)
    port.add("reviewing", used_at=1)
    port.add("a probe", used_at=2, standing=Standing.OTHER)
    port.add("silent", used_at=3, standing=Standing.NEW)

    for _ in range(2):
        assert port.connections.make_room()
        port.add("another", used_at=9)

    assert port.ended == ["silent", "a probe"]


def test_one_with_a_review_under_way_is_never_ended() -> None:
    port = Port(2)
    port.add("one", under_way=True)
    port.add("two", under_way=True)

    assert not port.connections.make_room()
    assert port.ended == []


def test_one_that_has_ended_makes_room_by_itself() -> None:
    port = Port(2)
    port.add("one")
    port.add("two")
    port.gone.add("one")

    assert port.connections.make_room()
    assert port.ended == []
    assert len(port.connections) == 1


def test_where_callers_prove_themselves_all_others_have_a_quarter() -> None:
    port = Port(16, must_prove=True)
    for number in range(4):
        port.add(f"unproven-{number}", f"10.0.1.{number}", used_at=number, standing=Standing.OTHER)
    port.add("of an API server", used_at=-1)

    assert port.connections.make_room()
    assert port.ended == ["unproven-0"]


def test_where_callers_prove_themselves_they_are_the_last_to_go() -> None:
    port = Port(8, must_prove=True)
    for number in range(7):
        port.add(f"of an API server {number}", used_at=number)
    port.add("silent", "10.0.0.9", used_at=99, standing=Standing.NEW)

    assert port.connections.make_room()
    port.add("another of an API server", used_at=100)
    assert port.connections.make_room()

    assert port.ended == ["silent", "of an API server 0"]


@pytest.mark.parametrize(
    ("standing", "seconds"),
    [(Standing.NEW, FIRST_REQUEST_SECONDS), (Standing.OTHER, IDLE_SECONDS), (Standing.REVIEWING, None)],
    ids=["silent", "a scrape", "reviewing"],
)
def test_how_long_one_may_be_idle(standing: Standing, seconds: float | None) -> None:
    port = Port(2)
    port.add("one", standing=standing)

    port.connections.end_overdue(3600 if seconds is None else seconds)
    assert port.ended == []
    if seconds is not None:
        port.connections.end_overdue(seconds + 1)
        assert port.ended == ["one"]


def test_one_with_a_review_under_way_is_not_idle() -> None:
    port = Port(2)
    port.add("one", standing=Standing.OTHER, under_way=True)

    port.connections.end_overdue(IDLE_SECONDS + 1)

    assert port.ended == []
