"""
Keeps a copy of the last good policy, so that a replica can start while what is written has mistakes.

Without it, such a replica would have no policy at all, and would not get ready until the text is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import structlog

from webhook.documents.policy_copy import CopiedPolicy, PolicyCopy, PolicyCopyError, decode_copy, encode_copy
from webhook.documents.policy_text import PolicyText
from webhook.ports import Sleep, UnavailableError

log = structlog.get_logger(__name__)

_MOST_BYTES = 700_000
"""What a ConfigMap takes is 1 MiB, and base64 adds a third on the way. A policy of 21 000 users has 70 to 100 kB."""

_BETWEEN_ATTEMPTS = 10.0
"""Seconds until a copy that could not be written is tried again."""


class LastGoodPolicy:
    """
    The copy that all replicas share. Each writes it when another policy comes into force; the first one is enough.

    A replica whose watch lags never replaces the copy of a later policy.
    """

    def __init__(self, copy: PolicyCopy, *, sleep: Sleep = asyncio.sleep) -> None:
        """Keep the texts in *copy*."""
        self._copy = copy
        self._sleep = sleep
        self._waiting: CopiedPolicy | None = None
        self._changed = asyncio.Event()

    def keep(self, texts: Sequence[PolicyText], *, version: int) -> None:
        """Have `run` keep *texts*, which are in force and were written at *version*."""
        self._waiting = CopiedPolicy(tuple(texts), version)
        self._changed.set()

    async def read(self) -> CopiedPolicy | None:
        """Return the policy that is kept, None if none is or it cannot be decoded. Raises: UnavailableError."""
        stored = await self._copy.read()
        if stored is None:
            return None
        try:
            return await asyncio.to_thread(decode_copy, stored.content)
        except PolicyCopyError as error:
            log.error("the copy of the last good policy is lost", why=str(error))  # noqa: TRY400 - no fault of the code
            return None

    async def run(self) -> NoReturn:
        """Write what is to be kept until cancelled; what cannot be written is logged and tried again."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while (policy := self._waiting) is not None:
                try:
                    await self._write(policy)
                except UnavailableError as error:
                    log.warning("the last good policy cannot be copied", why=str(error))
                    await self._sleep(_BETWEEN_ATTEMPTS)
                    continue
                if self._waiting is policy:
                    self._waiting = None

    async def _write(self, policy: CopiedPolicy) -> None:
        content = await asyncio.to_thread(encode_copy, policy.texts, version=policy.version)
        if len(content) > _MOST_BYTES:
            log.warning(
                "the policy is too large to be copied: a replica that starts beside a mistake has no policy",
                bytes=len(content),
                most=_MOST_BYTES,
            )
            return
        while True:
            stored = await self._copy.read()
            if stored is not None:
                known = await asyncio.to_thread(_decoded, stored.content)
                if known is not None and _supersedes(known, policy, stored_at=stored.resource_version):
                    return
            if await self._copy.write(content, after=stored):
                return


def _supersedes(known: CopiedPolicy, policy: CopiedPolicy, *, stored_at: int) -> bool:
    """Whether the copy that is *known* may stay: it has the same texts, or later ones."""
    if sorted(known.texts, key=str) == sorted(policy.texts, key=str):
        return True
    # A copy cannot hold texts that were written after it, unless it was brought here from another cluster.
    return policy.version <= known.version <= stored_at


def _decoded(content: bytes) -> CopiedPolicy | None:
    try:
        return decode_copy(content)
    except PolicyCopyError:
        return None
