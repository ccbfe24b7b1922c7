"""
Which objects on the book were never admitted by us: made while nobody asked us, or older than the installation.

What they cost is the book's matter, on the account of nobody. How one tells them from others: see `admission.booked`.
"""

from __future__ import annotations


class Unadmitted:
    """Objects by uid. Those of the first full list are no news: nobody can say when they were made past us."""

    def __init__(self) -> None:
        """Know of none yet."""
        self._uids: set[str] = set()
        self._listed: set[str] | None = None
        self._is_complete = False

    def __len__(self) -> int:
        return len(self._uids)

    def list_started(self) -> None:
        """Begin a full list, perhaps again before the last one was complete."""
        self._listed = set()

    def list_finished(self) -> None:
        """Forget what the list did not show. From now on whatever appears is news."""
        if self._listed is not None:
            self._uids, self._listed = self._listed, None
        self._is_complete = True

    def seen(self, uid: str, *, is_unadmitted: bool) -> bool:
        """Take in that an object exists; say whether this is the first that is heard of an unadmitted one."""
        if not is_unadmitted:
            self.gone(uid)
            return False
        is_news = self._is_complete and uid not in self._uids
        self._uids.add(uid)
        if self._listed is not None:
            self._listed.add(uid)
        return is_news

    def gone(self, uid: str) -> None:
        """Take in that an object is gone."""
        self._uids.discard(uid)
        if self._listed is not None:
            self._listed.discard(uid)
