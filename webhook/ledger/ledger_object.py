"""
A text that is replaced by compare-and-swap, as the ledger needs it: the port of this package, and its error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from webhook.quota.errors import WebhookError


class LostSwapError(WebhookError):
    """Somebody else was first: what was read is no longer what is stored."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """
    A text as it is stored.

    `uid` is another one if the object was deleted and made anew; `version` only rises. `writer` names the replica that
    swapped the text in, `next_writer` the one that has requested the next turn, `written_by_other` the client that
    wrote the text unless it was userquota; each is empty if there is none.
    """

    text: str
    uid: str
    version: int
    writer: str = ""
    next_writer: str = ""
    written_by_other: str = ""


class LedgerObject(Protocol):
    """
    Where the text is kept.

    Every method raises UnavailableError when there is no answer, or none that helps; a swap may have been made, or be
    made later, all the same.
    """

    async def read(self) -> StoredText | None:
        """Give what is stored now, past every cache; None if there is nothing."""

    async def request_turn(self, replica: str) -> StoredText | None:
        """Store *replica* as the next writer beside the text, and return both; None if there is no text."""

    async def create(self, text: str) -> StoredText:
        """Store the first text. Raises: LostSwapError if there is one."""

    async def swap(self, text: str, *, after: StoredText, writer: str) -> StoredText:
        """
        Replace what is stored, in the name of *writer*, if it is still *after*.

        Raises: LostSwapError if it is not, or is gone.
        """
