"""
Whether the API still has the history that a watch of ours has seen. A store restored from a backup has not.

The watch itself cannot tell: it waits in silence for a version that is yet to come, while the book shows objects that
never were and lacks others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog

from webhook.adapters.kubernetes_api import ApiError
from webhook.adapters.reflector import MalformedError, StoreWentBackError
from webhook.ports import HistoryRewrittenError

log = structlog.get_logger(__name__)

_EVERY: Final = 10.0
"""Seconds. A restore takes longer, API servers stopped and started again: one look at least fails in between."""

_AGAIN: Final = 1.0
"""Seconds after a look that failed. Nothing is decided until one succeeds."""

Sleep = Callable[[float], Awaitable[None]]


class HistoryCheck:
    """Looks again and again; as long as a look has failed nobody knows, and nothing may be decided by the book."""

    def __init__(self, check_store: Callable[[], Awaitable[None]], *, sleep: Sleep = asyncio.sleep) -> None:
        """*check_store* is that of the reflector."""
        self._check_store = check_store
        self._sleep = sleep
        self._trouble = ""

    def trouble(self) -> str:
        """Say why the book may be of a history that never was, empty if it is not."""
        return self._trouble

    async def run(self) -> NoReturn:
        """
        Look until cancelled.

        Raises: HistoryRewrittenError, after which nothing of this process is of use.
        """
        while True:
            try:
                await self._check_store()
            except StoreWentBackError as error:
                raise HistoryRewrittenError(str(error)) from error
            except (ApiError, MalformedError) as error:
                if not self._trouble:
                    log.info("the history could not be looked at", error=str(error))
                self._trouble = f"whether the API still has the history that was seen is not known: {error}"
                await self._sleep(_AGAIN)
            else:
                self._trouble = ""
                await self._sleep(_EVERY)
