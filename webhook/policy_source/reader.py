"""
Reads policies while requests are answered, in the order in which they were written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import structlog

from webhook.documents.policy_config_map import Fault
from webhook.documents.policy_text import PolicyText, read_in_steps
from webhook.documents.step_by_step import in_thread
from webhook.policy_source.current import CurrentPolicy
from webhook.policy_source.last_good import LastGoodPolicy
from webhook.ports import UnavailableError
from webhook.quota.objects import StoredVersion

log = structlog.get_logger(__name__)

_BETWEEN_ATTEMPTS = 5.0
"""Seconds until the copy of the last good policy is read again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """
    All texts of the policy at one time.

    With *faults* of where they come from, they are not put in force. *version* is the resource version of the API at
    which they were written: a higher one is later. They were in the ConfigMaps *seen*, by name, of which the last known
    change was *changed_at*; None if that is not known, as of a copy.
    """

    texts: tuple[PolicyText, ...]
    faults: tuple[Fault, ...] = ()
    version: int = 0
    changed_at: int = 0
    seen: Mapping[str, StoredVersion] | None = None


def _ignore(submission: Submission) -> None:
    """Do nothing: nobody has asked."""


class PolicyReader:
    """
    Reads what is submitted in a thread, so that requests are answered meanwhile.

    Texts that are submitted while others are read are read next; of several that wait, the last ones. While there is no
    policy at all, the copy of the last good one is put in force if what is written has mistakes.
    """

    def __init__(self, current: CurrentPolicy, last_good: LastGoodPolicy) -> None:
        """Put what is read in force in *current*, and have *last_good* keep it."""
        self.on_read: Callable[[Submission], None] = _ignore
        """Called with each submission as soon as it is in force."""
        self._current = current
        self._last_good = last_good
        self._waiting: Submission | None = None
        self._submitted = asyncio.Event()

    def submit(self, submission: Submission) -> None:
        """Have *submission* read by `run`."""
        self._waiting = submission
        self._submitted.set()

    async def run(self) -> NoReturn:
        """Read what is submitted until cancelled."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            if self._waiting is None:
                continue
            submission, self._waiting = self._waiting, None
            reading = await in_thread(read_in_steps(submission.texts))
            if self._current.accept(submission.texts, reading, faults=submission.faults):
                self.on_read(submission)
                self._last_good.keep(submission.texts, version=submission.version)
            else:
                await self._restore()

    async def _restore(self) -> None:
        """Put the copy in force if nothing is; try again while it cannot be read, until other texts are submitted."""
        while self._current.state.policy is None and self._waiting is None:
            try:
                copied = await self._last_good.read()
            except UnavailableError as error:
                log.warning("the copy of the last good policy cannot be read yet", why=str(error))
                await self._wait_for_submission(_BETWEEN_ATTEMPTS)
                continue
            if copied is not None:
                self._current.restore(copied.texts, await in_thread(read_in_steps(copied.texts)))
                self.on_read(Submission(copied.texts, version=copied.version))
            return

    async def _wait_for_submission(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._submitted.wait()
        except TimeoutError:
            pass
