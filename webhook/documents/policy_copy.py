"""
The texts of the last good policy as a few bytes that outlive a restart, and the port of the object that keeps them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from webhook.documents.policy_text import PolicyText
from webhook.quota.errors import WebhookError

_MOST_BYTES = 64 * 1024 * 1024
"""Bytes of texts in a copy. Sixty ConfigMaps of 1 MiB are no policy; a few bytes of gzip can stand for gigabytes."""


class PolicyCopyError(WebhookError):
    """What is stored is no copy of a policy."""


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """The bytes that are stored, and the object that holds them: its uid and its resource version."""

    content: bytes
    uid: str
    resource_version: int


class PolicyCopy(Protocol):
    """One object that all replicas share."""

    async def read(self) -> StoredCopy | None:
        """Return what is stored, None if nothing is. Raises: UnavailableError."""

    async def write(self, content: bytes, *, after: StoredCopy | None) -> bool:
        """
        Replace what is stored if it is still *after*; None stands for no object.

        Returns False if it was not, because another replica wrote. Raises: UnavailableError.
        """


@dataclass(frozen=True, slots=True)
class CopiedPolicy:
    """The texts of a policy that was in force, and the resource version at which they were written."""

    texts: tuple[PolicyText, ...]
    version: int


def encode_copy(texts: Sequence[PolicyText], *, version: int) -> bytes:
    """Return the texts as bytes, compressed: the same for the same texts, in whatever order they are given."""
    content = {"version": version, "texts": [[text.source, text.text] for text in sorted(texts, key=_source)]}
    return gzip.compress(msgspec.json.encode(content), mtime=0)


def decode_copy(content: bytes) -> CopiedPolicy:
    """Return what `encode_copy` was given. Raises: PolicyCopyError."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(content, _MOST_BYTES)
        if not unzip.eof:
            raise PolicyCopyError("the copy of the policy is cut short, or has more than 64 MiB of text")
        found = msgspec.json.decode(plain, type=_Content)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyCopyError(f"the copy of the policy cannot be decoded: {error}") from error
    return CopiedPolicy(tuple(PolicyText(source, text) for source, text in found.texts), found.version)


class _Content(msgspec.Struct):
    version: int
    texts: list[tuple[str, str]]


def _source(text: PolicyText) -> str:
    return text.source
