"""The sources of amounts, as `userquota charge` prints them."""

from __future__ import annotations

import msgspec
import pytest

from webhook.kinds import pod_cost, pod_defaults
from webhook.kinds.pod_reasons import reasons
from webhook.kinds.pod_shapes import Pod

APP = '{"name": "app", "resources": {"requests": {"cpu": "2"}}}'
SIDECAR = '{"name": "proxy", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}'
SETUP = '{"name": "setup", "resources": {"requests": {"cpu": "5"}}}'
SMALL = '{"name": "small", "resources": {"requests": {"cpu": "1m"}}}'


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        (f'{{"containers": [{APP}]}}', "app"),
        (f'{{"containers": [{APP}, {SMALL}]}}', "app + small"),
        (f'{{"containers": [{APP}], "initContainers": [{SIDECAR}]}}', "app + sidecar proxy"),
        (f'{{"containers": [{APP}], "initContainers": [{SMALL}]}}', "app"),
        (f'{{"containers": [{APP}], "initContainers": [{SETUP}]}}', "init container setup"),
        (f'{{"containers": [{APP}], "initContainers": [{SIDECAR}, {SETUP}]}}', "init container setup + sidecar proxy"),
        (f'{{"containers": [{APP}], "initContainers": [{SETUP}, {SIDECAR}]}}', "init container setup"),
        (f'{{"containers": [{{"name": "idle"}}], "initContainers": [{SIDECAR}]}}', "sidecar proxy"),
        (f'{{"containers": [{APP}], "resources": {{"requests": {{"cpu": "3"}}}}}}', "pod-level requests"),
        (f'{{"containers": [{APP}], "overhead": {{"cpu": "1m"}}}}', "app + overhead"),
    ],
)
def test_the_amount_of_cpu_comes_from(spec: str, source: str) -> None:
    read = msgspec.json.decode(f'{{"spec": {spec}}}', type=Pod)
    size = pod_defaults.with_defaults(pod_cost.size_of(read))
    assert reasons(read, size, pod_cost.charge(size)) == {
        "count/pods": "one object",
        "pods": "one pod",
        "requests.cpu": source,
    }


def test_limits_have_reasons_of_their_own_and_a_resize_is_mentioned() -> None:
    read = msgspec.json.decode(
        '{"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "1Gi"}}}]},'
        ' "status": {"containerStatuses": [{"name": "app", "allocatedResources": {"memory": "2Gi"}}]}}',
        type=Pod,
    )
    size = pod_cost.size_of(read)
    sources = reasons(read, size, pod_cost.charge(size))
    assert sources["limits.memory"] == "app, or what the node has allocated if that is more"
