"""
Begin a ledger: the first one of an installation, or one in the place of one that was lost.

Whether a text is believed is decided in `validation`; a lost ledger is opened again by `stored_ledger`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from webhook.ledger.codec import write_ledger
from webhook.ledger.ledger_object import LedgerObject, StoredText
from webhook.ledger.protocol import Ledger

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LedgerBeginnings:
    """
    Begins ledgers in `stored_in`, in the name of `replica`.

    Both methods raise SwapConflictError if another replica was first, and UnavailableError.
    """

    stored_in: LedgerObject
    replica: str
    new_epoch: Callable[[], str]
    may_have_been_called: Callable[[], Awaitable[bool]]
    on_lost: Callable[[str], None]

    async def begin_first(self, *, is_known: bool) -> StoredText:
        """
        Store a ledger where there is none, and return it.

        It replaces a lost one if *is_known*, because one was read before, or if an API server may have called us
        before.
        """
        if is_known or await self.may_have_been_called():
            created = await self.stored_in.create(write_ledger(Ledger.rebuilding(self.new_epoch()), uid=""))
            self._report_loss("it was deleted")
            return created
        first = Ledger.first(self.new_epoch())
        log.info("the first ledger of this installation", epoch=first.epoch)
        created = await self.stored_in.create(write_ledger(first, uid=""))
        return await self._swap(first.opened({}), after=created)

    async def replace_damaged(self, stored: StoredText, why: str) -> tuple[StoredText, Ledger]:
        """Store a ledger in the place of *stored*, which is lost for the reason *why*, and return it."""
        ledger = Ledger.rebuilding(self.new_epoch())
        written = await self._swap(ledger, after=stored)
        self._report_loss(why)
        return written, ledger

    async def _swap(self, ledger: Ledger, *, after: StoredText) -> StoredText:
        return await self.stored_in.swap(write_ledger(ledger, uid=after.uid), after=after, writer=self.replica)

    def _report_loss(self, why: str) -> None:
        log.error("a new ledger is begun: nothing is allowed until what was in flight has expired", why=why)
        self.on_lost(why)
