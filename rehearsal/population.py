"""
What exists before the installation: people with their workloads, robots, operators, and nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localcluster.users import PEOPLE_GROUP
from rehearsal import manifests
from rehearsal.client import Actor, Client, account, person
from rehearsal.manifests import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD,
    STATEFUL_SET,
    Document,
    Kind,
)
from rehearsal.sizes import Size

ROBOTS, OPERATORS, INFRA = "robots", "operators", "infra"
"""The namespaces of programs that act in other ones."""

NETWORK = f"{INFRA}/network"
"""The account that makes a DaemonSet."""

TIGHT = "team-0"
"""The team whose namespace is too small for what is in it."""

NODES = 3

Asked = tuple[Kind, str, Document, Actor]


@dataclass(frozen=True, slots=True)
class Member:
    """A person, the namespace of their team, and the Deployments that are theirs from before the installation."""

    actor: Actor
    team: str
    deployments: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.actor.name


@dataclass(frozen=True, slots=True)
class Population:
    """Who lives in the cluster. `heavy` are members who use more than they may."""

    members: tuple[Member, ...]
    heavy: tuple[Member, ...]
    robots: tuple[Actor, ...]
    operators: tuple[Actor, ...]
    teams: tuple[str, ...]
    applied: tuple[tuple[str, str], ...]
    """What each robot applies in turn: namespace and name of a Deployment."""


async def populate(client: Client, size: Size) -> Population:
    """Create everything. Raises: RuntimeError."""
    teams = tuple(f"team-{number}" for number in range(size.teams))
    robots = [f"robot-{number}" for number in range(size.robots)]
    operators = [f"operator-{number}" for number in range(size.operators)]
    accounts = [*(f"{ROBOTS}/{each}" for each in robots), *(f"{OPERATORS}/{each}" for each in operators), NETWORK]
    await _prepare(client, accounts)
    asked: list[Asked] = []
    members: list[Member] = []
    for number, several in enumerate(_shares(size)):
        actor, team = person(f"person-{number}"), teams[number % len(teams)]
        mine = list(_workloads(actor, team, several))
        asked += mine
        names = tuple(document["metadata"]["name"] for kind, _, document, _ in mine if kind is DEPLOYMENT)
        members.append(Member(actor, team, names))
    applied = tuple((team, f"applied-{number}") for number, team in enumerate(teams * 2))
    by = [account(ROBOTS, each) for each in robots]
    asked += [
        (DEPLOYMENT, team, manifests.deployment(name, 1), by[number % len(by)])
        for number, (team, name) in enumerate(applied)
    ]
    asked.append((DAEMON_SET, INFRA, manifests.daemon_set("network"), account(*NETWORK.split("/"))))
    await client.create_all(asked)
    # Those of the tight namespace would be refused for its limit, whatever their own is.
    heavy = tuple(each for each in members if each.team != TIGHT)[: size.heavy]
    return Population(
        tuple(members), heavy, tuple(by), tuple(account(OPERATORS, each) for each in operators), teams, applied
    )


async def add_node(client: Client, number: int) -> None:
    await client.ask("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}})


def namespaces_of(size: Size) -> tuple[str, ...]:
    return (*(f"team-{number}" for number in range(size.teams)), ROBOTS, OPERATORS, INFRA)


async def _prepare(client: Client, accounts: list[str]) -> None:
    await _created(client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", manifests.definition())
    for each in accounts:
        namespace, name = each.split("/")
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        await _created(client, f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
    for document in manifests.rights(accounts, PEOPLE_GROUP):
        plural = f"{document['kind'].lower()}s"
        await _created(client, f"/apis/rbac.authorization.k8s.io/v1/{plural}", document)
    for number in range(NODES):
        await add_node(client, number)


async def _created(client: Client, path: str, body: Document) -> None:
    answer = await client.ask("POST", path, body)
    if not answer.is_done:
        raise RuntimeError(f"{path}: {answer.document}")


def _shares(size: Size) -> list[int]:
    """Return how many workloads each person has."""
    each, more = divmod(size.workloads, size.people)
    return [each + (number < more) for number in range(size.people)]


def _workloads(actor: Actor, team: str, count: int) -> Iterator[Asked]:
    """Yield *count* workloads of one person."""
    for number in range(count):
        name = f"{actor.name}-{number}"
        match number % 7:
            case 0 | 3 | 6:
                yield DEPLOYMENT, team, manifests.deployment(name, 2), actor
            case 1:
                yield STATEFUL_SET, team, manifests.stateful_set(name, 2), actor
            case 2:
                yield CRON_JOB, team, manifests.cron_job(name), actor
            case 4:
                yield JOB, team, manifests.job(name), actor
            case 5:
                yield POD, team, manifests.pod(name), actor
