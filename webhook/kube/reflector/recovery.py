"""
Decide, after a list or a watch failed, whether to resume or to list again, and when.

No I/O, no clock, no log.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from webhook.kube.api import ApiError, GoneError, SilenceError, UnauthorizedError, UnreachableError
from webhook.kube.reflector.events import MalformedError

Cause: TypeAlias = Literal["expired", "cut", "stalled", "error"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LONGEST_RETRY_AFTER: Final = 60.0
_MOST_FRUITLESS: Final = 5
# A restarting API server may refuse good tokens for a moment.
_REFUSALS: Final = 5


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do next: wait `pause` seconds, then list again or resume the watch. `cause` is for metrics."""

    cause: Cause
    pause: float
    is_list_needed: bool


class Recovery:
    """Counts the failures of one collection in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._fruitless = 0
        self._refusals = 0

    def succeeded(self) -> None:
        """Record that a watch delivered something, or ended as it should."""
        self._failures = self._fruitless = self._refusals = 0

    def after(self, error: ApiError | MalformedError, *, answered: bool, jitter: float) -> Retry:
        """
        Return what to do after *error*.

        *answered* is whether the server had answered before the error: after several such failures in a row a full list
        follows. A server that is not reached is no reason for one. *jitter*, from 0 to 1, shortens the pause by up to
        half.

        Raises: *error* itself when the server has refused our credentials five times in a row.
        """
        cause = _cause(error)
        if cause == "stalled":
            return Retry(cause, pause=0.0, is_list_needed=False)
        self._failures += 1
        self._fruitless += answered
        self._refusals = self._refusals + 1 if isinstance(error, UnauthorizedError) else 0
        if self._refusals >= _REFUSALS:
            raise error
        is_list_needed = cause == "expired" or self._fruitless >= _MOST_FRUITLESS
        if is_list_needed:
            self._fruitless = 0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 32)) * (1 - jitter / 2)
        asked_for = (isinstance(error, ApiError) and error.retry_after) or 0
        return Retry(cause, pause=max(pause, min(asked_for, _LONGEST_RETRY_AFTER)), is_list_needed=is_list_needed)


def _cause(error: ApiError | MalformedError) -> Cause:
    match error:
        case GoneError():
            return "expired"
        case SilenceError():
            return "stalled"
        case UnreachableError():
            return "cut"
        case _:
            return "error"
