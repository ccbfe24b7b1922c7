"""
What a check says: its verdict, what was found, and what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`NOT_YET`: it belongs to an installation, and there is none."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    The outcome of one check, whose *check* is a stable id.

    *found* is one line, and so is *fix*, which is empty if there is nothing to do; *details* are all that *found* sums
    up.
    """

    check: str
    verdict: Verdict
    found: str
    fix: str = ""
    details: tuple[str, ...] = ()


def ok(check: str, found: str, *, details: tuple[str, ...] = ()) -> Finding:
    """Return that nothing is wrong."""
    return Finding(check, Verdict.OK, found, details=details)


def wrong(check: str, found: str, fix: str, *, details: tuple[str, ...] = ()) -> Finding:
    """Return what is wrong and its fix."""
    return Finding(check, Verdict.WRONG, found, fix, details)


def unknown(check: str, found: str, fix: str) -> Finding:
    """Return what could not be looked at, and what would let one."""
    return Finding(check, Verdict.UNKNOWN, found, fix)


def not_yet(check: str, found: str) -> Finding:
    """Return that this comes with the installation."""
    return Finding(check, Verdict.NOT_YET, found)


def listed(items: tuple[str, ...], *, most: int = 2) -> str:
    """Return the first of *items* in one line, and how many more there are."""
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more
