"""
A manifest costs what the pod that is stored for it will cost.

test_charge_equals_kubernetes.py checks that Kubernetes fills in the same.
"""

import json
from typing import Any

import msgspec
import pytest

from tests.oracle.building import Example, app, resized
from tests.oracle.building import pod as a_pod
from tests.oracle.manifest_examples import MANIFESTS
from tests.oracle.random_pods import RandomPods
from webhook.kinds import pod_cost
from webhook.kinds.pod_cost import PodSize
from webhook.kinds.pod_defaults import with_defaults
from webhook.kinds.pod_shapes import Pod


@pytest.mark.parametrize("example", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_costs_what_its_pod_will_cost(example: Example) -> None:
    assert charged(with_defaults(size_of(example.pod))) == {"count/pods": "1", "pods": "1", **example.charged}


def test_defaults_filled_in_twice_change_nothing() -> None:
    source = RandomPods(11)
    for manifest in (source.pod() for _ in range(300)):
        once = with_defaults(size_of(manifest))

        assert charged(with_defaults(once)) == charged(once), manifest


def test_filling_in_defaults_leaves_its_argument_as_it_was() -> None:
    manifest = a_pod(app(limits={"cpu": "1u"}), resources={"limits": {"memory": "1Gi"}}, overhead={"cpu": "1n"})
    given = size_of(manifest)
    before = charged(given)

    with_defaults(given)

    assert (
        charged(given)
        == before
        == {
            "count/pods": "1",
            "pods": "1",
            "requests.cpu": "1n",
            "limits.cpu": "1001n",
            "limits.memory": "1Gi",
        }
    )


def test_fields_that_are_no_quantities_are_kept() -> None:
    given = size_of(a_pod(app(cpu="1"), status=resized(allocated="2", why="Infeasible") | {"phase": "Failed"}))

    filled = with_defaults(given)

    assert (filled.is_terminal, filled.is_infeasible, filled.has_status) == (True, True, True)


def charged(size: PodSize) -> dict[str, str]:
    return {name: str(amount) for name, amount in pod_cost.charge(size).items()}


def size_of(manifest: Any) -> PodSize:
    return pod_cost.size_of(msgspec.json.decode(json.dumps(manifest, ensure_ascii=False), type=Pod))
