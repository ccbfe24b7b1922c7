"""
The certificates of a caBundle, as sets, so that replicas which want different ones for a while do not fight.

Pure: what a replica wants comes from its certificates, what there is from the API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
OVERLAP_SECONDS: Final = 180.0
"""
How long a certificate stays that this replica does not want. Another replica may still serve what it vouches for: all
replicas read the Secret every 30 seconds and change to another authority at their third look; the kubelet brings a
changed file to every pod within about 90 seconds.
"""


def certificates(pem: bytes) -> tuple[bytes, ...]:
    """Return each certificate of a PEM text once, in order; what is around them is left out."""
    return tuple(dict.fromkeys(b"".join((found, b"\n")) for found in _CERTIFICATE.findall(pem)))


def in_all(bundles: Sequence[Sequence[bytes]]) -> tuple[bytes, ...]:
    """Return the certificates that all of *bundles* hold, in the order of the first; none if there is no bundle."""
    first, *others = bundles or ((),)
    return tuple(each for each in first if all(each in other for other in others))


class Overlap:
    """
    Remembers since when a caBundle has held certificates that this replica does not want.

    *monotonic* is in seconds. Only additions are made at once: a replica that removed at once what it does not know
    would make all calls to replicas fail that serve it, and they would put it back.
    """

    def __init__(self, monotonic: Callable[[], float], *, seconds: float = OVERLAP_SECONDS) -> None:
        self._monotonic = monotonic
        self._seconds = seconds
        self._since: dict[bytes, float] = {}

    def observe(self, bundles: Iterable[bytes], *, wanted: Sequence[bytes]) -> frozenset[bytes]:
        """Record what *bundles* hold beyond *wanted*; return what was not there at the last look."""
        now = self._monotonic()
        surplus = {each for bundle in bundles for each in certificates(bundle)} - set(wanted)
        new = frozenset(surplus - self._since.keys())
        self._since = {each: self._since.get(each, now) for each in surplus}
        return new

    def merge(self, bundle: bytes, *, wanted: Sequence[bytes], may_remove: bool) -> bytes:
        """
        Return what a caBundle has to be that is now *bundle*; the very same where nothing has to change.

        Whatever is missing of *wanted* is added. With *may_remove*, what was there for too long beyond it is left out.
        """
        present = certificates(bundle)
        surplus = [each for each in present if each not in wanted]
        kept = [each for each in surplus if not (may_remove and self._is_old(each))]
        if len(kept) == len(surplus) and set(wanted) <= set(present):
            return bundle
        return b"".join((*wanted, *kept))

    def _is_old(self, certificate: bytes) -> bool:
        return self._monotonic() - self._since.get(certificate, self._monotonic()) >= self._seconds
