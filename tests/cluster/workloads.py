"""Deployments and what they make, as people see them with kubectl."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.people import Person
from tests.cluster.running import RunningWebhook, eventually
from tests.cluster.test_who_pays import OWNER, get


def deployment(name: str, *, replicas: int = 1, image: str = "example/x") -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "100m"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def read(running: RunningWebhook, place: str, kind: str, name: str) -> dict[str, Any]:
    return get(running, place, kind, name)


def listed(running: RunningWebhook, place: str, kinds: str) -> list[dict[str, Any]]:
    """Return the objects of *kinds* that are not being deleted, the oldest first."""
    answer = running.cluster.kubectl("get", kinds, "-n", place, "-o", "json", "--sort-by=.metadata.creationTimestamp")
    items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
    return [each for each in items if "deletionTimestamp" not in each["metadata"]]


def image_of(running: RunningWebhook, place: str, name: str) -> str:
    image: str = read(running, place, "deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def revision_of(running: RunningWebhook, place: str, name: str) -> str:
    """Return the number that the controller gave to the Deployment's template, which is the one in force by now."""
    found = read(running, place, "deployment", name)
    if found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
        return ""
    return str(found["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", ""))


def exported(running: RunningWebhook, place: str, name: str, *, to: str) -> dict[str, Any]:
    """Return a Deployment as people keep it in a file, stamp and all, under another name."""
    document = read(running, place, "deployment", name)
    kept = ("annotations", "labels")
    metadata = {field: value for field, value in document["metadata"].items() if field in kept}
    metadata["annotations"].pop("kubectl.kubernetes.io/last-applied-configuration", None)
    metadata["annotations"].pop("deployment.kubernetes.io/revision", None)
    del document["status"]
    return {**document, "metadata": {"name": to, **metadata}}


def pod_owners(running: RunningWebhook, place: str) -> list[str]:
    """Return who pays for each pod, the oldest first; "" for one without a stamp."""
    return [each["metadata"].get("annotations", {}).get(OWNER, "") for each in listed(running, place, "pods")]


def set_images(owner: Person, *images: str) -> None:
    """Change the image of the Deployment `web` again and again; each becomes a revision, from the second on."""
    for number, image in enumerate(images, start=2):
        await_revision(owner, number - 1)
        assert "image updated" in owner.run("set", "image", "deployment/web", f"main={image}")
    await_revision(owner, len(images) + 1)


def await_revision(owner: Person, number: int) -> None:
    """Wait until the controller has given the template of the Deployment `web` this number."""
    eventually(lambda: revision_of(owner.running, owner.place, "web") == str(number))
