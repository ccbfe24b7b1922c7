"""
`python -m benchmarks.policy_edit`: edits of a policy of 1 MiB, judged beside 100 000 pods of 10 000 users.

Per edit the time from the bytes of the review to those of the answer, how much of that the process computed, and the
longest gap in the event loop meanwhile, against the longest gap of as long a time without an edit. The network, TLS and
the API server are no part of it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from benchmarks import machine
from benchmarks.policy_text import PAUSE_MS, block, flow, policy
from webhook.admission import review
from webhook.admission.policy_edits import PolicyEdits
from webhook.documents.policy_config_map import PolicyConfigMap
from webhook.documents.policy_text import PolicyText
from webhook.ledger.memory import MemoryLedger
from webhook.policy_source import CurrentPolicy, PolicyConfigMaps
from webhook.ports import READY
from webhook.quota.objects import ObjectKey, StoredVersion
from webhook.quota.policy import accounts_under
from webhook.quota.subject import Payer
from webhook.quota.usage import Holdings, Row, UsageIndex
from webhook.wiring.application import SystemClock, devices_in_use

T = TypeVar("T")

PODS = 100_000
HOLDERS = 10_000
NAMESPACES = 1_000
ROUNDS = 3
SECONDS = 1.0
"""The longest that an edit may take."""

_NAMESPACE = "userquota-system"
_WITHIN = 60.0
_AMOUNTS = (
    ("count/pods", 10**9),
    ("pods", 10**9),
    ("requests.cpu", 10**8),
    ("requests.memory", 2**30 * 10**9),
)


class Labels:
    """Port `Namespaces`: none has a label."""

    async def labels(self, namespace: str) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    async def annotations(self, namespace: str) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def known(self, namespace: str) -> Mapping[str, str]:  # noqa: ARG002
        return {}


class Usage:
    """Port `KnownUsage`: what an index holds."""

    def __init__(self, index: UsageIndex) -> None:
        self._index = index

    def holdings(self) -> Holdings:
        return self._index.holdings()

    def is_counted(self, resource: str) -> bool:
        return resource == "pods"

    def devices(self) -> frozenset[str]:
        return devices_in_use(self._index)

    def nodes(self) -> None:
        return None


class Edit(NamedTuple):
    """An edit: what it does, and an entry of the policy before and after."""

    what: str
    old: Callable[[int], str]
    new: Callable[[int], str]


def raised(number: int) -> str:
    return flow(number).replace("cpu: ", "cpu: 1")


def forbidden(number: int) -> str:
    return f"  user-{number:05d}@x.org: {{hard: {{cpu: 0, pods: {number % 50}}}}}\n"


def lifted(number: int) -> str:
    return flow(number).replace("cpu: ", "limits.cpu: ")


def few_bytes(number: int) -> str:
    return f"  user-{number:05d}@x.org: {{hard: {{memory: {1 + number % 64}}}}}\n"


def many_bytes(number: int) -> str:
    return few_bytes(number).replace("}}", "Gi}}")


EDITS = (
    Edit("every limit is raised", flow, raised),
    Edit("every second limit is lifted", flow, block),
    Edit("every limit is another one", flow, lifted),
    Edit("everybody is over a limit", flow, forbidden),
    Edit("everybody is over a limit, each with a note", many_bytes, few_bytes),
)


def body_of(old: str, new: str) -> bytes:
    """Return the review of an update, as the API server sends it."""

    def config_map(text: str) -> dict[str, object]:
        metadata = {
            "name": "p",
            "namespace": _NAMESPACE,
            "uid": "1",
            "resourceVersion": "5",
            "labels": {"userquota.dev/policy": "true"},
        }
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"p.yaml": text}}

    request = {
        "uid": "call",
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "p",
        "namespace": _NAMESPACE,
        "operation": "UPDATE",
        "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
        "object": config_map(new),
        "oldObject": config_map(old),
        "dryRun": False,
        "options": {},
    }
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


class Empty:
    """Port `StoredObjects`: nothing is looked up where nothing is promised."""

    async def version_of(self, key: ObjectKey) -> StoredVersion | None:  # noqa: ARG002
        return None


def stage(text: str) -> PolicyEdits:
    """Return what judges edits of *text*, which is in force, beside the pods."""
    current = CurrentPolicy(on_change=lambda _: None, on_mistakes=lambda _: None)
    current.take((PolicyText("p/p.yaml", text),))
    maps = PolicyConfigMaps(lambda _: None, on_removed=lambda *_: None, may_be_absent=False)
    maps.started()
    metadata = {"name": "p", "resourceVersion": "5", "labels": {"userquota.dev/policy": "true"}}
    body = {"metadata": metadata, "data": {"p.yaml": text}}
    maps.seen(msgspec.convert(body, PolicyConfigMap))
    maps.synced(7)
    labels, in_force = Labels(), current.current()
    index = UsageIndex(accounts_under(in_force, labels.known), in_force.devices)
    for number in range(PODS):
        key = ObjectKey("pods", f"namespace-{number % NAMESPACES}", f"pod-{number}")
        payer = Payer(f"user-{number % HOLDERS:05d}@x.org", ("system:authenticated",))
        index.observe(key, Row(f"uid-{number}", number, payer, _AMOUNTS))
    clock = SystemClock()
    ledger = MemoryLedger(index, monotonic=clock.monotonic, api_time=clock.monotonic, in_step=lambda: READY)
    return PolicyEdits(_NAMESPACE, maps, current, labels, Usage(index), ledger, Empty(), clock)


class Measured(NamedTuple):
    """An answer, how long it took and how much of that was computed, and the longest gaps with it and without."""

    answer: bytes
    seconds: float
    cpu: float
    gap_ms: float
    idle_ms: float


async def judged(edits: PolicyEdits, body: bytes) -> bytes:
    """Return the answer."""
    answer = await edits.judge(review.decode(body), deadline=time.monotonic() + _WITHIN)
    return review.encode(answer)


async def longest_gap(work: asyncio.Future[T]) -> float:
    """Return the longest gap of the loop until *work* has ended, in milliseconds."""
    longest, last = 0.0, time.perf_counter()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1e3


async def measured(edits: PolicyEdits, body: bytes) -> Measured:
    """Return what it takes to answer, and the longest gap of as long a time without."""
    begun, cpu_before = time.perf_counter(), time.process_time()
    judging = asyncio.ensure_future(judged(edits, body))
    gap = await longest_gap(judging)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu_before
    idle = await longest_gap(asyncio.ensure_future(asyncio.sleep(seconds)))
    return Measured(await judging, seconds, cpu, gap, idle)


def told(values: Iterable[float], digits: int) -> str:
    """Return the median, and the highest."""
    listed = list(values)
    return f"{median(listed):.{digits}f} ({max(listed):.{digits}f})"


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(50_000, 20, 100)  # as a replica has it
    cpu = machine.description()["cpu"]
    print(f"{cpu}; {PODS} pods of {HOLDERS} users; medians of {ROUNDS} rounds, in brackets the highest")
    print(f"at most {SECONDS:.0f} s and a gap of {PAUSE_MS:.0f} ms")
    for edit in EDITS:
        old, new = policy(edit.old), policy(edit.new)
        edits, body = stage(old), body_of(old, new)
        gc.collect()
        gc.freeze()
        rounds = [asyncio.run(measured(edits, body)) for _ in range(ROUNDS)]
        answer = msgspec.json.decode(rounds[0].answer)["response"]
        said = answer.get("warnings") or [answer.get("status", {}).get("message", "no warning")]
        print(
            f"{edit.what} ({len(new)} characters, {'accepted' if answer['allowed'] else 'refused'}): "
            f"{told((each.seconds for each in rounds), 1)} s, of which CPU {told((each.cpu for each in rounds), 1)} s; "
            f"longest gap {told((each.gap_ms for each in rounds), 0)} ms, "
            f"{told((each.idle_ms for each in rounds), 0)} ms without; {said[0][:100]}"
        )


if __name__ == "__main__":
    main()
