"""One loss of the ledger, run once, with everything that can be observed. The tests check the observations."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster.running import NAMESPACE, PATIENCE
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Answer, Asking, numbered, statuses
from tests.replicated.ledger_object import PATH, Seen
from tests.replicated.load import Load

LIMIT = 10
KEPT = 6
SOON = 5.0
"""Seconds; watches report it, and each replica checks every second."""

REOPENS_WITHIN = 60.0
"""Seconds: 45 after the last loss, and 15 if the replicas had just started (see `ApiServerLeases`)."""

_QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"


@dataclass
class Lost:
    """The observations of one loss."""

    person: str
    before: Seen | None = None
    losses_before: list[int] = field(default_factory=list)
    load: list[Answer] = field(default_factory=list)
    deleted_at: float = 0.0
    readiness_under_quota: list[str] = field(default_factory=list)
    begun_anew: Seen | None = None
    readiness_while_rebuilt: list[str] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    events: str = ""
    damages: dict[str, tuple[float, Seen]] = field(default_factory=dict)
    others: dict[str, Answer] = field(default_factory=dict)
    dry_run: Answer | None = None
    opened_after: float = 0.0
    readiness_when_open: list[str] = field(default_factory=list)
    afterwards: list[Answer] = field(default_factory=list)


async def play(lost: Lost, replicas: Replicas, place: str) -> None:
    async with Asking(replicas.cluster) as asking:
        assert statuses(await asking.create_pods(place, numbered("kept", KEPT), user=lost.person)) == {201: KEPT}
        await ledger_object.at_rest(asking, place)
        lost.before = await ledger_object.seen(asking)
        lost.losses_before = counted(replicas)
        await forbid_another_config_map(asking)
        load = Load(asking, place, lost.person, deletes=False)
        async with load.running():
            await asyncio.sleep(0.5)
            assert (await asking.ask("DELETE", PATH)).status == 200
            lost.deleted_at = time.monotonic()
            await asyncio.sleep(3)
            lost.readiness_under_quota = [replicas.readiness(i) for i in range(replicas.count)]
            await asking.ask("DELETE", f"{_QUOTAS}/no-more")
            lost.begun_anew = await ledger_again(asking, lambda _: True)
            await asyncio.sleep(1.5)
            lost.readiness_while_rebuilt = [replicas.readiness(i) for i in range(replicas.count)]
            lost.losses = counted(replicas)
            await try_other_requests(lost, asking, place)
            await damage(lost, asking)
        lost.load = load.created
        lost.events = replicas.cluster.kubectl(
            "get", "events", "-n", NAMESPACE, "-o", "custom-columns=R:.reason,O:.involvedObject.name,M:.message"
        ).stdout
        lost.opened_after = await ledger_object.until(asking, lambda found: found.ledger.is_open, within=REOPENS_WITHIN)
        await asyncio.sleep(2)
        lost.readiness_when_open = [replicas.readiness(i) for i in range(replicas.count)]
        lost.afterwards = await asking.create_pods(place, numbered("afterwards", LIMIT), user=lost.person)


async def forbid_another_config_map(asking: Asking) -> None:
    """Create a ResourceQuota that allows the existing ledger but no further ConfigMap, as an admin may have done."""
    listed = await asking.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps")
    room = len(json.loads(listed.text)["items"]) - 1
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-more"},
        "spec": {"hard": {"count/configmaps": str(room)}},
    }
    assert (await asking.ask("POST", _QUOTAS, body=body)).status == 201
    end = time.monotonic() + PATIENCE
    while "used" not in json.loads((await asking.ask("GET", f"{_QUOTAS}/no-more")).text)["status"]:
        assert time.monotonic() < end, "the quota is not in force"
        await asyncio.sleep(0.1)


async def ledger_again(asking: Asking, claim: Callable[[Seen], bool]) -> Seen:
    """Wait until there is a readable ledger for which *claim* holds."""
    end = time.monotonic() + SOON
    while True:
        answer = await asking.ask("GET", PATH)
        text = json.loads(answer.text).get("data", {}).get("ledger", "") if answer.status == 200 else ""
        if re.match(r"userquota-ledger \d sha256=", text) and claim(found := await ledger_object.seen(asking)):
            return found
        assert time.monotonic() < end, f"not within {SOON} s: {answer.text[:1000]}"
        await asyncio.sleep(0.05)


async def try_other_requests(lost: Lost, asking: Asking, place: str) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main", "image": "example/x"}]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "other"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template},
    }
    lost.others = {
        "ConfigMap": await asking.ask("POST", f"/api/v1/namespaces/{place}/configmaps", user="carol", body=config_map),
        "Deployment": await asking.ask(
            "POST", f"/apis/apps/v1/namespaces/{place}/deployments", user="carol", body=deployment
        ),
        "deletion": await asking.delete_pod(place, "kept-0", user=lost.person),
    }
    lost.dry_run = await asking.create_pod(place, "tried", user=lost.person, dry_run=True)


async def damage(lost: Lost, asking: Asking) -> None:
    """Overwrite the ledger with other texts, and wait until each is begun anew."""
    assert lost.before is not None
    now = await ledger_object.seen(asking)
    texts = {
        "a flipped digit": re.sub(r'"write":\d+', '"write":99', now.text),
        "cut short": now.text[: len(now.text) // 2],
        "a foreign text": "kind: Settings\nmode: fast\n",
        "nothing": "",
        "the text of the deleted object": lost.before.text,
    }
    for what, text in texts.items():
        begun = time.monotonic()
        put = await ledger_object.replace(asking, text)
        found = await ledger_again(asking, lambda found, put=put: found.version != put.version)  # type: ignore[misc]
        lost.damages[what] = time.monotonic() - begun, found
        await asyncio.sleep(0.3)


def counted(replicas: Replicas) -> list[int]:
    """Return the number of losses that each replica reports."""
    found = [re.search(r"^userquota_ledgers_lost_total (\S+)$", replicas.metrics(i), re.MULTILINE) for i in range(3)]
    return [int(float(each[1])) if each else -1 for each in found]
