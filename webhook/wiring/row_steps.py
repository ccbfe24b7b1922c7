"""
Walks through all rows of a resource in small steps, for reports: reviews are answered in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from webhook.quota.objects import ObjectKey
from webhook.quota.usage import Row

ROWS_A_STEP: Final = 200
"""Rows between two steps of the event loop, about a millisecond."""


async def each_row(resource: str, rows: Mapping[str, Row], take: Callable[[ObjectKey, Row], None]) -> None:
    """Call *take* with each of *rows*, which are by namespace and name; the loop goes on in between."""
    for number, (path, row) in enumerate(rows.items(), start=1):
        take(ObjectKey(resource, *path.split("/", 1)), row)
        if not number % ROWS_A_STEP:
            await asyncio.sleep(0)
