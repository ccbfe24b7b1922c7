"""How what is in flight ages while API servers work, stand still, go away or cannot be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock
from webhook.ledger.apiserver_leases import ApiServerLeases
from webhook.ports import UnavailableError

UNREACHED = UnavailableError("api-server", "connection refused")
BETWEEN_RENEWALS = 10.4
"""Seconds at most: the API server's ten, and its jitter of 4 %."""

LOSSES_BEFORE_CLAIM = 20.0
HELD = 40.0


class EndOfTimeError(Exception):
    """The time of the test is over."""


class Cluster:
    """API servers that renew their Leases by a clock, as long as they work and are there, and the pulse of them."""

    def __init__(self, *servers: str) -> None:
        self.clock = FakeClock()
        self.began = self.clock.seconds
        self.still: set[str] = set()
        self.servers: dict[str, float] = dict.fromkeys(servers, self.began)
        self.is_reachable = True
        self.seconds_per_look = 0.0
        self.troubles: list[str] = []
        self.changes: list[str] = []
        self.pulse = ApiServerLeases(
            self._renewals,
            monotonic=self.clock.monotonic,
            on_trouble=lambda error: self.troubles.append(error.reason),
            on_change=lambda condition: self.changes.append(condition.message),
            sleep=self._sleep,
        )
        self._until = 0.0

    async def live(self, seconds: float) -> float:
        """Let so much time pass; give how much of it counted."""
        before = self.pulse.time()
        self._until = self.clock.seconds + seconds
        with pytest.raises(EndOfTimeError):
            await self.pulse.run()
        return self.pulse.time() - before

    async def _renewals(self) -> Mapping[str, str]:
        self._pass_by(self.seconds_per_look)
        if not self.is_reachable:
            raise UNREACHED
        return {name: str(renewed) for name, renewed in self.servers.items()}

    async def _sleep(self, seconds: float) -> None:
        self._pass_by(min(seconds, self._until - self.clock.seconds))
        if self.clock.seconds >= self._until:
            raise EndOfTimeError

    def _pass_by(self, seconds: float) -> None:
        self.clock.pass_by(max(0.0, seconds))
        for name, renewed in self.servers.items():
            if name not in self.still:
                lived = self.clock.seconds - self.began
                self.servers[name] = max(renewed, self.began + lived // BETWEEN_RENEWALS * BETWEEN_RENEWALS)


async def test_while_all_api_servers_renew_their_leases_every_second_counts() -> None:
    cluster = Cluster("one", "two", "three")
    assert await cluster.live(3600) == pytest.approx(3600)
    assert (cluster.troubles, cluster.changes) == ([], [])


@pytest.mark.parametrize("servers", [(), ("one",)], ids=["of none", "of one"])
async def test_nothing_is_awaited_of_api_servers_that_have_no_lease(servers: Sequence[str]) -> None:
    cluster = Cluster(*servers)
    assert await cluster.live(100) == pytest.approx(100)
    cluster.servers.clear()
    assert await cluster.live(3600) == pytest.approx(3600)


async def test_when_one_of_several_stands_still_time_stops_before_half_of_what_is_held_is_over() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    assert await cluster.live(HELD) <= LOSSES_BEFORE_CLAIM
    assert await cluster.live(200) == 0
    cluster.still = set()
    assert await cluster.live(BETWEEN_RENEWALS + 5) > 0
    assert await cluster.live(100) == pytest.approx(100)


async def test_of_two_that_stand_still_in_turn_the_time_of_neither_counts() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"one", "two"}
    await cluster.live(60)
    cluster.still = {"two"}
    assert await cluster.live(60) == 0
    cluster.still = {"one"}
    assert await cluster.live(60) <= 2 * BETWEEN_RENEWALS


async def test_it_is_told_who_stands_still_and_when_it_is_over() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    await cluster.live(60)
    still = cluster.pulse.condition().message
    assert still == "not renewed, so that nothing in flight is let go: the Leases two in kube-system"
    cluster.still = set()
    await cluster.live(30)
    assert cluster.pulse.condition().ok
    assert cluster.changes == [still, ""]
    assert set(cluster.troubles) == {"api-server-still"}


async def test_one_that_shows_no_sign_of_life_for_five_minutes_is_awaited_no_longer() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    assert await cluster.live(290) <= LOSSES_BEFORE_CLAIM
    await cluster.live(30)
    assert await cluster.live(600) == pytest.approx(600)
    assert cluster.pulse.condition().ok
    cluster.still = set()
    await cluster.live(60)
    cluster.still = {"two"}
    assert await cluster.live(200) <= LOSSES_BEFORE_CLAIM, "it is back, and is awaited again"


async def test_looks_that_fail_are_no_sign_that_anybody_is_gone() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.is_reachable, cluster.still = False, {"two"}
    assert await cluster.live(3600) <= LOSSES_BEFORE_CLAIM
    assert "one, two" in cluster.pulse.condition().message
    cluster.is_reachable = True
    assert await cluster.live(200) == 0


async def test_where_the_leases_were_never_readable_time_passes_and_that_is_told() -> None:
    cluster = Cluster("one")
    cluster.is_reachable = False
    assert await cluster.live(3600) == pytest.approx(3600)
    assert cluster.pulse.condition().message == "whether an API server stands still is not known: connection refused"
    assert set(cluster.troubles) == {"api-server"}
    assert len(cluster.changes) == 1


async def test_a_look_that_fails_between_others_is_no_trouble_and_costs_no_time() -> None:
    cluster = Cluster("one")
    await cluster.live(100)
    cluster.is_reachable = False
    assert await cluster.live(3) == pytest.approx(3)
    assert cluster.pulse.condition().ok
    cluster.is_reachable = True
    assert await cluster.live(100) == pytest.approx(100)
    assert cluster.changes == []


async def test_who_starts_while_one_stands_still_finds_it_out() -> None:
    cluster = Cluster("one", "two")
    cluster.still = {"two"}
    assert await cluster.live(200) == LOSSES_BEFORE_CLAIM


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from(["nothing", "one", "two", "reach"])), max_size=15))
async def test_whatever_happens_time_is_never_ahead_of_the_clock_and_never_steps_back(
    turns: list[tuple[float, str]],
) -> None:
    cluster = Cluster("one", "two")
    for seconds, what in turns:
        if what == "reach":
            cluster.is_reachable = not cluster.is_reachable
        elif what != "nothing":
            cluster.still ^= {what}
        assert -1e-6 <= await cluster.live(seconds) <= seconds + 1e-6


@given(st.floats(0, 60), st.floats(HELD, 290), st.floats(0, 4))
async def test_what_was_in_flight_when_one_stopped_is_still_held_when_it_goes_on(
    before: float, stood: float, seconds_per_look: float
) -> None:
    cluster = Cluster("one", "two")
    cluster.seconds_per_look = seconds_per_look
    await cluster.live(before)
    cluster.still = {"two"}
    assert await cluster.live(stood) <= HELD - 10
