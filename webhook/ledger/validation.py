"""
Detects ledger texts that are stale, copied or foreign, and counts how old a ledger and its reservations are.

No I/O. The caller decides what to do about a text that is not believed.
"""

from __future__ import annotations

from collections.abc import Callable

from webhook.ledger.codec import LedgerDamagedError, read_ledger
from webhook.ledger.ledger_object import StoredText
from webhook.ledger.protocol import Ledger


class LedgerValidator:
    """Compares what is found with the version that this replica accepted last, and with the epochs before it."""

    def __init__(self) -> None:
        """Start without an accepted version."""
        self.accepted: StoredText | None = None
        """The text that was accepted last; None before the first."""
        self._ledger: Ledger | None = None
        self._former_epochs: set[str] = set()

    def is_unchanged(self, found: StoredText) -> bool:
        """Whether *found* is the accepted text, stored again at most: another replica requested a turn, say."""
        accepted = self.accepted
        if accepted is None or (accepted.uid, accepted.text) != (found.uid, found.text):
            return False
        return not found.written_by_other and found.version >= accepted.version

    def sign_of_a_restore(self, found: StoredText) -> str:
        """Return what shows that the store was restored from a backup: *found* is older; empty if nothing does."""
        if self.accepted is None or found.version >= self.accepted.version:
            return ""
        return f"the ledger's version went back from {self.accepted.version} to {found.version}"

    def read(self, found: StoredText) -> Ledger:
        """
        Return the ledger in *found*.

        Raises: LedgerDamagedError if it cannot be what a replica wrote last; NewerFormatError.
        """
        ledger = read_ledger(found.text, uid=found.uid)
        if why := self._doubt(found, ledger):
            raise LedgerDamagedError(why)
        return ledger

    def accept(self, stored: StoredText, ledger: Ledger) -> None:
        """Record *ledger*, which is *stored*, as the present version."""
        if self._ledger is not None and self._ledger.epoch != ledger.epoch:
            self._former_epochs.add(self._ledger.epoch)
        self.accepted, self._ledger = stored, ledger

    def _doubt(self, found: StoredText, ledger: Ledger) -> str:
        """Return why this is not what a replica wrote last; empty if it may be."""
        if found.written_by_other:
            return f"it was written by {found.written_by_other}"
        if ledger.epoch in self._former_epochs:
            return "it is an older text: its epoch is over"
        return self.sign_of_a_restore(found) or self._sign_of_an_older_text(found, ledger)

    def _sign_of_an_older_text(self, found: StoredText, ledger: Ledger) -> str:
        if self.accepted is None or self._ledger is None:
            return ""
        if self.accepted.uid != found.uid:
            return "it was made anew as if there had been none" if ledger.is_first else ""
        if ledger.epoch == self._ledger.epoch and ledger.write < self._ledger.write:
            return f"it is an older text: write {ledger.write} after {self._ledger.write}"
        return ""


class TokenAges:
    """
    How old the ledger and each of its reservations are, by a clock that stops while an API server stands still.

    Each replica counts on from the highest age that it has read, so that ages outlive crashes and never exceed the time
    that has really passed.
    """

    def __init__(self, *, api_time: Callable[[], float]) -> None:
        """Count by *api_time*, in seconds: see `ApiServerLeases.time`."""
        self._api_time = api_time
        self._object_and_epoch = ("", "")
        self._began: float | None = None
        self._since: dict[str, float] = {}

    def accept(self, stored: StoredText, ledger: Ledger) -> None:
        """Count for *ledger*, which is *stored*, from now on; what is known to be older stays older."""
        now = self._api_time()
        began = now - ledger.age / 1000
        if self._began is not None and self._object_and_epoch == (stored.uid, ledger.epoch):
            began = min(began, self._began)
        self._object_and_epoch, self._began = (stored.uid, ledger.epoch), began
        since = {token: now - ledger.waited.get(token, 0) / 1000 for token in ledger.tokens}
        self._since = {token: min(each, self._since.get(token, each)) for token, each in since.items()}

    def age(self) -> int:
        """Return the age of the ledger by now, in milliseconds: see `Ledger.age`. 0 before the first was read."""
        return 0 if self._began is None else _milliseconds(self._api_time() - self._began)

    def waited(self) -> dict[str, int]:
        """Return how long each token has waited by now, in milliseconds: see `Ledger.waited`."""
        now = self._api_time()
        return {token: _milliseconds(now - since) for token, since in self._since.items()}


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
