"""For how long the pods of a session are expected."""

from __future__ import annotations

import pytest

from tests.fakes import FakeClock, by_payer
from tests.quota.bookings import ALICE, bind, cpu, sums
from webhook.kinds.evaluator import Size
from webhook.kube.starting import Starting
from webhook.quota.expected import HOLD_SECONDS, Expected
from webhook.quota.objects import ObjectKey
from webhook.quota.usage import Row, UsageIndex

KEY = ObjectKey("notebooks.kubeflow.org", "red", "jo")
LABELS = (("notebook-name", "jo"),)
TODAY = 1_800_000_000.0


class Watched:
    """A session that events show to an index."""

    def __init__(self) -> None:
        self.index = UsageIndex(by_payer(bind))
        self.clock = FakeClock()
        self.starting = Starting(self.index, self.clock.monotonic, wall_clock=lambda: TODAY + self.clock.monotonic())
        self.version = 0

    def sees(
        self,
        cpus: int,
        *,
        is_running: bool = True,
        uid: str = "n",
        is_listed: bool = False,
        age: int = 3600,
        is_kept: bool = False,
    ) -> Expected | None:
        size = Size(cpu(cpus), is_running, (LABELS,), is_kept=is_kept)
        created = int(TODAY + self.clock.monotonic()) - age
        expected = self.starting.expected(KEY, uid, size, is_listed=is_listed, created=created)
        self.version += 1
        self.index.observe(KEY, Row(uid, self.version, ALICE, (("sessions", 1),), expected=expected))
        return expected

    def after(self, seconds: float) -> int:
        """Let time pass; return what is held."""
        self.clock.pass_by(seconds)
        self.starting.let_go()
        reserved = sums(self.index)[1]
        assert isinstance(reserved, int)
        return reserved


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_pods_that_do_not_come_are_expected_for_a_while(watched: Watched) -> None:
    assert watched.sees(4) == Expected(cpu(4), (LABELS,))
    assert watched.after(HOLD_SECONDS - 1) == 4
    assert watched.after(1) == 0


def test_room_that_is_kept_does_not_end_before_the_session(watched: Watched) -> None:
    assert watched.sees(4, is_kept=True) == Expected(cpu(4), (LABELS,), is_kept=True)
    assert watched.after(10 * HOLD_SECONDS) == 4
    assert watched.sees(5, is_kept=True, is_listed=True) == Expected(cpu(5), (LABELS,), is_kept=True)
    assert watched.sees(5, is_running=False, is_kept=True) is None
    assert watched.after(0) == 0


def test_room_that_is_kept_no_more_is_held_for_as_long_as_that_of_others(watched: Watched) -> None:
    watched.sees(4, is_kept=True)
    assert watched.after(HOLD_SECONDS) == 4
    watched.sees(4)
    assert watched.after(0) == 0


def test_no_other_event_prolongs_that(watched: Watched) -> None:
    watched.sees(4)
    assert watched.after(HOLD_SECONDS - 1) == 4
    watched.sees(4)
    watched.sees(3)
    assert watched.after(1) == 0
    assert watched.sees(3) is None


def test_one_that_grows_waits_again_for_all_that_it_needs(watched: Watched) -> None:
    watched.sees(4)
    watched.after(HOLD_SECONDS)
    watched.sees(5)
    assert watched.after(HOLD_SECONDS - 1) == 5


@pytest.mark.parametrize("uid", ["n", "another"])
def test_one_that_stops_and_starts_waits_again(watched: Watched, uid: str) -> None:
    watched.sees(4)
    watched.after(HOLD_SECONDS)
    assert watched.sees(4, is_running=False) is None
    assert watched.sees(4, uid=uid) is not None


def test_another_one_of_the_same_name_waits_for_its_own(watched: Watched) -> None:
    watched.sees(4)
    watched.after(HOLD_SECONDS)
    assert watched.sees(4, uid="another") is not None


def test_what_a_list_shows_has_started_when_it_was_created(watched: Watched) -> None:
    """A replica that restarts goes on holding the room of what started a moment before."""
    assert watched.sees(4, is_listed=True, age=20) is not None
    assert watched.after(HOLD_SECONDS - 21) == 4
    assert watched.after(1) == 0


def test_a_clock_that_is_behind_holds_no_longer_than_a_minute(watched: Watched) -> None:
    assert watched.sees(4, is_listed=True, age=-3600) is not None
    assert watched.after(HOLD_SECONDS) == 0


def test_an_old_session_that_a_list_shows_has_not_just_started(watched: Watched) -> None:
    assert watched.sees(4, is_listed=True) is None
    assert watched.sees(4) is None
    assert watched.sees(5) is not None


def test_a_list_does_not_end_what_was_seen_to_start(watched: Watched) -> None:
    watched.sees(4)
    assert watched.sees(4, is_listed=True) is not None


def test_nothing_is_kept_of_sessions_that_are_gone(watched: Watched) -> None:
    watched.sees(4)
    watched.index.forget(KEY, "n", 9)
    watched.starting.prune()
    assert watched.after(HOLD_SECONDS) == 0
    assert not watched.starting._running
    assert not watched.starting._until


def test_other_objects_wait_for_nothing(watched: Watched) -> None:
    assert watched.starting.expected(KEY, "n", None, is_listed=False) is None
