"""
The resources that stored objects ask for and that nothing counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.usage import UsageIndex

MOST = 20
"""Names, of one object and in all that is shown. Anybody may invent as many as fit into an object."""


class _Entry(NamedTuple):
    """The uid of an object and the first names that it asks for."""

    uid: str
    names: tuple[str, ...]


class Uncounted:
    """One entry for each such object, as long as the index shows it; nothing is kept for other objects."""

    def __init__(self, index: UsageIndex) -> None:
        """Follow what *index* shows."""
        self._index = index
        self._entries: dict[ObjectKey, _Entry] = {}
        self._objects: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> tuple[str, ...]:
        """Return some of the names, at most MOST, sorted: those that have been there longest."""
        return tuple(sorted(islice(self._objects, MOST)))

    def update(self, key: ObjectKey, stored: StoredVersion, names: frozenset[str]) -> None:
        """Keep the *names* that an object asks for, if the index has just taken it at this version."""
        if not names and key not in self._entries:
            return
        if (row := self._index.row(key)) is None or (row.uid, row.version) != stored:
            return
        self._drop(key)
        if names:
            kept = tuple(sorted(names)[:MOST])
            self._entries[key] = _Entry(stored.uid, kept)
            self._objects.update(kept)

    def prune(self, keys: Iterable[ObjectKey] | None = None) -> None:
        """Drop the entries of *keys*, of all if None, whose objects the index no longer shows."""
        for key in list(self._entries) if keys is None else keys:
            entry = self._entries.get(key)
            if entry is not None and ((row := self._index.row(key)) is None or row.uid != entry.uid):
                self._drop(key)

    def _drop(self, key: ObjectKey) -> None:
        entry = self._entries.pop(key, None)
        for name in () if entry is None else entry.names:
            self._objects[name] -= 1
            if not self._objects[name]:
                del self._objects[name]
