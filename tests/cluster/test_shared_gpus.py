"""Parts of GPUs that annotations ask for, on a real API server: they count together, also when one is changed."""

from __future__ import annotations

import json

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually

POLICY = "version: 1\ndefaults: {user: {hard: {gpu: 1}}}\n"


def a_pod(name: str, **annotations: str) -> str:
    noted = {key.replace("_", "-"): value for key, value in annotations.items()}
    spec = {"containers": [{"name": "main", "image": "example/x"}]}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": noted}, "spec": spec}
    )


def test_parts_of_gpus_fill_the_limit_and_no_annotation_goes_beyond_it(running: RunningWebhook, person: Person) -> None:
    running.set_policy(POLICY)
    clause = "exceeded quota: defaults.user, requested: gpu={}, used: gpu="
    source = "gpu comes from annotation {} x 1"

    assert " created\n" in person.create(a_pod("first", gpu_fraction="0.5"))
    assert " created\n" in person.create(a_pod("second", gpu_fraction="0.25", gpu_fraction_num_devices="2"))
    third = person.create(a_pod("third", gpu_fraction="0.1"))
    by_size = person.create(a_pod("by-size", gpu_memory="1"))
    assert clause.format("1/10") in third
    assert source.format("gpu-fraction") in third
    assert clause.format("1") in by_size
    assert source.format("gpu-memory") in by_size

    def annotate(*written: str) -> str:
        return person.run("annotate", "--overwrite", "pod", "second", *written)

    assert clause.format("1/4") in annotate("gpu-fraction-num-devices=3")
    assert "larger than quota: defaults.user, requested: gpu=1+1/2, used: gpu=" in annotate("gpu-memory=2000")
    for less in ("gpu-fraction-num-devices=1", "gpu-fraction=0.1", "gpu-fraction-"):
        assert "the part of a GPU that a pod asks for by annotations cannot be made smaller" in annotate(less)
    person.delete("pod", "first", "--now")
    eventually(lambda: " annotated\n" in annotate("gpu-fraction-num-devices=3"))
    assert " created\n" in person.create(a_pod("fourth", gpu_fraction="0.25"))
