"""
`python -m benchmarks.policy_text`: reading a policy of 1 MiB against PyYAML's loader of the same text, in turns.

Two ratios per shape of text: the CPU time of both, and the longest gap in an event loop while the policy is taken over
against the longest gap without that. Absolute times are printed for orientation only.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from statistics import median

import structlog
import yaml

from benchmarks import machine
from webhook.documents.policy_copy import StoredCopy
from webhook.documents.policy_text import PolicyText, read_policy
from webhook.policy_source import CurrentPolicy, LastGoodPolicy, PolicyReader, Submission

USERS = 21_000
ROUNDS = 5
LOADER = 2.5
"""The most that reading, checking and merging may take, as a multiple of loading the text."""
PAUSE_MS = 50.0

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def flow(number: int) -> str:
    return f"  user-{number:05d}@x.org: {{hard: {{cpu: {1 + number % 64}, pods: {number % 50}}}}}\n"


def block(number: int) -> str:
    return f"  user-{number:05d}@x.org:\n    hard:\n      cpu: {1 + number % 64}\n"


def faulty(number: int) -> str:
    return flow(number).replace("cpu", "cpuu")


def policy(entry: Callable[[int], str]) -> str:
    """Return a policy of 21 000 users, as far as 1 MiB holds them."""
    text = "version: 1\nusers:\n" + "".join(map(entry, range(USERS)))
    return text if len(text) <= 1024 * 1024 else text[: text.rindex("\n", 0, 1024 * 1024) + 1]


class NoCopy:
    """Port `PolicyCopy`, without a cluster."""

    async def read(self) -> StoredCopy | None:
        return None

    async def write(self, content: bytes, *, after: StoredCopy | None) -> bool:
        return bool(content) or after is not None


def cpu_time(work: Callable[[], object]) -> float:
    gc.collect()
    begun = time.process_time()
    work()
    return time.process_time() - begun


async def longest_gap(texts: tuple[PolicyText, ...]) -> float:
    """Return the longest gap of the loop, in milliseconds, until *texts* are taken over; for a second without any."""
    taken = asyncio.Event()
    current = CurrentPolicy(on_change=lambda _: taken.set(), on_mistakes=lambda _: taken.set())
    last_good = LastGoodPolicy(NoCopy())
    reader = PolicyReader(current, last_good)
    tasks = [asyncio.create_task(reader.run()), asyncio.create_task(last_good.run())]
    if texts:
        reader.submit(Submission(texts))
    longest, last = 0.0, time.perf_counter()
    until = last + 1
    while not taken.is_set() and (texts or last < until):
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    for task in tasks:
        task.cancel()
    return longest * 1e3


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(50_000, 20, 100)  # as a replica has it
    print(f"{machine.description()['cpu']}, medians of {ROUNDS} rounds, with lowest and highest ratio")
    for entry in (flow, block, faulty):
        text = policy(entry)
        texts = (PolicyText("policy/p", text),)
        ratios, gaps = [], []
        for _ in range(ROUNDS):
            loaded = cpu_time(lambda text=text: yaml.load(text, Loader=_LOADER))  # type: ignore[misc]
            ratios.append(cpu_time(lambda texts=texts: read_policy(texts)) / loaded)  # type: ignore[misc]
            gaps.append((asyncio.run(longest_gap(texts)), asyncio.run(longest_gap(()))))
        with_it, without = (median(each) for each in zip(*gaps, strict=True))
        print(
            f"{entry.__name__:7} {len(text):8} characters: {median(ratios):.2f} of the loader's time "
            f"({min(ratios):.2f} to {max(ratios):.2f}; at most {LOADER}); longest gap {with_it:.0f} ms "
            f"(at most {PAUSE_MS:.0f}), {without:.0f} ms without"
        )


if __name__ == "__main__":
    main()
