"""
How large the text of the ledger may become, and the error of one that is too large.
"""

from __future__ import annotations

from webhook.ports import UnavailableError

MOST_BYTES = 900_000
"""A ConfigMap takes 1 MiB. About 8 000 reservations; more than a few hundred only where no object is seen any more."""


class LedgerFullError(UnavailableError):
    """What is in flight fills the object; nothing was written."""

    def __init__(self, count: int, *, share: float) -> None:
        """Keep the number of reservations there would be, and the share of the new ones that there is room for."""
        self.share = share
        super().__init__("ledger-full", f"{count} reservations are in flight: no room for more", affects_all=True)


def check_size(text: str, *, before: str, count: int) -> None:
    """Check that *text*, of *count* reservations, may be stored in the place of *before*. Raises: LedgerFullError."""
    if (size := len(text.encode())) > MOST_BYTES:
        held = len(before.encode())
        share = (MOST_BYTES - held) / (size - held) if size > held else 0.0
        raise LedgerFullError(count, share=share)
