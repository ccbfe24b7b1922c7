"""
The port of this package: one text that is replaced by compare-and-swap, and its error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from webhook.quota.errors import WebhookError


class SwapConflictError(WebhookError):
    """Another writer was first: what was read is no longer what is stored."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """
    A text as it is stored.

    `uid` changes if the object was deleted and made anew; `version` only rises. `writer` names the replica that swapped
    the text in, `next_writer` the replica that requested the next swap, if any; `written_by_other` names the writer of
    the text if that was no replica.
    """

    text: str
    uid: str
    version: int
    writer: str = ""
    next_writer: str = ""
    written_by_other: str = ""

    @property
    def is_swap(self) -> bool:
        """Whether a replica's swap was the last that happened to it: a request for a turn keeps the writer's name."""
        return bool(self.writer) and not self.next_writer


class LedgerObject(Protocol):
    """
    Where the text is kept.

    Every method raises UnavailableError if there is no answer, or none that helps. A swap may have been made, or may
    still be made, all the same.
    """

    async def read(self) -> StoredText | None:
        """Return what is stored now, past every cache; None if there is nothing."""

    async def request_turn(self, replica: str) -> StoredText | None:
        """Store beside the text that *replica* requests the next swap, and return both; None if there is no text."""

    async def create(self, text: str) -> StoredText:
        """Store the first text. Raises: SwapConflictError if there is one."""

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        """
        Replace what is stored, in the name of *writer*, if it is still *after*.

        Raises: SwapConflictError if it is not, or is gone.
        """
