"""
Reads and swaps the stored ledger for one replica; begins a new one after a loss, and opens it after `rebuild_seconds`.

`shared` decides. `replica_view` counts a version in the usage index. `validation` checks a text.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping

import structlog

from webhook.ledger.beginnings import LedgerBeginnings
from webhook.ledger.codec import GRANTS_SINCE, LedgerDamagedError, NewerFormatError, format_read_by, write_ledger
from webhook.ledger.fairness import SwapFairness
from webhook.ledger.ledger_object import LedgerObject, StoredText, SwapConflictError
from webhook.ledger.protocol import Ledger
from webhook.ledger.replica_view import ReplicaView
from webhook.ledger.text_size import LedgerFullError, check_size
from webhook.ledger.validation import LedgerValidator, TokenAges
from webhook.ledger.watched_text import WatchedText
from webhook.ports import READY, Condition, StoreRestoredError, UnavailableError

log = structlog.get_logger(__name__)

_LEDGER_WATCH_SECONDS = 0.1
"""How long to wait after a lost swap for the watch to show the one that won. A read costs both sides more."""

_AGE_WRITE_MS = 2_000
"""
Milliseconds after which ages are written again while something waits to expire. A crash of all replicas loses about as
much.
"""

_READ_ATTEMPTS = 5
"""
Give up after losing this many writes in a row that begin a ledger. One loss is normal: another replica was first. More
mean that the ledger is deleted or damaged again and again.
"""


class StoredLedger:
    """
    The ledger as stored, and this replica's view in step with it. Only one task at a time may call what is async.

    Once `check_history` raises, the process has to end: the store went back in time.

    Order numbers say in which order requests came, and reads and swaps began. `confirmed_at` is that of our last read
    or swap that succeeded. A verdict that stores nothing is final only for requests with a smaller number: our version
    is not older than what was stored when they came.
    """

    def __init__(  # noqa: PLR0913 - one ledger needs all of it, and only wiring calls this
        self,
        stored_in: LedgerObject,
        view: ReplicaView,
        *,
        replica: str,
        rebuild_seconds: float,
        monotonic: Callable[[], float],
        api_time: Callable[[], float],
        new_epoch: Callable[[], str],
        may_have_been_called: Callable[[], Awaitable[bool]],
        on_access: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """
        Keep *view* in step with what is *stored_in*.

        *replica* is a name that no other replica has, by `codec.replica_name`. After a loss the ledger stays closed for
        *rebuild_seconds*: so long may a write be stored that was allowed before, or in memory by one who does not know
        of it. They are measured by *api_time*, which stops while an API server stands still. If no ledger is found at
        the start, *may_have_been_called* tells whether one was lost.

        *on_access* is called with `written`, `conflict` or `failed` for each `swap`, `read` for each read, and `claim`
        instead for a read that requests a turn. *on_lost* is called with the
        reason for which a new ledger is begun.
        """
        self.view = view
        self._last_write = READY
        self._last_read = Condition(ok=False, reason="ledger-read", message="the ledger has not been read yet")
        self._restored: StoreRestoredError | None = None
        self._object = stored_in
        self._rebuild_seconds = rebuild_seconds
        self._on_access = on_access
        self._beginnings = LedgerBeginnings(stored_in, replica, new_epoch, may_have_been_called, on_lost)
        self._validator = LedgerValidator()
        self._ages = TokenAges(api_time=api_time)
        self._fairness = SwapFairness(replica, monotonic=monotonic)
        self._watched = WatchedText()
        self._is_stale = True
        self._numbers = itertools.count(1)
        self._confirmed_at = 0

    # What is known, without asking.

    @property
    def condition(self) -> Condition:
        """Whether the ledger can be read and written and is open."""
        if self._restored is not None:
            return Condition(ok=False, reason="history", message=str(self._restored))
        if not self._last_read.ok:
            return self._last_read
        return self._last_write if self.view.ledger.is_open else self._closed

    @property
    def last_write_ok(self) -> bool:
        """False after a swap that got an error or no answer, until one succeeds. A lost swap changes nothing."""
        return self._last_write.ok

    @property
    def is_known(self) -> bool:
        """Whether a ledger was ever read."""
        return self._validator.accepted is not None

    @property
    def _closed(self) -> Condition:
        """The condition of a ledger that is not open."""
        opens = f"it opens {self._rebuild_seconds:g} seconds after it was begun anew"
        why = f"the ledger was lost and is being rebuilt: {opens}"
        return Condition(ok=False, reason="ledger-rebuilding", message=why)

    def next_order_number(self) -> int:
        """Return the next order number."""
        return next(self._numbers)

    @property
    def age(self) -> int:
        """The age of the ledger by now, in milliseconds: see `Ledger.age`."""
        return self._ages.age()

    def waited(self) -> Mapping[str, int]:
        """Return how long each token has waited by now, in milliseconds: see `Ledger.waited`."""
        return self._ages.waited()

    @property
    def is_age_due(self) -> bool:
        """Whether the age was written so long ago that it is to be written again, in case every replica crashes."""
        return self.age - self.view.ledger.age >= _AGE_WRITE_MS

    @property
    def confirmed_at(self) -> int:
        """
        The order number at which our last read or swap that succeeded began.

        Our version is the one that it showed, or a newer one from the watch. The watch confirms nothing: what it shows
        may be older than a request.
        """
        return self._confirmed_at

    def on_event(self, stored: StoredText) -> None:
        """Record what the watch shows, to be loaded when it is needed."""
        self._watched.on_event(stored)
        self._note_writer(stored)

    def on_deleted(self, uid: str) -> None:
        """Record that the watch shows the object *uid* deleted."""
        self._watched.on_deleted(uid)
        accepted = self._validator.accepted
        if accepted is not None and accepted.uid == uid:
            self._is_stale = True

    # Reading.

    async def catch_up(self) -> None:
        """
        Load what the watch has shown since, if anything. Read what is stored now if our version is stale, or if the
        watch shows another object.

        Raises: UnavailableError; nothing may be decided then.
        """
        accepted, watched = self._validator.accepted, self._watched.newest
        if self._is_stale:
            await self.read()
        elif (newer := self._watched.newer_than(accepted)) is not None:
            await self._load(newer, with_turn=False)
        elif watched is not None and accepted is not None and watched.uid != accepted.uid:
            await self.read()

    async def read(self) -> None:
        """Load the version that is stored now. Raises: UnavailableError."""
        await self._load(None, with_turn=False)

    async def refresh(self) -> None:
        """
        Load a newer version: after a lost swap the one that won, as the watch shows it; otherwise what is stored now.

        Raises: UnavailableError.
        """
        if not (self._is_stale and self._fairness.has_conflict):
            await self.read()
        elif self._fairness.should_request_turn:
            await self._load(None, with_turn=True)
        else:
            await self._wait_for_watch(_LEDGER_WATCH_SECONDS)
            await self._load(self._watched.newer_than(self._validator.accepted), with_turn=False)

    async def wait_for_turn(self, *, is_busy: bool) -> None:
        """Let other replicas swap first where `SwapFairness` says so. Raises: UnavailableError."""
        if is_busy:
            self._fairness.on_contention()
        while (seconds := self._fairness.seconds_to_wait()) and await self._wait_for_watch(seconds):
            await self.catch_up()

    def check_history(self) -> None:
        """Raises: StoreRestoredError once the store was found to have gone back. The process has to end then."""
        if self._restored is not None:
            raise self._restored

    def check_open(self) -> None:
        """Raises: UnavailableError while the ledger is being rebuilt, or once the store went back."""
        if self._restored is not None:
            raise UnavailableError("history", self.condition.message)
        if not self.view.ledger.is_open:
            raise UnavailableError("ledger-rebuilding", self._closed.message, affects_all=True)

    async def _wait_for_watch(self, seconds: float) -> bool:
        """Wait until the watch shows anything, not at all if that is newer already; return False if time ran out."""
        return self._watched.newer_than(self._validator.accepted) is not None or await self._watched.wait(seconds)

    async def _load(self, watched: StoredText | None, *, with_turn: bool) -> None:
        """Load *watched*, which the watch showed; None: what is stored now. Raises: UnavailableError."""
        try:
            await self._load_or_begin(watched, with_turn=with_turn)
        except UnavailableError as error:
            self._is_stale = True
            self._last_read = _failing(error)
            raise

    async def _load_or_begin(self, watched: StoredText | None, *, with_turn: bool) -> None:
        for _ in range(_READ_ATTEMPTS):
            # What the watch shows confirms nothing, see `confirmed_at`.
            begun = self.next_order_number() if watched is None else 0
            try:
                await self._interpret(watched or await self._read_or_create(with_turn=with_turn))
            except SwapConflictError:
                watched = None
                continue
            self._confirmed_at = max(begun, self._confirmed_at)
            return
        why = "the ledger was deleted or damaged again and again while it was read: see what else writes it"
        raise UnavailableError("ledger-read", why)

    async def _read_or_create(self, *, with_turn: bool) -> StoredText:
        """
        Return what is stored, a new ledger if nothing was; *with_turn*, request a turn as well.

        Raises: SwapConflictError, UnavailableError.
        """
        self._on_access("claim" if with_turn else "read")
        stored = await (self._object.request_turn(self._fairness.replica) if with_turn else self._object.read())
        return stored or await self._beginnings.begin_first(is_known=self.is_known)

    # Writing.

    async def swap(self, ledger: Ledger) -> bool:
        """
        Store *ledger*, with the ages by now, in the place of our version; return False if another write came first.

        Raises: LedgerFullError; UnavailableError if nothing was read yet, or if it is not known whether it was stored.
        """
        before = self._validator.accepted
        if before is None:
            raise UnavailableError("ledger-read", self.condition.message)
        begun = self.next_order_number()
        ledger = ledger.aged(self.age, self.waited())
        text = write_ledger(ledger, uid=before.uid)
        try:
            check_size(text, before=before.text, count=len(ledger.reservations))
        except LedgerFullError:
            self.view.lost(may_have_landed=False)
            raise
        try:
            stored = await self._object.swap(text, after=before, writer=self._fairness.replica)
        except SwapConflictError:
            self._is_stale = True
            self.view.lost(may_have_landed=False)
            self._fairness.on_conflict()
            self._on_access("conflict")
            return False
        except UnavailableError as error:
            self._is_stale = True
            self.view.lost(may_have_landed=True)
            self._on_access("failed")
            self._last_write = _failing(error)
            raise
        except BaseException:  # we were told not to wait any longer
            self._is_stale = True
            self.view.lost(may_have_landed=True)
            raise
        self._on_access("written")
        self._fairness.on_stored(stored)
        self._confirmed_at, self._last_write = begun, READY
        self.view.written(ledger)
        self._accept(stored, ledger)
        return True

    async def open_again(
        self,
        newest_versions: Callable[[], Awaitable[Mapping[str, int]]],
        newest_policy: Callable[[], Awaitable[int]],
    ) -> None:
        """
        Open a ledger that is being rebuilt once no write from before the loss can be stored any more.

        Until then write its age from time to time. *newest_versions* and *newest_policy* read the versions of the
        charged resources and of the policy. Raises: UnavailableError.
        """
        ledger = self.view.ledger
        if ledger.is_open:
            return
        if self.age < self._rebuild_seconds * 1000:
            if self.is_age_due:
                await self.swap(ledger.followed(without={}, replaced=(), new={}))
            return
        newest, policy_version = await newest_versions(), await newest_policy()
        if await self.swap(ledger.opened(newest, policy_version=policy_version)):
            log.info("the ledger is open again", epoch=ledger.epoch)

    # Interpreting what was read.

    async def _interpret(self, stored: StoredText) -> None:
        """Accept what is stored, or begin a new ledger in its place. Raises: SwapConflictError, UnavailableError."""
        self._note_writer(stored)
        if self._validator.is_unchanged(stored):
            self.view.read_unchanged()
            self._accept(stored, self.view.ledger)
            return
        evidence = self._validator.sign_of_a_restore(stored)
        try:
            ledger = self._validator.read(stored)
        except NewerFormatError as error:
            raise UnavailableError("ledger-format", f"the ledger is of a newer version: {error}") from error
        except LedgerDamagedError as error:
            stored, ledger = await self._beginnings.replace_damaged(stored, str(error))
        self.view.take_in(ledger, waited=self._ages.waited())
        self._accept(stored, ledger)
        if evidence:
            self._restored = StoreRestoredError(evidence)

    def _note_writer(self, stored: StoredText) -> None:
        self._fairness.on_stored(stored)
        if stored.writer and format_read_by(stored.writer) < GRANTS_SINCE:
            self.view.grants.older_replica()

    def _accept(self, stored: StoredText, ledger: Ledger) -> None:
        self._validator.accept(stored, ledger)
        self._ages.accept(stored, ledger)
        self._is_stale = self._watched.has_deleted(stored.uid)
        self._last_read = READY


def _failing(error: UnavailableError) -> Condition:
    return Condition(ok=False, reason=error.reason, message=str(error))
