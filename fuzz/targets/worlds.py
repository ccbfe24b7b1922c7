"""
What stands around a reader: a policy with something of everything, a moment, a ledger that tells what was decided.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import structlog

from webhook.documents import preset_files
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.ledger.memory import StandaloneLedger
from webhook.ports import READY, Decide
from webhook.quota.decision import Decision
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.reservation import Charge
from webhook.quota.usage import UsageIndex

T = TypeVar("T")

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)

_POLICY = """
version: 1
defaults:
  user: {hard: {sessions: 5, pods: 10, cpu: 8, memory: 16Gi, gpu: 1, persistentvolumeclaims: 5, requests.storage: 1Ti},
         perPod: {cpu: 4, memory: 8Gi}, perSession: {cpu: 4, duration: 8h, idle: 1h},
         perClaim: {requests.storage: 500Gi}}
  serviceAccount: {hard: {pods: 20}}
  unattributed: {hard: {cpu: 1}, mode: audit}
users:
  alice: {hard: {gpu: 2, cpu: unlimited}, until: 2027-01-31T00:00:00Z}
  bob: {hard: {cpu: 1}, mode: warn}
groups:
  ml: {perMember: {hard: {gpu: 2}}, pool: {hard: {gpu: 4, count/deployments.apps: 2}}, members: [carol]}
tenants:
  research: {namespaces: {matchLabels: {team: research}}, hard: {cpu: 20}}
namespaces:
  red: {hard: {limits.memory: 64Gi, count/configmaps: 3, count/widgets.example.com: 1}}
missing: {cpu: {default: 100m}, memory: require}
exempt:
  - {user: root, reason: he mends what others own}
sessions: {presets: [%s]}
"""


def policy_text(presets: Sequence[str] = ()) -> str:
    """Return a policy with something of everything, and with *presets*, by default all that are shipped."""
    return _POLICY % ", ".join(presets or preset_files.names())


def policy(presets: Sequence[str] = ()) -> Policy:
    """Return what `policy_text` says."""
    reading = read_policy([PolicyText("policy.yaml", policy_text(presets))])
    if reading.policy is None:
        raise ValueError("\n".join(map(str, reading.mistakes)))
    return reading.policy


@dataclass(frozen=True, slots=True)
class Standing:
    """Ports `Clock` and `PolicySource`: one moment, one policy."""

    policy: Policy

    def now(self) -> datetime:
        """Return the moment."""
        return NOON

    def monotonic(self) -> float:
        """Return 0: no time passes."""
        return 0.0

    def current(self) -> Policy:
        """Return the policy."""
        return self.policy


@dataclass
class TellingLedger:
    """Port `Transactions`: an empty ledger for each input, which keeps the charges that were decided."""

    policy: Policy
    decided: list[tuple[Charge, Decision]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin without usage."""
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.decided = []
        self.index = UsageIndex(accounts_under(self.policy, lambda _: {}), self.policy.devices)
        self._ledger = StandaloneLedger(self.index, monotonic=_zero, api_time=_zero, in_step=lambda: READY)

    async def transact(self, charge: Charge, decide: Decide, *, dry_run: bool, deadline: float) -> Decision:
        """Decide in memory."""
        decision = await self._ledger.transact(charge, decide, dry_run=dry_run, deadline=deadline)
        self.decided.append((charge, decision))
        return decision


def _zero() -> float:
    return 0.0


def silence() -> None:
    """Log nothing: a line for each input takes longer than reading it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine, in one event loop for all: a new one for each input takes most of the time."""
    return _loop().run_until_complete(coroutine)
