"""A session of every shipped preset on a real API server: made, resized, stopped, started and deleted under limits."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import session_walks
from tests.cluster.conftest import UNLIMITED, delete_place
from tests.cluster.preset_walks import WALKS
from tests.cluster.running import RunningWebhook
from tests.cluster.session_walks import ACCOUNT, LIMIT, NAME, PERSON, SESSIONS, Change, Step, Walk, steps
from tests.cluster.test_who_pays import OWNER
from tests.kinds.test_shipped_presets import objects
from tests.replicated.asking import Answer, Asking

PLACES = {(walk, by): f"{walk.preset}-{walk.example}-{by}" for walk in WALKS for by in (PERSON, ACCOUNT)}
"""The namespace of each walk, whose name is also that of the person in it."""

NOTEBOOK = next(each for each in WALKS if each.preset == "kubeflow-notebook")

_COUNTED = re.compile(r"groups\.asked\.perMember, [^;]* used: sessions=(\d+), [^;]* reserved: sessions=(\d+),")
_PREPARED_WITHIN, _SETTLED_WITHIN = 40.0, 10.0


@dataclass(frozen=True)
class Life:
    """Requests for the sessions of one walk, by the person who pays or by the account that names the person."""

    asking: Asking
    walk: Walk
    by: str
    place: str

    @property
    def person(self) -> str:
        return self.place

    @property
    def found_by(self) -> str:
        """How the payer of a new session is found, as a refusal says it."""
        return "created it" if self.by == PERSON else f"named by {self.walk.username} in {self.walk.mark}"

    def session(self, name: str) -> dict[str, Any]:
        """Return the example of the preset, which names the person if an account makes it."""
        body: dict[str, Any] = json.loads(objects(self.walk.preset)[0][self.walk.example])
        if self.by == ACCOUNT:
            body = merged(body, json.loads(json.dumps(self.walk.says).replace(NAME, self.person)))
        body["apiVersion"] = self.walk.api_version(name)
        body["metadata"] |= {"name": name, "namespace": self.place}
        return body

    async def take(self, step: Step) -> Answer:
        """Send the request of a step."""
        path = self.walk.collection(self.place, step.name)
        path = path if step.method == "POST" else f"{path}/{step.name}{step.subresource}"
        who, groups = (self.person, ["people"]) if self.by == PERSON else (self.walk.username, [])
        if step.column == "end":  # by the admin: not everybody may say how it went
            who, groups = "", []
        return await self.asking.ask(
            step.method,
            path,
            body=self.session(step.name) if step.method == "POST" else step.change,
            content_type=content_type(step.change),
            acting_as=who,
            in_groups=groups,
        )

    async def charged(self, *, server: int = 0) -> tuple[int, int] | None:
        """Return what is charged for stored sessions and for others; None if nothing refuses the question yet."""
        asks = self if self.walk.is_of_sessions else Life(self.asking, NOTEBOOK, self.by, self.person)
        path = f"{asks.walk.collection(self.place, 'asks')}?dryRun=All"
        body, groups = asks.session("asks"), ("people", "asked")
        answer = await self.asking.ask("POST", path, body=body, acting_as=self.person, in_groups=groups, server=server)
        found = _COUNTED.search(answer.text)
        return None if found is None else (int(found[1]), int(found[2]))

    async def settles_at(self, charge: int, told: str) -> None:
        """Wait until the person is charged for stored sessions alone, and for that many; *told* is what was done."""
        end = time.monotonic() + _SETTLED_WITHIN
        while (found := await self.charged()) != (charge, 0):
            assert time.monotonic() < end, f"charged {found} (stored, others), not {charge}: {told}"
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def in_force(running: RunningWebhook, platforms: None) -> Iterator[None]:
    """The namespaces of the walks, and one policy with all presets, in force for every kind on every API server."""
    asyncio.run(_prepare(running))
    yield
    running.set_policy(f"{UNLIMITED}# after all presets\n")
    asyncio.run(_clear(running))


async def _prepare(running: RunningWebhook) -> None:
    async with Asking(running.cluster) as asking:
        lives = [Life(asking, walk, by, place) for (walk, by), place in PLACES.items()]
        await asyncio.gather(*(make_place(asking, each) for each in lives))
        running.set_policy(session_walks.policy(PLACES))
        for server in range(1, len(running.cluster.server_urls) + 1):
            end = time.monotonic() + _PREPARED_WITHIN
            while None in await asyncio.gather(*(each.charged(server=server) for each in lives)):
                assert time.monotonic() < end, running.output()


async def make_place(asking: Asking, life: Life) -> None:
    """Create the namespace of a walk, and wait until pods can be made there; its owner is the person of an account."""
    owner = life.person if life.by == ACCOUNT else "somebody-else"
    marks = {key: value.replace(NAME, owner) for key, value in life.walk.namespace.items()}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": life.place, "annotations": marks}}
    assert (await asking.ask("POST", "/api/v1/namespaces", body=body)).status == 201
    account = f"/api/v1/namespaces/{life.place}/serviceaccounts/default"
    end = time.monotonic() + _PREPARED_WITHIN
    while (await asking.ask("GET", account)).status != 200:
        assert time.monotonic() < end, f"{life.place} has no service account"
        await asyncio.sleep(0.05)


async def _clear(running: RunningWebhook) -> None:
    await asyncio.gather(*(delete_place(running.cluster, place) for place in PLACES.values()))


def content_type(change: Change | None) -> str:
    if change is None:
        return "application/json"
    return f"application/{'merge' if isinstance(change, Mapping) else 'json'}-patch+json"


def merged(document: Any, change: Any) -> Any:
    """Return what a merge patch makes of a document."""
    if not isinstance(change, dict):
        return change
    kept = document if isinstance(document, dict) else {}
    return kept | {name: merged(kept.get(name), value) for name, value in change.items()}


@pytest.mark.usefixtures("in_force")
@pytest.mark.parametrize("by", [PERSON, ACCOUNT])
@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_each_step_has_this_verdict_charge_and_owner(running: RunningWebhook, walk: Walk, by: str) -> None:
    async with Asking(running.cluster) as asking:
        life = Life(asking, walk, by, PLACES[walk, by])
        for step in steps(walk):
            answer = await life.take(step)
            told = f"{walk} by {by}, {step.column}: {answer.status} {answer.text}"
            assert (answer.status == 403) == bool(step.limit), told
            assert answer.status in (200, 201, 403), told
            if step.limit:
                assert [text for text in refusal(walk, step, life) if text not in answer.message] == [], told
            elif step.method != "DELETE":
                assert json.loads(answer.text)["metadata"]["annotations"][OWNER] == life.person, told
            await life.settles_at(step.charge, told)


def refusal(walk: Walk, step: Step, life: Life) -> tuple[str, ...]:
    """Return what the refusal of a step says: the limit, what would fit, and who pays."""
    found_by = life.found_by if step.method == "POST" else "stamped when it was created"
    pays = f"charged to {life.person} ({found_by})"
    if step.limit == SESSIONS:
        requested = (
            f"exceeded quota: defaults.user, requested: sessions=1, used: sessions={LIMIT}, limited: sessions={LIMIT}"
        )
        return requested, "would fit: nothing until a session ends", pays
    assert walk.resize is not None
    limited = walk.resize.limited
    entry = f"larger than quota: users.{life.person}.perSession"
    return entry, f"requested: {walk.resize.asked}, limited: {limited} for one session", f"would fit: {limited}", pays
