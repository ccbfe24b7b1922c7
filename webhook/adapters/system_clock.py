"""The clock of this machine. The only place that asks it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Port `Clock`."""

    def now(self) -> datetime:
        """Give the wall clock."""
        return datetime.fromtimestamp(time.time(), UTC)

    def monotonic(self) -> float:
        """Give seconds since some moment."""
        return time.monotonic()
