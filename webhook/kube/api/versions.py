"""
Resource versions as integers: Kubernetes promises them since 1.35, and etcd has always made them.
"""

from __future__ import annotations

from webhook.ports import UnavailableError

_MOST_DIGITS = 20
"""Digits of an unsigned integer of 64 bits. Python itself refuses to read thousands of them."""


def parsed(resource_version: str) -> int | None:
    """Return a resourceVersion as an integer, None if it is none."""
    is_integer = resource_version.isascii() and resource_version.isdecimal() and len(resource_version) <= _MOST_DIGITS
    return int(resource_version) if is_integer else None


def version_read(resource_version: str) -> int:
    """Return the resourceVersion of an object that was read, as an integer. Raises: UnavailableError if it is none."""
    version = parsed(resource_version)
    if version is None:
        why = f"the answer has the resourceVersion {resource_version[:64]!r}, which is no integer"
        raise UnavailableError("api-server", why)
    return version
