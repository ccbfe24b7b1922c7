"""
Calls of an API server that wait for one decision on all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from webhook.admission.review import AdmissionResponse
from webhook.ports import Decide
from webhook.quota.decision import Decision, Denied
from webhook.quota.reservation import Charge
from webhook.quota.usage import UsageView


@dataclass(slots=True)
class Question:
    """Port `Transactions` for one call: takes the question, and has the call wait for the answer."""

    asked: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    answer: asyncio.Future[Decision] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    charge: Charge | None = None
    decide: Decide | None = None

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:  # noqa: ARG002
        """Return what the real ledger has decided. Its deadline is that of all questions."""
        self.charge, self.decide = charge, decide
        self.asked.set_result(None)
        return await self.answer


class Call:
    """One call of an API server for a request, under way."""

    def __init__(self, ask: Callable[[Question], Coroutine[Any, Any, AdmissionResponse]]) -> None:
        self.question = Question()
        self.task = asyncio.create_task(ask(self.question))
        self.decision: Decision | None = None

    async def until_asked(self) -> None:
        """Wait until it has asked the ledger, or ended without. Raises: what the call has raised."""
        await asyncio.wait((self.task, self.question.asked), return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()

    def decide(self, view: UsageView) -> None:
        """Decide what was asked, if anything was. Raises: UnavailableError."""
        if self.question.decide is not None:
            self.decision = self.question.decide(view)

    @property
    def is_refused(self) -> bool:
        """Whether it is denied, now that everything is decided."""
        return isinstance(self.decision, Denied) or (self.task.done() and not self.task.result().allowed)
