"""Stories that wait most of the time, told at once: each on a cluster of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def side_by_side(*stories: Coroutine[object, object, None]) -> None:
    """
    Run each of *stories* in a thread with an event loop of its own, so that none is slowed down by another's blocking.

    Raises: ExceptionGroup with what each of them raised, once all have ended.
    """
    async with asyncio.TaskGroup() as group:
        ended = [group.create_task(_caught(story)) for story in stories]
    errors = [error for each in ended if (error := each.result()) is not None]
    if errors:
        raise ExceptionGroup("of stories side by side", errors)


async def _caught(story: Coroutine[object, object, None]) -> Exception | None:
    try:
        await asyncio.to_thread(asyncio.run, story)
    except Exception as error:  # noqa: BLE001 - raised when the others have ended
        return error
    return None
