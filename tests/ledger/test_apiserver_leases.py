"""How reservations age while API servers work, stand still, go away or cannot be looked at, and over restarts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock
from tests.quota.bookings import held
from webhook.ledger.apiserver_leases import ApiServerLeases, LeasesRefusedError
from webhook.ledger.codec import read_ledger, write_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger
from webhook.ledger.validation import TokenAges
from webhook.ports import UnavailableError

UNREACHED = UnavailableError("api-server", "connection refused")
REFUSED = LeasesRefusedError("api-server-leases", "a right is missing")

RENEWAL_PERIOD = 10.4
"""Seconds at most: the API server's ten, and its jitter of 4 %."""

LOOK_PAUSE = 5.0
START_UP = RENEWAL_PERIOD + LOOK_PAUSE
"""Seconds at most after a start in which nothing ages although all API servers work."""

TRUSTED = 20.0
MOST_AFTER_STOP = 35.0
"""Seconds that may count after an API server stopped: less than reservations are held."""

HELD = 40.0


class EndOfTimeError(Exception):
    """The time of the test is over."""


class Cluster:
    """API servers that renew their Leases by a clock while they exist and work, and the process that looks at them."""

    def __init__(self, *servers: str, run_for: float = 60.0) -> None:
        self.clock = FakeClock()
        self.began = self.clock.seconds
        self.still: set[str] = set()
        self.servers: dict[str, float] = dict.fromkeys(servers, self.began)
        self.failure: UnavailableError | None = None
        self.seconds_per_look = 0.0
        self.errors: list[str] = []
        self.changes: list[str] = []
        self._until = 0.0
        self._pass_by(run_for)
        self.restart()

    def restart(self) -> None:
        """Put a new process in the place of the one that looks."""
        self.leases = ApiServerLeases(
            self._renewals,
            monotonic=self.clock.monotonic,
            on_error=lambda error: self.errors.append(error.reason),
            on_change=lambda condition: self.changes.append(condition.message),
            sleep=self._sleep,
        )

    async def live(self, seconds: float) -> float:
        """Let *seconds* pass; return how many of them counted."""
        before = self.leases.time()
        self._until = self.clock.seconds + seconds
        with pytest.raises(EndOfTimeError):
            await self.leases.run()
        return self.leases.time() - before

    async def _renewals(self) -> Mapping[str, str]:
        self._pass_by(self.seconds_per_look)
        if self.failure is not None:
            raise self.failure
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
                self.servers[name] = max(renewed, self.began + lived // RENEWAL_PERIOD * RENEWAL_PERIOD)


class Reservation:
    """A reservation in the stored ledger, and what the running process knows of how long it has waited."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ledger = Ledger("epoch", is_open=True, reservations={"token": held(uid="pod")})
        self._text = write_ledger(self._ledger, uid="object")
        self._version = 0
        self._read()

    @property
    def waited(self) -> float:
        return self._validator.waited()["token"] / 1000

    def restart(self) -> None:
        """Write the ledger, and put a new process in the place of the one that wrote."""
        aged = self._ledger.aged(self._validator.age(), self._validator.waited())
        self._text = write_ledger(aged, uid="object")
        self._cluster.restart()
        self._read()

    def _read(self) -> None:
        self._version += 1
        self._validator = TokenAges(api_time=self._cluster.leases.time)
        stored = StoredText(self._text, "object", self._version)
        self._validator.accept(stored, read_ledger(self._text, uid="object"))


# All API servers work.


async def test_while_all_api_servers_renew_their_leases_every_second_counts() -> None:
    cluster = Cluster("one", "two", "three")
    await cluster.live(START_UP)
    assert await cluster.live(3600) == pytest.approx(3600)
    assert (cluster.errors, cluster.changes) == ([], [])


async def test_after_a_start_nothing_counts_until_every_lease_was_renewed_and_no_longer() -> None:
    cluster = Cluster("one", "two")
    assert await cluster.live(START_UP) <= START_UP - LOOK_PAUSE + 0.1
    assert await cluster.live(100) == pytest.approx(100)
    assert cluster.changes == [], "a start is nothing to report"


async def test_before_the_first_look_nothing_counts() -> None:
    cluster = Cluster("one")
    before = cluster.leases.time()
    cluster.clock.pass_by(100)
    assert cluster.leases.time() == before
    assert cluster.leases.condition().ok


async def test_a_lease_that_was_created_between_two_looks_is_a_sign_of_life() -> None:
    cluster = Cluster("one")
    await cluster.live(100)
    cluster.servers["two"] = cluster.clock.seconds
    assert await cluster.live(100) == pytest.approx(100)


async def test_an_api_server_that_stops_in_order_and_starts_anew_costs_no_time() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    renewed = cluster.servers.pop("two")
    assert await cluster.live(30) == pytest.approx(30)
    cluster.servers["two"] = renewed + 31
    assert await cluster.live(100) == pytest.approx(100)


async def test_where_no_api_server_has_a_lease_time_passes_and_the_condition_says_so() -> None:
    cluster = Cluster()
    assert await cluster.live(3600) == pytest.approx(3600)
    assert cluster.leases.condition().reason == "api-server-leases"
    assert "none has a Lease in kube-system" in cluster.leases.condition().message
    assert len(cluster.changes) == 1


async def test_when_the_last_lease_is_deleted_time_passes() -> None:
    cluster = Cluster("one")
    await cluster.live(100)
    cluster.servers.clear()
    assert await cluster.live(3600) == pytest.approx(3600)


# One stands still.


async def test_when_one_of_several_stands_still_time_stops_before_half_of_what_is_held_is_over() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    assert await cluster.live(HELD) <= TRUSTED
    assert await cluster.live(200) == 0
    cluster.still = set()
    assert await cluster.live(START_UP) > 0
    assert await cluster.live(100) == pytest.approx(100)


async def test_of_two_that_stand_still_in_turn_the_time_of_neither_counts() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"one", "two"}
    await cluster.live(60)
    cluster.still = {"two"}
    assert await cluster.live(60) == 0
    cluster.still = {"one"}
    assert await cluster.live(60) <= 2 * RENEWAL_PERIOD


async def test_the_condition_names_the_lease_that_is_not_renewed_until_it_is() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    await cluster.live(60)
    still = cluster.leases.condition().message
    assert still == "Leases two in kube-system are not renewed: reservations do not expire until they are"
    cluster.still = set()
    await cluster.live(30)
    assert cluster.leases.condition().ok
    assert cluster.changes == [still, ""]
    assert set(cluster.errors) == {"api-server-still"}


async def test_one_that_shows_no_sign_of_life_for_five_minutes_is_awaited_no_longer() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    assert await cluster.live(290) <= TRUSTED
    await cluster.live(30)
    assert await cluster.live(600) == pytest.approx(600)
    assert cluster.leases.condition().ok
    cluster.still = set()
    await cluster.live(60)
    cluster.still = {"two"}
    assert await cluster.live(200) <= TRUSTED, "it is back, and is awaited again"


# A process that starts while one stands still.


async def test_a_process_that_starts_while_one_stands_still_counts_nothing_and_names_it() -> None:
    cluster = Cluster("one", "two")
    cluster.still = {"two"}
    assert await cluster.live(290) == 0
    assert "Leases two in" in cluster.leases.condition().message


async def test_a_process_that_starts_beside_the_lease_of_one_that_is_gone_for_good_waits_five_minutes() -> None:
    cluster = Cluster("one", "two")
    cluster.still = {"two"}
    await cluster.live(310)
    assert await cluster.live(600) == pytest.approx(600)


@pytest.mark.parametrize("restarts", [(60,), (60, 30), (5,) * 40], ids=["one", "two", "many"])
async def test_restarts_while_an_api_server_stands_still_add_nothing_to_what_was_waited(
    restarts: Sequence[float],
) -> None:
    """With 20 s for each first look a reservation seemed to have waited 40 s after one restart, 60 s after two."""
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.still = {"two"}
    reservation = Reservation(cluster)
    for seconds in restarts:
        await cluster.live(seconds)
        reservation.restart()
    await cluster.live(100)
    assert reservation.waited <= TRUSTED


async def test_restarts_while_all_work_cost_the_start_up_of_each_and_no_more() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    reservation = Reservation(cluster)
    for _ in range(3):
        await cluster.live(30)
        reservation.restart()
    await cluster.live(HELD - 30 + 2 * START_UP)
    assert reservation.waited >= HELD


# Looks that fail.


async def test_failing_looks_do_not_show_that_an_api_server_is_gone() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.failure, cluster.still = UNREACHED, {"two"}
    assert await cluster.live(3600) <= TRUSTED
    assert "one, two" in cluster.leases.condition().message
    cluster.failure = None
    assert await cluster.live(200) == 0


async def test_one_failing_look_between_others_is_not_reported_and_costs_no_time() -> None:
    cluster = Cluster("one")
    await cluster.live(100)
    cluster.failure = UNREACHED
    assert await cluster.live(3) == pytest.approx(3)
    assert cluster.leases.condition().ok
    cluster.failure = None
    assert await cluster.live(100) == pytest.approx(100)
    assert cluster.changes == []


async def test_a_renewal_that_is_seen_after_a_long_gap_may_be_as_old_as_the_gap() -> None:
    cluster = Cluster("one")
    await cluster.live(102)
    cluster.failure = UNREACHED
    counted = await cluster.live(RENEWAL_PERIOD)
    cluster.still = {"one"}
    counted += await cluster.live(100)
    cluster.failure = None
    assert counted + await cluster.live(100) <= TRUSTED


async def test_a_process_that_cannot_reach_the_api_counts_nothing() -> None:
    cluster = Cluster("one")
    cluster.failure = UNREACHED
    assert await cluster.live(3600) == 0
    condition = cluster.leases.condition()
    assert condition.message == (
        "reservations do not expire until the Leases in kube-system can be listed: connection refused"
    )
    assert set(cluster.errors) == {"api-server"}
    assert len(cluster.changes) == 1


async def test_where_the_leases_may_not_be_listed_time_passes_and_the_condition_says_so() -> None:
    cluster = Cluster("one")
    cluster.failure = REFUSED
    assert await cluster.live(3600) == pytest.approx(3600, abs=10)
    assert cluster.leases.condition().message == "an API server that stands still is not noticed: a right is missing"


async def test_a_right_that_is_missing_for_a_moment_lets_nothing_age() -> None:
    """An API server that starts refuses everybody until it has read the roles."""
    cluster = Cluster("one", "two")
    cluster.failure, cluster.still = REFUSED, {"two"}
    assert await cluster.live(5) == 0
    cluster.failure = None
    assert await cluster.live(100) == 0
    cluster.failure = REFUSED
    assert await cluster.live(5) == 0


async def test_when_the_right_is_taken_away_time_passes_and_when_it_is_back_the_first_look_proves_nothing() -> None:
    cluster = Cluster("one", "two")
    await cluster.live(100)
    cluster.failure, cluster.still = REFUSED, {"two"}
    assert await cluster.live(100) == pytest.approx(100)
    assert "is not noticed: a right is missing" in cluster.leases.condition().message
    cluster.still = set()
    await cluster.live(30)
    cluster.failure, cluster.still = None, {"two"}
    assert await cluster.live(200) == 0


# Laws.


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from(["", "one", "two", "fail", "restart"])), max_size=15))
async def test_whatever_happens_time_is_never_ahead_of_the_clock_and_never_steps_back(
    events: list[tuple[float, str]],
) -> None:
    cluster = Cluster("one", "two")
    for seconds, event in events:
        if event == "fail":
            cluster.failure = UNREACHED if cluster.failure is None else None
        elif event == "restart":
            cluster.restart()
        elif event:
            cluster.still ^= {event}
        assert -1e-6 <= await cluster.live(seconds) <= seconds + 1e-6


@given(
    st.floats(0, 60),
    st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["fail", "restart"])), max_size=6),
    st.floats(0, 10),
)
async def test_what_was_in_flight_when_one_stopped_is_still_held_when_it_goes_on(
    before: float, events: list[tuple[float, str]], seconds_per_look: float
) -> None:
    """Whatever fails, and whichever processes start, meanwhile; less than five minutes of looks in each."""
    cluster = Cluster("one", "two")
    cluster.seconds_per_look = seconds_per_look
    await cluster.live(before)
    cluster.still = {"two"}
    reservation = Reservation(cluster)
    for seconds, event in events:
        await cluster.live(seconds)
        if event == "fail":
            cluster.failure = UNREACHED if cluster.failure is None else None
        else:
            reservation.restart()
    await cluster.live(120)
    assert reservation.waited <= MOST_AFTER_STOP
