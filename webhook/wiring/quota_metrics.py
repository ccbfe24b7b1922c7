"""
Keeps the quotas of the fullest subjects in the metrics, where `serve --metrics-subjects` asks for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from webhook.policy_source import CurrentPolicy
from webhook.ports import Clock, Condition, Sleep
from webhook.quota.subject import Account
from webhook.quota.usage import Holdings, UsageIndex
from webhook.serving.metrics import Metrics
from webhook.serving.quota_series import quota_series
from webhook.view.fullest import Fullest
from webhook.view.standings import Scene

PERIOD: Final = 30.0
"""Seconds between two walks. One takes 1.5 s of CPU with 100 000 subjects, in steps of about a millisecond."""

ACCOUNTS_A_STEP: Final = 50
"""Work between two steps of the event loop, about a millisecond."""


@dataclass(frozen=True, slots=True)
class QuotaMetrics:
    """
    Shows the *most* fullest subjects of `index` in `metrics`, and nobody while one of `conditions` does not hold.

    A scrape shows what the last walk found. Belongs to one event loop.
    """

    policy: CurrentPolicy
    index: UsageIndex
    labels: Callable[[str], Mapping[str, str]]
    metrics: Metrics
    clock: Clock
    most: int
    conditions: Sequence[Callable[[], Condition]] = ()
    sleep: Sleep = asyncio.sleep

    async def run(self) -> None:
        """Walk forever; return at once if no subject is to be shown."""
        while self.most:
            await self.once()
            await self.sleep(PERIOD)

    async def once(self) -> None:
        """Show what is used now."""
        policy = self.policy.state.policy
        if policy is None or not all(condition().ok for condition in self.conditions):
            self.metrics.show_quotas(b"")
            return
        fullest = Fullest(Scene(policy, self.index, self.labels, self.clock.now()), self.most)
        await self._in_steps(_charged(self.index.holdings()), fullest.note)
        await asyncio.to_thread(fullest.choose)
        await self._in_steps(fullest.noted, fullest.take)
        self.metrics.show_quotas(await asyncio.to_thread(lambda: quota_series(fullest.result())))

    async def _in_steps(self, accounts: Iterable[tuple[Account, str]], take: Callable[[Account, str], None]) -> None:
        """Call *take* with each account and namespace; the loop goes on in between."""
        for number, (account, namespace) in enumerate(accounts, start=1):
            take(account, namespace)
            if not number % ACCOUNTS_A_STEP:
                await asyncio.sleep(0)


def _charged(held: Holdings) -> Iterator[tuple[Account, str]]:
    """Yield the account and namespace of each object and each reservation, one account many times."""
    for rows in held.rows.values():
        for path, row in rows.items():
            yield row.account, path.partition("/")[0]
    for each in held.reservations:
        yield each.account, each.key.namespace
