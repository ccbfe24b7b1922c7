"""
Port `LedgerStore` over a ledger that replicas share: requests that wait are decided together and written with one swap.

`stored_ledger` reads and swaps what is stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

import structlog

from webhook.ledger.expirations import Expirations
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.lookups import Lookups
from webhook.ledger.promise_order import retry_while_promises_change
from webhook.ledger.protocol import Ledger
from webhook.ledger.stored_ledger import StoredLedger
from webhook.ledger.text_size import LedgerFullError
from webhook.ports import (
    Condition,
    Decide,
    Maintenance,
    QuorumReader,
    StoredPolicies,
    UnavailableError,
    WebhookError,
)
from webhook.quota.decision import Allowed, Decision
from webhook.quota.limits import Limit
from webhook.quota.objects import StoredVersion
from webhook.quota.promises import MarkedEdit
from webhook.quota.reservation import Charge, Reservation
from webhook.quota.usage import UsageIndex

log = structlog.get_logger(__name__)

_MOST_AT_ONCE = 256
"""Requests decided with one swap: about 20 ms of deciding, during which nothing else is answered."""

_CAUTION = 0.9
"""When the ledger is full, this share of the requests that should fit is tried: reservations differ in size."""

MOST_PER_OWNER = 2000
"""Reservations of one owner in flight: a quarter of the 8 000 that fit the ledger, so that no owner alone fills it."""

_LONGEST_BATCH = 1.0
"""
Seconds that the next batch is expected to take, at most. A request has 4.5 seconds: capped far below, one slow batch
cannot make every later request fail as overload.
"""

_BATCH_SECONDS_DECAY = 0.8
"""After each batch the next one is expected to take this share of the time, unless the last one took longer."""

_REST_WITHIN = 6.0
"""Seconds that a reader of usage waits for a batch to end: more than one write takes, less than half of an edit's."""

_USAGE_WATCH_SECONDS = 1.0
"""How long a batch waits for our watch. After that the API server is asked to call again."""


_ASKED_AGAIN_AFTER = 0.1
"""
Seconds until requests are decided again that wait for others to give back what they were granted, if the ledger does
not change before.
"""

_TOO_MANY = "too many requests wait for the ledger: try again in a few seconds"


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request that waits for its answer. `came` is its order number, see `StoredLedger`."""

    charge: Charge
    decide: Decide
    dry_run: bool
    came: int
    deadline: float
    answer: asyncio.Future[Decision]
    waits_for: tuple[Limit, ...] = ()
    """The limits under which it fits only once others have given back what they were granted."""

    def too_late(self) -> UnavailableError:
        """Return the answer to a request for which others have not given back in time what they were granted."""
        return UnavailableError("granted", _why_granted(self.waits_for), affects_all=True)

    def fail(self, error: Exception) -> None:
        """Raise *error* where the answer is awaited, if it still is."""
        if not self.answer.done():
            self.answer.set_exception(error)


class _Verdict(NamedTuple):
    """What was decided for a request that waits; its caller gets it once it is final."""

    waiting: _Waiting
    decision: Decision


class BatchError(WebhookError):
    """A defect of ours failed the whole batch of a request. `__cause__` is that error."""


def _fail_all(waiting: Iterable[_Waiting], error: Exception) -> None:
    """Give each an error of its own: one error that several calls raise collects the tracebacks of all."""
    for each in waiting:
        if isinstance(error, UnavailableError):
            each.fail(error.again())
            continue
        failed = BatchError(f"the batch of requests failed: {error!r}")
        failed.__cause__ = error
        each.fail(failed)


class SharedLedger:
    """A `LedgerStore` for any number of replicas. Belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - one ledger needs all of it, and only wiring calls this
        self,
        index: UsageIndex,
        stored_ledger: StoredLedger,
        *,
        expiry_seconds: float,
        monotonic: Callable[[], float],
        in_step: Callable[[], Condition],
        charged: Sequence[str],
        stored_policies: StoredPolicies,
        on_decided_in_memory: Callable[[], None],
    ) -> None:
        """
        Decide by *index*, which the view of *stored_ledger* updates. *stored_policies* tells whether edits were stored.

        A reservation is held at least *expiry_seconds* unless its object is seen first. *in_step* tells whether the
        index shows what exists. *charged* are the resources that this replica watches. *on_decided_in_memory* is called
        for each decision that was made under a grant, without a swap.
        """
        self._index = index
        self._stored_ledger = stored_ledger
        self._view = stored_ledger.view
        self._monotonic = monotonic
        self._in_step = in_step
        self._charged = charged
        self._stored_policies = stored_policies
        self._on_decided_in_memory = on_decided_in_memory
        self._queue: list[_Waiting] = []
        self._postponed: list[_Waiting] = []
        self._waiting: Counter[str] = Counter()
        self._at_work: asyncio.Task[None] | None = None
        self._at_grants: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._expirations = Expirations(stored_ledger, self._lock, expiry_seconds, charged, stored_policies)
        self._moved = asyncio.Event()
        self._batch_seconds = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the ledger was ever read."""
        return self._stored_ledger.is_known

    def condition(self) -> Condition:
        """Return whether the ledger allows decisions."""
        return self._stored_ledger.condition

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        """
        Decide with the next batch; at once if the charge does not grow, or if a grant of this replica has room for it.

        See `Transactions.transact`.
        """
        decided = partial(self._transact, charge, decide, dry_run=dry_run, deadline=deadline)
        return await retry_while_promises_change(decided, deadline=deadline, monotonic=self._monotonic)

    async def _transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        if not (condition := self._in_step()).ok:
            raise UnavailableError(condition.reason, condition.message)
        if not charge.grows:
            # No usage can deny it, and it reserves nothing: it needs no ledger, not even an open one. If its base is
            # stale, etcd rejects it.
            return decide(self._index)
        if (decision := self._in_memory(charge, decide, dry_run=dry_run)) is not None:
            return decision
        owner = charge.payer.owner
        if self._view.in_flight(owner) + self._waiting[owner] >= MOST_PER_OWNER:
            why = f"{owner} has {MOST_PER_OWNER} requests in flight: try again later"
            raise UnavailableError("in-flight", why, affects_all=True)
        answer: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(charge, decide, dry_run, self._stored_ledger.next_order_number(), deadline, answer)
        self._queue.append(waiting)
        self._work_off()
        self._waiting[owner] += 1
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                return await answer
        except TimeoutError as error:
            why = self.condition().message or "the deadline passed before the decision was stored"
            if waiting.waits_for:
                raise waiting.too_late() from error
            raise UnavailableError("deadline", why) from error
        finally:
            self._waiting[owner] -= 1
            if not self._waiting[owner]:
                del self._waiting[owner]

    def _in_memory(self, charge: Charge, decide: Decide, *, dry_run: bool) -> Decision | None:
        """Return the decision if it needs no swap, None for what has to be decided on the ledger."""
        if not self._view.may_decide_in_memory(charge):
            return None
        decision = decide(self._index)
        if not self._view.allow_in_memory(decision, dry_run=dry_run):
            return None
        self._on_decided_in_memory()
        if self._view.grants.is_low:
            self._tend_grants()
        return decision

    def _work_off(self) -> None:
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())

    def _ask_again(self) -> None:
        """Have those decided again that wait for others to give back what they were granted."""
        if self._postponed:
            self._queue[:0] = self._postponed  # they came first
            self._postponed.clear()
            self._work_off()

    def settled(self, reservations: Iterable[Reservation], *, seen_at: int) -> None:
        """Settle the reservations; the next write takes them out of the ledger. See `LedgerStore.settled`."""
        self._view.settle(reservations, seen_at=seen_at)

    def on_event(self, stored: StoredText) -> None:
        """Record what the watch of the ledger shows: others may want back what was granted here."""
        self._stored_ledger.on_event(stored)
        self._ask_again()
        if self._view.grants.own.is_taken:
            self._tend_grants(is_new=True)

    def counted_anew(self) -> None:
        """See `LedgerStore.counted_anew`."""
        self._view.grants.counted_anew()
        self._tend_grants()

    async def give_back(self) -> None:
        """See `LedgerStore.give_back`."""
        self._view.grants.stop()
        await self._look_after_grants()
        if self._view.grants.own.is_taken:
            log.warning("the grant of this replica is not given back: others count it for 50 seconds more")

    def _tend_grants(self, *, is_new: bool = False) -> None:
        """Swap if grants ask for it, in the background; load what the watch has shown before if that *is_new*."""
        if (is_new or self._view.grants.is_due(self._view.ledger)) and (
            self._at_grants is None or self._at_grants.done()
        ):
            self._at_grants = asyncio.create_task(self._look_after_grants())

    async def _look_after_grants(self) -> None:
        try:
            async with self._lock:
                await self._stored_ledger.catch_up()
                await self._swap_while(self._view.grants.is_due)
                await self._stored_ledger.catch_up()
                await self._swap_while(self._view.grants.is_recalled)  # an event of the ledger meanwhile began nothing
        except UnavailableError:
            return  # `maintain` tries again

    async def _swap_while(self, is_due: Callable[[Ledger], bool]) -> None:
        """Swap once, if *is_due* says so of the present version. Raises: UnavailableError."""
        while is_due(self._view.ledger):
            await self._stored_ledger.wait_for_turn(is_busy=False)
            if await self._swap():
                return
            await self._stored_ledger.refresh()

    def watch_moved(self) -> None:
        """Record that the watch of a charged resource has reached another version."""
        self._moved.set()

    # What is promised.

    async def mark(self, edit: MarkedEdit, *, since: datetime | None, deadline: float) -> str:
        """Stop all replicas from deciding in classes of nodes until *edit* is over. See `PromiseOrdering.mark`."""
        if not (condition := self._in_step()).ok:
            raise UnavailableError(condition.reason, condition.message)
        try:
            async with asyncio.timeout(deadline - self._monotonic()), self._lock:
                return await self._mark(edit, since)
        except TimeoutError as error:
            raise UnavailableError("deadline", "the edit could not be marked in the ledger in time") from error

    async def _mark(self, edit: MarkedEdit, since: datetime | None) -> str:
        await self._stored_ledger.catch_up()
        while True:
            await self._stored_ledger.wait_for_turn(is_busy=bool(self._queue))
            self._stored_ledger.check_open()
            await self._until_caught_up()
            self._view.order.check_may_mark(self._view.ledger)
            token = self._view.order.mark(edit, since=since)
            try:
                is_written = await self._swap()
            except BaseException:
                self._view.order.unmark(token)  # the swap may still have succeeded: the next one takes the mark out
                raise
            if is_written:
                return token
            await self._stored_ledger.refresh()

    async def unmark(self, token: str) -> None:
        """Take out the mark of an edit that was refused. See `PromiseOrdering.unmark`."""
        self._view.order.unmark(token)
        try:
            await self._write_down()
        except UnavailableError:
            return  # `maintain` writes it

    def policy_seen(self, seen: Mapping[str, StoredVersion], *, version: int) -> None:
        """Record which ConfigMaps of the policy are stored. See `PromiseOrdering.policy_seen`."""
        self._view.order.policy_seen(seen, version=version)

    def policy_in_force(self, seen: Mapping[str, StoredVersion] | None, *, version: int, changed_at: int) -> None:
        """Record from which ConfigMaps the policy in force was read. See `PromiseOrdering.policy_in_force`."""
        self._view.order.policy_in_force(seen, version=version, changed_at=changed_at)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """
        Enter between two batches: what one holds may be undone until its swap has landed.

        Raises: UnavailableError if that takes longer than `_REST_WITHIN`: an edit with a reason must not wait in vain.
        """
        try:
            async with asyncio.timeout(_REST_WITHIN):
                await self._lock.acquire()
        except TimeoutError as error:
            why = f"the ledger had no batch that ended within {_REST_WITHIN:g} s"
            raise UnavailableError("ledger-write", why) from error
        try:
            yield
        finally:
            self._lock.release()

    def require_no_open_edit(self) -> None:
        """Check that this replica may decide in classes of nodes. Raises: PromisesChangingError."""
        self._view.order.require_no_open_edit(self._view.ledger)

    def time(self, now: datetime) -> datetime:
        """Return the time to decide by. See `PromiseOrdering.time`."""
        return self._view.order.time(self._view.ledger, now)

    # Maintenance from outside.

    async def maintain(self, *, quorum: QuorumReader) -> Maintenance:
        """See `LedgerStore.maintain`. Raises: StoreRestoredError, after which this process has to end."""
        try:
            async with self._lock:
                self._stored_ledger.check_history()
                await self._stored_ledger.catch_up()
                newest_policy = self._stored_policies.newest_version
                await self._stored_ledger.open_again(lambda: self._newest(quorum), newest_policy)
        except UnavailableError as error:
            return Maintenance(failures=(error,))
        if not self._view.ledger.is_open:
            return Maintenance()
        lookups = Lookups(quorum)
        await self._read_newest(lookups)
        expired = await self._expirations.run(lookups)
        try:
            await self._write_down()
        except UnavailableError as error:
            return Maintenance(expired, (*lookups.failures, error))
        return Maintenance(expired, lookups.failures)

    # Deciding.

    async def _work(self) -> None:
        """Decide what waits, batch by batch, until nothing does."""
        while self._queue:
            batch: list[_Waiting] = []
            self._draw(batch, _MOST_AT_ONCE)
            begun = self._monotonic()
            try:
                async with self._lock:
                    await self._decide_what_fits(batch)
                took = self._monotonic() - begun
                self._batch_seconds = min(max(took, self._batch_seconds * _BATCH_SECONDS_DECAY), _LONGEST_BATCH)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the callers that wait
                _fail_all(batch, error)

    async def _decide_what_fits(self, batch: list[_Waiting]) -> None:
        """Decide all of *batch*; those at its end fail if the ledger is full. Raises: UnavailableError."""
        most = _MOST_AT_ONCE
        while most:
            try:
                await self._decide(batch, most)
            except LedgerFullError as error:
                # Writing a text of that size takes some ms: drop as many as should not fit, not one by one.
                most = int(len(batch) * max(error.share, 0.0) * _CAUTION)
                _fail_all(batch[most:], error)
                del batch[most:]
            else:
                return

    async def _decide(self, batch: list[_Waiting], most: int) -> None:
        """
        Answer all of *batch* but those that have to wait for others to give back what they were granted.

        Requests that arrive while we wait for our turn are added to it, up to *most*. Raises: UnavailableError.
        """
        await self._stored_ledger.catch_up()
        while True:
            await self._stored_ledger.wait_for_turn(is_busy=len(batch) + len(self._queue) > 1)
            self._stored_ledger.check_open()
            await self._until_caught_up()
            self._draw(batch, most)
            verdicts = self._decide_each(batch)
            final = await self._write_or_confirm(verdicts)
            for waiting, decision in final or ():
                if not waiting.answer.done():
                    waiting.answer.set_result(decision)
            if final is not None and len(final) == len(verdicts):
                if postponed := [each for each in batch if each.waits_for and not each.answer.done()]:
                    self._postponed += postponed
                    asyncio.get_running_loop().call_later(_ASKED_AGAIN_AFTER, self._ask_again)
                return
            await self._stored_ledger.refresh()

    def _draw(self, batch: list[_Waiting], most: int) -> None:
        """
        Fill *batch* up to *most* with requests that still wait, in the order in which they came.

        Requests that cannot be answered by their deadline fail at once: deciding them would delay others, and leave
        reservations for writes that the API server has given up.
        """
        batch[:] = [each for each in batch if not each.answer.done()]
        end = self._monotonic() + self._batch_seconds
        drawn = 0
        for each in self._queue:
            if len(batch) >= most:
                break
            drawn += 1
            if each.deadline < end:
                each.fail(each.too_late() if each.waits_for else UnavailableError("overload", _TOO_MANY))
            elif not each.answer.done():
                batch.append(each)
        del self._queue[:drawn]

    def _decide_each(self, batch: list[_Waiting]) -> list[_Verdict]:
        """
        Decide one after another, each on what those before it leave. Nothing stays held if that fails.

        What has to wait for others to give back what they were granted has no verdict.
        """
        try:
            return self._held_verdicts(batch)
        except BaseException:
            self._view.undo()
            raise

    def _held_verdicts(self, batch: list[_Waiting]) -> list[_Verdict]:
        verdicts: list[_Verdict] = []
        for each in batch:
            try:
                decision = each.decide(self._index)
                each.waits_for = self._view.granted_to_others(decision, each.decide)
            except Exception as error:  # noqa: BLE001 - whatever it is, it concerns its caller alone
                each.fail(error)
                continue
            if each.waits_for:
                continue
            if (reservation := _reservation_of(decision, dry_run=each.dry_run)) is not None:
                try:
                    self._view.check_series(reservation)
                except UnavailableError as error:
                    each.fail(error)
                    continue
                self._view.hold(reservation)
                self._view.grants.asked(decision)
            verdicts.append(_Verdict(each, decision))
        return verdicts

    async def _write_or_confirm(self, verdicts: list[_Verdict]) -> list[_Verdict] | None:
        """
        Store what the verdicts allow; return those that are final, None if another write came first.

        Then everything is undone. With nothing to store, neither reservations nor marks nor recalls, those are final
        whose request came before the read or swap began that confirmed our version. No refusal waits for those that
        come after it.

        Raises: UnavailableError if the write may have been stored: those who ask get it, and what was written stays in
        the ledger until it is seen or expires.
        """
        if self._view.has_additions:
            return verdicts if await self._swap() else None
        return [each for each in verdicts if each.waiting.came < self._stored_ledger.confirmed_at]

    async def _swap(self) -> bool:
        """Store the next version; return False, and undo what is tentative, if another write came first."""
        try:
            is_written = await self._stored_ledger.swap(self._view.next_version(may_take=self._in_step().ok))
        except BaseException:
            self._view.undo()
            raise
        if not is_written:
            self._view.undo()
        return is_written

    async def _until_caught_up(self) -> None:
        """Wait until our watch has shown what was taken out of the ledger. Raises: UnavailableError."""
        try:
            async with asyncio.timeout(_USAGE_WATCH_SECONDS):
                while self._view.unreached_target():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise UnavailableError("watch-behind", self._why_behind()) from error

    def _why_behind(self) -> str:
        target = self._view.unreached_target()
        if target is None:
            return "our watch was behind the ledger"
        if target.version is None:
            return f"the ledger was lost, and what is stored of {target.resource} has not been read since"
        position = self._index.position(target.resource)
        return f"our watch of {target.resource} is at version {position}, the ledger at {target.version}"

    # Maintenance.

    async def _newest(self, quorum: QuorumReader) -> dict[str, int]:
        return {resource: await quorum.newest_version(resource) for resource in self._charged}

    async def _read_newest(self, lookups: Lookups) -> None:
        """Read the newest version of each resource that was not read when a lost ledger was opened."""
        for resource, newest in (await lookups.newest(tuple(self._view.unread_resources()))).items():
            self._view.set_newest(resource, newest)
            self._moved.set()

    async def _write_down(self) -> None:
        """Take what is settled or expired out of the ledger, and write ages that are due. Raises: UnavailableError."""
        async with self._lock:
            # After a failed write one is tried each second, to learn whether writing works again.
            if self._view.has_removals or not self._stored_ledger.last_write_ok or self._expirations.is_age_due:
                await self._stored_ledger.catch_up()
                await self._stored_ledger.wait_for_turn(is_busy=False)
                await self._swap()


def _why_granted(limits: Iterable[Limit]) -> str:
    names = ", ".join(dict.fromkeys(f"{each.entry}: {each.resource}" for each in limits))
    return (
        f"{names}: it fits into what is free, but that is granted to other replicas, which have not given it back in "
        f"time: try again (of a replica that is gone it is free within a minute)"
    )


def _reservation_of(decision: Decision, *, dry_run: bool) -> Reservation | None:
    """Return what *decision* reserves; None if that is nothing, as with a dry-run."""
    return decision.reservation if isinstance(decision, Allowed) and not dry_run else None
