"""
Controllers do the same with userquota as without it, within limits and over limits that warn.

Each case is played in three namespaces, all at the same time: one whose requests userquota does not see, one where each
limit is 0 and only warns, and one with room, where what does not fit would be refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from tests.cluster.conftest import emptied
from tests.cluster.kubernetes_cases import CASES, Case
from tests.cluster.made_nodes import MadeNodes
from tests.cluster.running import PATIENCE, RunningWebhook
from tests.cluster.scenes import KINDS, Scene, person_of, watch
from tests.cluster.test_who_pays import OWNER
from tests.replicated.asking import Asking

_CONFIGURATIONS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
_LIMITED = (
    "pods",
    "count/pods",
    "cpu",
    "persistentvolumeclaims",
    "storage",
    "count/deployments.apps",
    "count/replicasets.apps",
    "count/statefulsets.apps",
    "count/daemonsets.apps",
    "count/jobs.batch",
    "count/cronjobs.batch",
    "count/replicationcontrollers",
)
OVER, WITHIN = "over", "within"
_ENTRIES = {
    OVER: {"hard": dict.fromkeys(_LIMITED, 0), "mode": "warn", "workloads": "warn"},
    WITHIN: {"hard": {**dict.fromkeys(_LIMITED, 9999), "storage": "9999Gi"}, "mode": "enforce", "workloads": "deny"},
}
"""What limits a person, and the namespace where they act."""

_SECONDS_TO_SETTLE = 60
_BETWEEN = 0.05
"""Seconds between the beginnings of two cases: all of them at once are more than a busy machine answers in time."""


@dataclass(frozen=True)
class Played:
    """A case in the namespace that userquota does not see, and in one that it does; why one did not come to its end."""

    without: Scene
    seen: Scene
    failed: BaseException | None


@dataclass(frozen=True)
class Play:
    """All cases in a namespace that userquota sees, and what the made nodes and the scheduler were refused anywhere."""

    cases: Mapping[str, Played]
    refused: list[str]
    told: set[Told]
    told_without: set[Told]


class Told(NamedTuple):
    """A Warning among the events of a namespace."""

    case: str
    kind: str
    reason: str


@pytest.fixture(scope="module")
def unseen_place(running: RunningWebhook) -> Iterator[str]:
    """A namespace that the webhook configurations exempt."""
    for name in emptied(running):
        exempt(running, name, is_exempt=True)
        yield name
        exempt(running, name, is_exempt=False)


@pytest.fixture(scope="module")
def seen_places(running: RunningWebhook, unseen_place: str) -> Iterator[Mapping[str, str]]:
    """The namespaces that userquota sees, by how they are limited."""
    for over in emptied(running):
        for within in emptied(running):
            places = {OVER: over, WITHIN: within}
            users = {person_of(place): _ENTRIES[limited] for limited, place in places.items()}
            namespaces = {place: _ENTRIES[limited] for limited, place in places.items()}
            running.set_policy(json.dumps({"version": 1, "users": users, "namespaces": namespaces}))
            yield places


@pytest.fixture(scope="module")
def plays(
    running: RunningWebhook, unseen_place: str, seen_places: Mapping[str, str], request: pytest.FixtureRequest
) -> Mapping[str, Play]:
    """Play the cases of the tests that were chosen."""
    chosen = [getattr(each, "callspec", None) for each in request.session.items]
    names = {each.params["case"].name for each in chosen if each and isinstance(each.params.get("case"), Case)}
    return asyncio.run(play_all(running, unseen_place, seen_places, sorted(names)))


in_each_place = pytest.mark.parametrize("limited", [OVER, WITHIN])
of_each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@in_each_place
@of_each_case
def test_the_same_happens(plays: Mapping[str, Play], case: Case, limited: str) -> None:
    played = plays[limited].cases[case.name]
    if played.failed is not None:
        raise played.failed
    without, seen = played.without, played.seen
    assert seen.notes == without.notes
    assert seen.left() == without.left()
    assert seen.history() == without.history()
    assert (len(without.pods), len(seen.pods)) == (case.pods, case.pods)


@of_each_case
def test_userquota_was_asked_and_the_person_is_warned_where_it_is_over(plays: Mapping[str, Play], case: Case) -> None:
    over, within = (plays[limited].cases[case.name] for limited in (OVER, WITHIN))
    assert [each for each in over.seen.warnings if "over quota" in each]
    assert over.without.warnings == []
    # Where the machine is too busy for a verdict, that is told: it says nothing of a limit.
    assert [each for each in within.seen.warnings if not each.startswith("could not determine whether")] == []
    assert [payers(each) for each in (over.without, over.seen, within.seen)] == [
        {None},
        {over.seen.person},
        {within.seen.person},
    ]


def payers(scene: Scene) -> set[str | None]:
    """Return who paid for pods in the end."""
    annotations = [states[-1]["metadata"].get("annotations", {}) for states in scene.pods.values()]
    return {each.get(OWNER) for each in annotations}


@in_each_place
def test_nodes_and_the_scheduler_were_refused_nothing(plays: Mapping[str, Play], limited: str) -> None:
    assert plays[limited].refused == []


@in_each_place
def test_events_warn_of_the_same(plays: Mapping[str, Play], limited: str) -> None:
    assert plays[limited].told == plays[limited].told_without


async def play_all(
    running: RunningWebhook, unseen: str, seen: Mapping[str, str], names: Sequence[str]
) -> Mapping[str, Play]:
    """Return what happened, by how the namespaces of *seen* are limited."""
    cluster, places = running.cluster, (unseen, *seen.values())
    async with Asking(cluster) as asking:
        nodes = MadeNodes(asking)
        scenes = {(name, place): Scene(name, place, cluster, asking, nodes) for name in names for place in places}
        begun = asyncio.Barrier(len(KINDS) + 1)
        async with nodes.ready():
            watches = [asyncio.create_task(watch(cluster, kind, scenes, nodes, begun)) for kind in KINDS]
            try:
                await asyncio.wait_for(begun.wait(), PATIENCE)
                acts = {
                    key: asyncio.create_task(_act(CASES[key[0]], scene, after=number * _BETWEEN))
                    for number, (key, scene) in enumerate(scenes.items())
                }
                if acts:
                    await asyncio.wait(acts.values())
                assert [each for each in watches if each.done()] == []
                failed = {key: act.result() for key, act in acts.items()}
                played = {
                    (name, place): Played(
                        scenes[name, unseen], scenes[name, place], failed[name, unseen] or failed[name, place]
                    )
                    for name in names
                    for place in seen.values()
                }
                await _settle(played.values())
                told = {place: await _warned(asking, place, names) for place in places}
            finally:
                for each in watches:
                    each.cancel()
                await asyncio.gather(*watches, return_exceptions=True)
    return {
        limited: Play({name: played[name, place] for name in names}, nodes.refused, told[place], told[unseen])
        for limited, place in seen.items()
    }


async def _act(case: Case, scene: Scene, *, after: float) -> BaseException | None:
    """Return why the case did not come to its end."""
    await asyncio.sleep(after)
    try:
        await case.act(scene)
    except Exception as error:  # noqa: BLE001 - it is the failure of one of the tests, which raises it
        return error
    return None


async def _settle(played: Iterable[Played]) -> None:
    """Wait until what is left is the same, or no longer: the last status of a controller may come after an act."""
    for _ in range(_SECONDS_TO_SETTLE * 2):
        if all(each.failed is not None or each.without.left() == each.seen.left() for each in played):
            return
        await asyncio.sleep(0.5)


async def _warned(asking: Asking, place: str, cases: Sequence[str]) -> set[Told]:
    answer = await asking.ask("GET", f"/api/v1/namespaces/{place}/events?fieldSelector=type=Warning")
    found = set()
    for each in json.loads(answer.text)["items"]:
        what = each["involvedObject"]
        name = what.get("name", "").removeprefix("data-")
        found.add(Told(max((case for case in cases if name.startswith(case)), key=len), what["kind"], each["reason"]))
    return found


def exempt(running: RunningWebhook, place: str, *, is_exempt: bool) -> None:
    """Write *place* among the exempt namespaces of all webhooks that exempt any, or take it out there."""
    for kind in _CONFIGURATIONS:
        found = json.loads(running.cluster.kubectl("get", kind, "userquota", "-o", "json").stdout)
        changes = []
        for number, webhook in enumerate(found["webhooks"]):
            expression = webhook["namespaceSelector"]["matchExpressions"][0]
            if expression["operator"] == "NotIn":
                others = [each for each in expression["values"] if each != place]
                at = f"/webhooks/{number}/namespaceSelector/matchExpressions/0/values"
                changes.append({"op": "replace", "path": at, "value": [*others, *([place] if is_exempt else [])]})
        running.cluster.kubectl("patch", kind, "userquota", "--type=json", "-p", json.dumps(changes))
