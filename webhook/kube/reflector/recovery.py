"""
Decide, after a list or a watch failed, whether to resume or to list again, and when.

Nothing is sent, slept or logged here.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from webhook.kube.api import ApiError, GoneError, SilenceError, UnauthorizedError, UnreachableError
from webhook.kube.reflector.events import MalformedError

Cause: TypeAlias = Literal["expired", "cut", "stalled", "error"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_LONGEST_RETRY_AFTER: Final = 60.0
_BARREN_ATTEMPTS: Final = 5
# A restarting API server may refuse good tokens for a moment.
_REFUSALS: Final = 5


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do next: wait ``pause`` seconds, then list again or resume the watch. ``cause`` is for metrics."""

    cause: Cause
    pause: float
    is_list_needed: bool


class Recovery:
    """The failures of one collection, in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._barren = 0
        self._refusals = 0

    def succeeded(self) -> None:
        """Hear that a watch delivered something, or ended as it should."""
        self._failures = self._barren = self._refusals = 0

    def after(self, error: ApiError | MalformedError, *, answered: bool, jitter: float) -> Retry:
        """
        Give what to do after *error*.

        *answered* says whether the server had let us in before: if that leads nowhere several times in a row, only a
        full list can; a server that is not reached is no reason for one. *jitter*, from 0 to 1, takes up to half of the
        pause away.

        Raises: *error* itself when the server goes on refusing our credentials.
        """
        cause = _cause(error)
        if cause == "stalled":
            return Retry(cause, pause=0.0, is_list_needed=False)
        self._failures += 1
        self._barren += answered
        self._refusals = self._refusals + 1 if isinstance(error, UnauthorizedError) else 0
        if self._refusals >= _REFUSALS:
            raise error
        is_list_needed = cause == "expired" or self._barren >= _BARREN_ATTEMPTS
        if is_list_needed:
            self._barren = 0
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
