"""
`python -m benchmarks.scrape [USERS]`: metrics beside a million people, without and with `--metrics-subjects`.

Each has a pod. Per setting the size of a scrape and its CPU time, and of a walk over all of them its CPU time, the
longest that it keeps the event loop, and what it adds to the memory of the process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from webhook.documents.policy_text import PolicyText
from webhook.policy_source import CurrentPolicy
from webhook.quota.objects import ObjectKey
from webhook.quota.policy import Policy, accounts_under
from webhook.quota.subject import Payer
from webhook.quota.usage import Row, UsageIndex
from webhook.serving.metrics import Metrics
from webhook.settings import MOST_SUBJECTS
from webhook.wiring.application import _GC_THRESHOLDS, SystemClock, gauges
from webhook.wiring.quota_metrics import QuotaMetrics

USERS = 1_000_000
SHOWN = (0, 100, MOST_SUBJECTS)
_POLICY = (
    "version: 1\ndefaults: {user: {hard: {cpu: 10, memory: 64Gi, pods: 20, gpu: 0}}}\ncluster: {hard: {cpu: 9000000}}\n"
)
_NAMESPACES = 1_000


def no_labels(_: str) -> Mapping[str, str]:
    return {}


def filled(users: int) -> tuple[UsageIndex, CurrentPolicy]:
    """Return an index with a pod of each of *users* people, and the policy that limits them."""
    index = UsageIndex(accounts_under(Policy(), no_labels))
    policy = CurrentPolicy(
        on_change=lambda new: index.rebind(accounts_under(new, no_labels), new.devices), on_mistakes=lambda _: None
    )
    policy.take([PolicyText("policy.yaml", _POLICY)])
    costs = [(("pods", 10**9), ("requests.cpu", cpu * 10**9), ("requests.memory", 2**30 * 10**9)) for cpu in (1, 2, 3)]
    index.list_started("pods")
    for number in range(users):
        key = ObjectKey("pods", f"namespace-{number % _NAMESPACES}", f"pod-{number}")
        index.observe(key, Row(f"uid-{number}", 1, Payer(f"person-{number}"), costs[number % 3]))
    index.list_finished("pods", 1)
    return index, policy


def resident() -> float:
    """Return the memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def measured(index: UsageIndex, policy: CurrentPolicy, shown: int) -> str:
    metrics = Metrics(gauges(index, policy))
    walk = QuotaMetrics(policy, index, no_labels, metrics, SystemClock(), shown)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    gc.collect()
    before, begun = resident(), time.process_time()
    if shown:
        watching = asyncio.create_task(watch())
        await walk.once()
        watching.cancel()
    spent, grown = time.process_time() - begun, resident() - before
    begun = time.process_time()
    text = metrics.render()
    scrape = time.process_time() - begun
    of_walk = f"{spent:6.1f} s  {longest * 1e3:6.0f} ms  {grown:5.0f} MB" if shown else "     -          -         -"
    return f"{shown:>6}  {len(text):>9,} B  {scrape * 1e3:5.1f} ms  {of_walk}"


async def main(users: int) -> None:
    index, policy = filled(users)
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.collect()
    gc.freeze()  # as a replica does with what it has listed
    print(f"{users:,} people, {resident():.0f} MB\nshown      scrape       CPU  CPU of a walk  longest step  grown")
    for shown in SHOWN:
        print(await measured(index, policy, shown))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else USERS))
