"""A policy with classes of nodes, its tenants, and pods of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.view.scenes import cost, policy, put, scene
from webhook.quota.policy import Policy
from webhook.quota.quantity import NANOS
from webhook.quota.scopes import Scopes
from webhook.quota.subject import Payer
from webhook.view.standings import Scene

ALICE = Payer("alice")
MIB = 2**20
CLASSES = """
resources: {gpu: {displayName: GPUs}}
nodeClasses:
  h100: {nodes: {matchLabels: {gpu: h100}}, devices: [nvidia.com/gpu, example.com/link]}
  plain: {nodes: {matchLabels: {gpu: none}}, default: true}
tenants:
  research: {namespaces: {matchLabels: {team: research}}, project: p-1}
"""


def classes(text: str = "") -> Policy:
    return policy(CLASSES + text)


def of_class(node_class: str, *zones: str) -> Scopes:
    """Return the scopes of a pod that runs on nodes of *node_class*, in one of *zones* or in any."""
    return (f"NodeClass={node_class}", *(f"Zone={zone}" for zone in zones))


def pod(
    where: Scene,
    name: str,
    *zones: str,
    cpu: int = 1,
    memory: int = 0,
    node_class: str = "h100",
    namespace: str = "red",
    gpu: int = 0,
) -> None:
    """Put a pod there: `memory` in bytes, `gpu` as a number of `nvidia.com/gpu`."""
    others = {"requests.memory": memory, "requests.nvidia.com/gpu": gpu}
    amounts = dict(cost(cpu)) | {name: each * NANOS for name, each in others.items() if each}
    put(where, name, ALICE, sorted(amounts.items()), namespace=namespace, scopes=of_class(node_class, *zones))


def a_scene(text: str = "", pods: Iterable[str] = ()) -> Scene:
    made = scene(CLASSES + text)
    for each in pods:
        pod(made, each)
    return made


def commitment(**changed: Any) -> dict[str, Any]:
    """Return a commitment as a broker sends it: a new one of ten that is confirmed, with other fields as *changed*."""
    return {
        "uuid": "2f4b7f06-51d5-4ca4-8f3f-6a5ef58b7f01",
        "oldStatus": None,
        "newStatus": "confirmed",
        "amount": 10,
        "expiresAt": "2028-01-01T00:00:00Z",
        **changed,
    }


def changeset(*commitments: dict[str, Any], confirmed: Any = (50, 60), guaranteed: Any = (15, 15)) -> dict[str, Any]:
    return {
        "totalConfirmedBefore": confirmed[0],
        "totalConfirmedAfter": confirmed[1],
        "totalGuaranteedBefore": guaranteed[0],
        "totalGuaranteedAfter": guaranteed[1],
        "commitments": list(commitments) or None,
    }


def request(by_project: Any = None, **changed: Any) -> bytes:
    """Return a request to change commitments: by default to make one of ten."""
    if by_project is None:
        by_project = {"p-1": {"byResource": {"h100_gpu": changeset(commitment())}}}
    return json.dumps({"az": "a", "dryRun": False, "infoVersion": 7, "byProject": by_project, **changed}).encode()
