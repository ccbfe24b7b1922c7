"""
The two certificate authorities that all replicas share, and when each is replaced.

Pure: nothing here reads a clock or the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webhook.certificates.authority import AUTHORITY_LIFE, Authority, create_authority, renewal_time


@dataclass(frozen=True, slots=True)
class Authorities:
    """
    One authority that signs, and one that signs after it.

    Both are in every caBundle all the time: API servers trust the second one long before it signs, so that no call
    fails when it does. *following* is None where an administrator has stored an authority alone, or a version of
    userquota that knew one only.
    """

    signing: Authority
    following: Authority | None = None

    @property
    def all(self) -> tuple[Authority, ...]:
        """Both, the one that signs first."""
        return (self.signing,) if self.following is None else (self.signing, self.following)


def create_authorities(now: datetime) -> Authorities:
    """Return two new authorities. The first has half a life, so that from then on they are replaced by turns."""
    return Authorities(create_authority(now, life=AUTHORITY_LIFE / 2), create_authority(now))


def promote(found: Authorities, now: datetime) -> Authorities:
    """Return the authorities after *found*: the one that follows signs, and a new one follows."""
    return Authorities(found.following or create_authority(now), create_authority(now))


def replace_due(found: Authorities, now: datetime) -> Authorities:
    """
    Return what has to be in the place of *found* at *now*; the very same where nothing is due.

    An authority is due after two thirds of its life. With a year for each, and half a year for the first, the one that
    signs changes every four months.
    """
    following = found.following
    if following is None or _is_due(following, now):
        found = Authorities(found.signing, create_authority(now))
    return promote(found, now) if _is_due(found.signing, now) else found


def _is_due(authority: Authority, now: datetime) -> bool:
    return now >= renewal_time(authority.certificate)
