"""
What one replica remembers of the ledger, how old that is, and what makes a text that is found now unbelievable.

No I/O. What follows from disbelief is the keeper's.
"""

from __future__ import annotations

from collections.abc import Callable

from webhook.ledger.codec import LedgerDamagedError, read_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger


class LedgerValidator:
    """The version last accepted, the epochs before it, and since when, at the latest, it and its tokens are there."""

    def __init__(self, *, api_time: Callable[[], float]) -> None:
        """Remember nothing yet. *api_time* gives the time by which things age: see `StoredLedger`."""
        self._api_time = api_time
        self.stored: StoredText | None = None
        self._ledger: Ledger | None = None
        self._epochs: set[str] = set()
        self._counted = ("", "")
        self._began = 0.0
        self._given: dict[str, float] = {}

    def knows(self, stored: StoredText) -> bool:
        """Say whether nothing but the version may have changed: somebody has claimed a turn, say."""
        known = self.stored
        if known is None or (known.uid, known.text) != (stored.uid, stored.text):
            return False
        return not stored.written_by_other and stored.version >= known.version

    def how_it_went_back(self, stored: StoredText) -> str:
        """Say what shows that the store was restored from a backup: what it has is older than what it had."""
        if self.stored is None or stored.version >= self.stored.version:
            return ""
        return f"the ledger's version went back from {self.stored.version} to {stored.version}"

    def read(self, stored: StoredText) -> Ledger:
        """
        Give the ledger that is *stored*.

        Raises: LedgerDamagedError if it cannot be what a replica wrote last, NewerFormatError.
        """
        ledger = read_ledger(stored.text, uid=stored.uid)
        if why := self._disbelief(stored, ledger):
            raise LedgerDamagedError(why)
        return ledger

    def accept(self, stored: StoredText, ledger: Ledger) -> None:
        """Remember that this is the ledger now."""
        if self._ledger is not None and self._ledger.epoch != ledger.epoch:
            self._epochs.add(self._ledger.epoch)
        self.stored, self._ledger = stored, ledger
        now = self._api_time()
        began = now - ledger.age / 1000
        if self._counted == (stored.uid, ledger.epoch):
            began = min(began, self._began)
        self._counted, self._began = (stored.uid, ledger.epoch), began
        given = {token: now - ledger.waited.get(token, 0) / 1000 for token in ledger.reservations}
        self._given = {token: min(since, self._given.get(token, since)) for token, since in given.items()}

    def age(self) -> int:
        """Give the age of the ledger by now, in milliseconds: see `Ledger.age`. 0 as long as nothing was read."""
        return 0 if self._ledger is None else _milliseconds(self._api_time() - self._began)

    def waited(self) -> dict[str, int]:
        """Give what each token of the ledger has waited by now, in milliseconds: see `Ledger.waited`."""
        now = self._api_time()
        return {token: _milliseconds(now - since) for token, since in self._given.items()}

    def _disbelief(self, stored: StoredText, ledger: Ledger) -> str:
        """Say why this is not what a replica wrote last, empty if it may be."""
        if stored.written_by_other:
            return f"it was written by {stored.written_by_other}"
        if ledger.epoch in self._epochs:
            return "it is an older text: its epoch is over"
        if self.stored is None or self._ledger is None:
            return ""
        if evidence := self.how_it_went_back(stored):
            return evidence
        return _how_much_older(stored, ledger, known=self.stored, before=self._ledger)


def _how_much_older(stored: StoredText, ledger: Ledger, *, known: StoredText, before: Ledger) -> str:
    """Say how this went back behind what was known *before*, empty if it did not."""
    if known.uid != stored.uid:
        return "it was made anew as if there had been none" if ledger.is_first else ""
    if ledger.epoch == before.epoch and ledger.write < before.write:
        return f"it is an older text: write {ledger.write} after {before.write}"
    return ""


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
