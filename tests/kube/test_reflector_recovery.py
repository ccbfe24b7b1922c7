import pytest

from webhook.kube.api import (
    ApiError,
    ForbiddenError,
    GoneError,
    ServerError,
    SilenceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
)
from webhook.kube.reflector.events import MalformedError
from webhook.kube.reflector.recovery import Cause, Recovery, Retry


def failed(kind: type[ApiError], status: int = 0, retry_after: int | None = None) -> ApiError:
    return kind("so it is", request="GET /x", status=status, retry_after=retry_after)


CUT = failed(UnreachableError)
BROKEN = failed(ServerError, 500)
REFUSED = failed(UnauthorizedError, 401)


@pytest.mark.parametrize(
    ("cause", "is_list_needed", "error"),
    [
        pytest.param("expired", True, failed(GoneError, 410), id="an old version has to be listed again"),
        pytest.param("cut", False, CUT, id="a cut watch is resumed"),
        pytest.param("stalled", False, failed(SilenceError), id="a silent watch is resumed"),
        pytest.param("error", False, BROKEN, id="after an error of the server the watch is resumed"),
        pytest.param("error", False, failed(ForbiddenError, 403), id="a right may still come"),
        pytest.param("error", False, MalformedError("no event"), id="garbage may be over"),
    ],
)
def test_what_to_do_after(cause: Cause, is_list_needed: bool, error: ApiError | MalformedError) -> None:
    retry = Recovery().after(error, answered=True, jitter=0)

    assert retry.cause == cause
    assert retry.is_list_needed is is_list_needed


def test_pauses_double_up_to_two_seconds() -> None:
    recovery = Recovery()

    pauses = [recovery.after(CUT, answered=False, jitter=0).pause for _ in range(9)]

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2, 2])


def test_pauses_stay_finite_in_an_outage_of_days() -> None:
    recovery = Recovery()
    for _ in range(100_000):
        retry = recovery.after(CUT, answered=False, jitter=0)

    assert retry.pause == 2


def test_jitter_takes_up_to_half_of_a_pause_away() -> None:
    assert Recovery().after(CUT, answered=False, jitter=1).pause == pytest.approx(0.05)
    assert Recovery().after(CUT, answered=False, jitter=0.5).pause == pytest.approx(0.075)


def test_a_success_starts_the_pauses_again() -> None:
    recovery = Recovery()
    for _ in range(5):
        recovery.after(CUT, answered=False, jitter=0)

    recovery.succeeded()

    assert recovery.after(CUT, answered=False, jitter=0).pause == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("pause", "asked_for"),
    [
        pytest.param(4, 4, id="is waited for"),
        pytest.param(60, 3600, id="is waited for, up to a minute"),
        pytest.param(0.1, None, id="may be missing"),
    ],
)
def test_what_a_busy_server_asks_for(pause: float, asked_for: int | None) -> None:
    busy = failed(TooManyRequestsError, 429, asked_for)

    assert Recovery().after(busy, answered=True, jitter=0).pause == pytest.approx(pause)


def test_a_silent_watch_is_opened_again_at_once_and_is_no_failure() -> None:
    recovery = Recovery()
    for _ in range(10):
        assert recovery.after(failed(SilenceError), answered=True, jitter=0) == Retry("stalled", 0.0, False)

    assert recovery.after(CUT, answered=False, jitter=0).pause == pytest.approx(0.1)


def test_a_watch_that_keeps_failing_is_listed_again_every_fifth_time() -> None:
    recovery = Recovery()

    retries = [recovery.after(BROKEN, answered=True, jitter=0).is_list_needed for _ in range(10)]

    assert retries == [False, False, False, False, True] * 2


def test_a_server_that_is_not_reached_is_no_reason_to_list() -> None:
    recovery = Recovery()

    assert not any(recovery.after(CUT, answered=False, jitter=0).is_list_needed for _ in range(20))


def test_good_tokens_may_be_refused_for_a_moment() -> None:
    recovery = Recovery()
    for _ in range(4):
        assert recovery.after(REFUSED, answered=True, jitter=0).cause == "error"
    recovery.after(BROKEN, answered=True, jitter=0)
    for _ in range(4):
        assert recovery.after(REFUSED, answered=True, jitter=0).cause == "error"


def test_a_token_refused_five_times_in_a_row_is_raised() -> None:
    recovery = Recovery()
    for _ in range(4):
        recovery.after(REFUSED, answered=True, jitter=0)

    with pytest.raises(UnauthorizedError) as caught:
        recovery.after(REFUSED, answered=True, jitter=0)

    assert caught.value is REFUSED
