"""How the background path waits: a parameter everywhere, so that tests need not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]
