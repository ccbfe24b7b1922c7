"""The shared ledger as stored in the API, and writes of other clients to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from nemesis.ledger_text import Claim, LedgerText, read_ledger
from tests.cluster.running import NAMESPACE, PATIENCE
from tests.replicated.asking import Asking

PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/userquota-ledger"


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of the ledger object."""

    version: str
    text: str

    @property
    def ledger(self) -> LedgerText:
        return read_ledger(self.text)

    def pending(self, place: str) -> list[Claim]:
        """Return the reservations in a namespace."""
        return [each for each in self.ledger.claims.values() if each.slot.namespace == place]


async def seen(asking: Asking, *, server: int = 0) -> Seen:
    answer = await asking.ask("GET", PATH, server=server)
    assert answer.status == 200, answer.text
    said = json.loads(answer.text)
    return Seen(said["metadata"]["resourceVersion"], said["data"]["ledger"])


async def replace(asking: Asking, text: str, *, manager: str = "kubectl-replace") -> Seen:
    """Overwrite the ledger with *text* without a precondition, as `kubectl replace --field-manager` does."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "userquota-ledger", "namespace": NAMESPACE},
        "data": {"ledger": text},
    }
    answer = await asking.ask("PUT", f"{PATH}?fieldManager={manager}", body=body)
    assert answer.status == 200, answer.text
    return Seen(json.loads(answer.text)["metadata"]["resourceVersion"], text)


async def until(asking: Asking, claim: Callable[[Seen], bool], *, within: float, server: int = 0) -> float:
    """Wait until *claim* holds for the ledger; return the seconds it took."""
    begun = time.monotonic()
    while not claim(found := await seen(asking, server=server)):
        assert time.monotonic() - begun < within, f"not within {within} s: {found.text[:2000]}"
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def at_rest(asking: Asking, place: str, *, within: float = PATIENCE) -> float:
    """Wait until no reservation is left in a namespace; return the seconds it took."""
    return await until(asking, lambda found: not found.pending(place), within=within)
