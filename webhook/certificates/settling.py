"""
Since when API servers have trusted a certificate, as far as the caBundles show it.

Pure: the time is a parameter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

SETTLE_SECONDS: Final = 60.0
"""
How long every caBundle has to hold an authority before what it signs is served. An API server learns of a changed
caBundle by a watch: within a second, or, if that watch stands still, when it is opened again.
"""


class Trusted:
    """Remembers since when every caBundle has held each certificate. *monotonic* times are in seconds."""

    def __init__(self) -> None:
        self._since: Mapping[bytes, float] = {}

    def observe(self, bundle: Collection[bytes], *, now: float) -> None:
        """Record the certificates that every caBundle holds now, PEM each."""
        self._since = {each: self._since.get(each, now) for each in bundle}

    def may_replace(self, old: Collection[bytes], new: Collection[bytes], *, now: float) -> bool:
        """
        Whether what the authorities *new* vouch for may be served in the place of what *old* do.

        It may once every caBundle has held *new* for a minute, and at once if it holds none of *old* any more.
        """
        if not all(each in self._since for each in new):
            return False
        is_old_gone = not any(each in self._since for each in old)
        return is_old_gone or all(now - self._since[each] >= SETTLE_SECONDS for each in new)
