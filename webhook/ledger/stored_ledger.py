"""
One replica's hold on the stored ledger: reading it, swapping it, beginning it anew when it was lost, opening it again.

Decisions are not made here, what a version means for the book is the mirror's, and what is believable the past's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

import structlog

from webhook.ledger.codec import LedgerDamagedError, NewerFormatError, write_ledger
from webhook.ledger.fairness import SwapFairness
from webhook.ledger.ledger_object import LedgerObject, LostSwapError, StoredText
from webhook.ledger.protocol import Ledger
from webhook.ledger.replica_view import ReplicaView
from webhook.ledger.validation import LedgerValidator
from webhook.ports import READY, Condition, StoreRestoredError, UnavailableError

log = structlog.get_logger(__name__)

MOST_BYTES = 900_000
"""A ConfigMap takes 1 MiB. About 8 000 reservations; more than a few hundred only where no object is seen any more."""

_HEARING = 0.1
"""Seconds to wait after a lost swap for the watch to tell of the one that won. A read costs both sides more."""

_AGE_MS = 2_000
"""Milliseconds that are lost when every replica crashes while something waits for its end."""

_ATTEMPTS = 5
"""Somebody would have to delete or damage the ledger between our write and our read, as often as this."""


class LedgerFullError(UnavailableError):
    """What is in flight fills the object; nothing was written."""

    def __init__(self, count: int, *, share: float) -> None:
        """Say how many reservations there would be, and what share of the new ones there is room for."""
        self.share = share
        super().__init__("ledger-full", f"{count} reservations are in flight: no room for more", everywhere=True)


class StoredLedger:
    """
    The ledger as stored, and the mirror in step with it. One task at a time may call what is async.

    Order numbers tell what began before what: a denial is final only on a version that was stored after its request
    came.
    """

    def __init__(  # noqa: PLR0913 - one ledger needs all of it, and only wiring calls this
        self,
        stored_in: LedgerObject,
        view: ReplicaView,
        *,
        replica: str,
        hold: float,
        monotonic: Callable[[], float],
        api_time: Callable[[], float],
        new_epoch: Callable[[], str],
        was_anybody_asked: Callable[[], Awaitable[bool]],
        on_write: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """
        Keep *mirror* in step with what is *stored_in*.

        *replica* is a name that no other has. *hold* is how long after a loss something may be persisted that was in
        flight, by *api_time*, which stands still while an API server does. Where no ledger is found at the start
        *was_anybody_asked* tells whether one was lost. *on_write* hears `written`, `conflict` or `failed` of every
        swap, `claim` and `read` of those; *on_lost* why a ledger is begun anew.
        """
        self.view = view
        self._writes = READY
        self._reads = Condition(ok=False, reason="ledger-read", message="the ledger has not been read yet")
        self._rewritten: StoreRestoredError | None = None
        self._object = stored_in
        self._hold = hold
        self._new_epoch = new_epoch
        self._was_anybody_asked = was_anybody_asked
        self._on_write = on_write
        self._on_lost = on_lost
        self._past = LedgerValidator(api_time=api_time)
        self._turns = SwapFairness(replica, monotonic=monotonic)
        self._heard: StoredText | None = None
        self._gone = ""
        self._news = asyncio.Event()
        self._is_stale = True
        self._numbers = itertools.count(1)
        self._confirmed = 0

    # What is known, without asking.

    @property
    def condition(self) -> Condition:
        """Whether the ledger can be read and written and is open."""
        if self._rewritten is not None:
            return Condition(ok=False, reason="history", message=str(self._rewritten))
        return self._writes if self._reads.ok else self._reads

    @property
    def is_writable(self) -> bool:
        """Whether the last write succeeded."""
        return self._writes.ok

    @property
    def is_known(self) -> bool:
        """Whether a ledger was ever read."""
        return self._past.stored is not None

    def order(self) -> int:
        """Give the next order number."""
        return next(self._numbers)

    @property
    def age(self) -> int:
        """The age of the ledger by now, in milliseconds: see `Ledger.age`."""
        return self._past.age()

    def waited(self) -> Mapping[str, int]:
        """Give what each token has waited by now, in milliseconds: see `Ledger.waited`."""
        return self._past.waited()

    @property
    def is_age_due(self) -> bool:
        """Whether the age was not written down for so long that a crash of ours would lose much of it."""
        return self.age - self.view.ledger.age >= _AGE_MS

    @property
    def confirmed(self) -> int:
        """The order number at which the last read or swap began that showed the version we have."""
        return self._confirmed

    def hear(self, stored: StoredText) -> None:
        """Hear from the watch what is stored. It is looked at when it is needed."""
        if self._heard is None or self._heard.uid != stored.uid or stored.version > self._heard.version:
            self._heard = stored
        self._turns.note(stored)
        self._news.set()

    def hear_gone(self, uid: str) -> None:
        """Hear from the watch that the object was deleted."""
        self._gone = uid
        if self._past.stored is not None and self._past.stored.uid == uid:
            self._is_stale = True
        self._news.set()

    # Reading.

    async def catch_up(self) -> None:
        """
        Have a version that was stored not long ago: what the watch told, or what is there.

        Raises: UnavailableError; nothing may be decided then.
        """
        if self._is_stale:
            await self.read()
        elif self._has_news():
            await self._have(self._heard, by_request=False)
        elif self._heard is not None and self._past.stored is not None and self._heard.uid != self._past.stored.uid:
            await self.read()

    async def read(self) -> None:
        """Have the version that is stored now. Raises: UnavailableError."""
        await self._have(None, by_request=False)

    async def look_again(self) -> None:
        """
        Have a version that tells more: after a lost swap one that won, otherwise the one that is stored now.

        Raises: UnavailableError.
        """
        if not (self._is_stale and self._turns.has_lost):
            await self.read()
        elif self._turns.may_request_turn:
            await self._have(None, by_request=True)
        elif await self._hear_news(_HEARING) and self._has_news():
            await self._have(self._heard, by_request=False)
        else:
            await self.read()

    async def wait_for_turn(self, *, is_busy: bool) -> None:
        """Let those swap first whose turn it is; see `SwapFairness.wait`. Raises: UnavailableError."""
        if is_busy:
            self._turns.crowd()
        while (seconds := self._turns.wait()) and await self._hear_news(seconds):
            await self.catch_up()

    def check_history(self) -> None:
        """Raises: StoreRestoredError once the store was found to have gone back. The process has to end then."""
        if self._rewritten is not None:
            raise self._rewritten

    def check_open(self) -> None:
        """Raises: UnavailableError while the ledger is being rebuilt, or once the store went back."""
        if self._rewritten is not None:
            raise UnavailableError("history", self.condition.message)
        if not self.view.ledger.is_open:
            raise UnavailableError("ledger-rebuilding", self.condition.message, everywhere=True)

    def _has_news(self) -> bool:
        heard, stored = self._heard, self._past.stored
        if heard is None or stored is None:
            return False
        return heard.uid == stored.uid and heard.version > stored.version

    async def _hear_news(self, seconds: float) -> bool:
        """Wait until the watch has told something new, *seconds* at most; say whether it has."""
        if self._has_news():
            return True
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _have(self, told: StoredText | None, *, by_request: bool) -> None:
        """Have what the watch *told*, or what is found now. Raises: UnavailableError."""
        for _ in range(_ATTEMPTS):
            begun = 0 if told is not None else self.order()
            try:
                stored = told or await self._find(by_request=by_request)
                await self._settle_on(stored)
            except LostSwapError:
                told = None
                continue
            except UnavailableError as error:
                self._is_stale = True
                self._reads = _failing(error)
                raise
            self._confirmed = max(begun, self._confirmed)
            return
        self._is_stale = True
        raise UnavailableError("ledger-read", "the ledger changes its shape all the time: see who else writes it")

    async def _find(self, *, by_request: bool) -> StoredText:
        """Give what is stored, made if there is nothing. Raises: LostSwapError, UnavailableError."""
        self._on_write("claim" if by_request else "read")
        stored = await (self._object.request_turn(self._turns.replica) if by_request else self._object.read())
        return stored or await self._begin_without_one()

    # Writing.

    async def swap(self, ledger: Ledger) -> bool:
        """
        Store *ledger* in the place of the version we have; say whether we were first.

        Raises: LedgerFullError, UnavailableError when it is not known whether it was stored.
        """
        before = self._past.stored
        if before is None:
            raise UnavailableError("ledger-read", self.condition.message)
        begun = self.order()
        ledger = ledger.aged(self.age, self.waited())
        text = write_ledger(ledger, uid=before.uid)
        if (size := len(text.encode())) > MOST_BYTES:
            held = len(before.text.encode())
            share = (MOST_BYTES - held) / (size - held) if size > held else 0.0
            raise LedgerFullError(len(ledger.reservations), share=share)
        try:
            stored = await self._object.swap(text, after=before, writer=self._turns.replica)
        except LostSwapError:
            self._is_stale = True
            self._turns.lost()
            self._on_write("conflict")
            return False
        except UnavailableError as error:
            self._is_stale = True
            self._on_write("failed")
            self._writes = _failing(error)
            raise
        self._on_write("written")
        self._turns.note(stored)
        self._confirmed, self._writes = begun, READY
        self.view.written(ledger)
        self._accept(stored, ledger)
        return True

    async def open_again(self, newest_versions: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        """
        Open a ledger that was lost, once nothing can be persisted any more that was in flight then.

        Until then its age is written down. Raises: UnavailableError.
        """
        ledger = self.view.ledger
        if ledger.is_open:
            return
        if self.age < self._hold * 1000:
            if self.is_age_due:
                await self.swap(ledger.followed(without={}, replaced=(), new={}))
            return
        if await self.swap(ledger.opened(await newest_versions())):
            log.info("the ledger is open again", epoch=ledger.epoch)

    # Understanding what was read.

    async def _settle_on(self, stored: StoredText) -> None:
        """Take in what is stored, or begin anew in its place. Raises: LostSwapError, UnavailableError."""
        self._turns.note(stored)
        if self._past.knows(stored):
            self._accept(stored, self.view.ledger)
            return
        evidence = self._past.how_it_went_back(stored)
        try:
            ledger = self._past.read(stored)
        except NewerFormatError as error:
            raise UnavailableError("ledger-format", f"the ledger is of a newer version: {error}") from error
        except LedgerDamagedError as error:
            stored, ledger = await self._begin_instead_of(stored, str(error))
        self.view.take_in(ledger)
        self._accept(stored, ledger)
        if evidence:
            self._rewritten = StoreRestoredError(evidence)

    def _accept(self, stored: StoredText, ledger: Ledger) -> None:
        self._past.accept(stored, ledger)
        self._is_stale = stored.uid == self._gone
        self._reads = READY
        if not ledger.is_open:
            why = f"the ledger was lost and is being rebuilt; it opens within {self._hold:g} seconds of that"
            self._reads = Condition(ok=False, reason="ledger-rebuilding", message=why)

    async def _begin_without_one(self) -> StoredText:
        """Make the first ledger, or one in the place of one that is gone. Raises: LostSwapError, UnavailableError."""
        if self.is_known or await self._was_anybody_asked():
            made = await self._object.create(write_ledger(Ledger.rebuilding(self._new_epoch()), uid=""))
            self._tell_lost("it was deleted")
            return made
        first = Ledger.first(self._new_epoch())
        log.info("the first ledger of this installation", epoch=first.epoch)
        made = await self._object.create(write_ledger(first, uid=""))
        return await self._swap_text(first.opened({}), after=made)

    async def _swap_text(self, ledger: Ledger, *, after: StoredText) -> StoredText:
        text = write_ledger(ledger, uid=after.uid)
        return await self._object.swap(text, after=after, writer=self._turns.replica)

    async def _begin_instead_of(self, stored: StoredText, why: str) -> tuple[StoredText, Ledger]:
        ledger = Ledger.rebuilding(self._new_epoch())
        made = await self._swap_text(ledger, after=stored)
        self._tell_lost(why)
        return made, ledger

    def _tell_lost(self, why: str) -> None:
        log.error("the ledger is begun anew: what was in flight is waited for", why=why)
        self._on_lost(why)


def _failing(error: UnavailableError) -> Condition:
    return Condition(ok=False, reason=error.reason, message=str(error))
