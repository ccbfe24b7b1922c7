"""
What the watch of the ledger has shown, for the time when it is needed.

Whether it is believed is decided in `validation`.
"""

from __future__ import annotations

import asyncio

from webhook.ledger.ledger_object import StoredText


class WatchedText:
    """The newest text that the watch has shown, and the last deletion. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start without either."""
        self.newest: StoredText | None = None
        self._deleted_uid = ""
        self._told = asyncio.Event()

    def on_event(self, stored: StoredText) -> None:
        """Record that *stored* was shown; of one object the highest version is kept."""
        newest = self.newest
        if newest is None or newest.uid != stored.uid or stored.version > newest.version:
            self.newest = stored
        self._told.set()

    def on_deleted(self, uid: str) -> None:
        """Record that the object *uid* was shown to be deleted."""
        self._deleted_uid = uid
        self._told.set()

    def has_deleted(self, uid: str) -> bool:
        """Whether the object *uid* was the last that was shown to be deleted."""
        return uid == self._deleted_uid

    def newer_than(self, known: StoredText | None) -> StoredText | None:
        """Return the newest text if it is of the same object as *known* and newer."""
        newest = self.newest
        if newest is None or known is None or newest.uid != known.uid or newest.version <= known.version:
            return None
        return newest

    async def wait(self, seconds: float) -> bool:
        """Wait until the watch shows anything, at most *seconds*; return whether it did."""
        self._told.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._told.wait()
        except TimeoutError:
            return False
        return True
