"""Our two webhook configurations in a real API server, under a name of the test."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import yaml

from localcluster.controlplane import ControlPlane
from tests.fakes import FakeClock
from webhook.kube.api import KubernetesApi
from webhook.ports import WebhookError
from webhook.registration import (
    CountedResources,
    Form,
    Registration,
    ServiceForm,
    UrlForm,
    read_manifest,
)

MANIFESTS = Path(__file__).parents[2] / "manifests"
KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
WEBHOOKS = [
    "mutate.userquota.dev",
    "validate.userquota.dev",
    "stamps.userquota.dev",
    "scale.userquota.dev",
    "advise.userquota.dev",
    "policies.userquota.dev",
]
OPEN = {"advise.userquota.dev", "policies.userquota.dev"}
BUNDLE, SECOND, OTHERS = (
    b"-----BEGIN CERTIFICATE-----\n" + name + b"\n-----END CERTIFICATE-----\n"
    for name in (b"Rmlyc3Q=", b"U2Vj", b"T3Ro")
)
URL = "https://192.0.2.1:8443/hooks"
PATH = "/webhooks/0/clientConfig/service/path"
# It matches no namespace: what a failed test leaves behind must not stop others.
NOWHERE = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}


class FakeTrust:
    """Port `Trust`: the bundle that a test sets; `error` makes refreshing fail."""

    def __init__(self, bundle: bytes = BUNDLE) -> None:
        self.ca_bundle = bundle
        self.error: WebhookError | None = None
        self.held: list[Collection[bytes]] = []
        self.refused: dict[str, str] = {}  # why calls of a host would fail

    async def refresh(self) -> None:
        if self.error is not None:
            raise self.error

    def trusted(self, bundle: Collection[bytes]) -> None:
        self.held.append(bundle)

    def check_call(self, host: str, ca_bundle: bytes) -> None:  # noqa: ARG002 - tests of certificates look at it
        if host in self.refused:
            raise WebhookError(self.refused[host])


class Cluster:
    """The two configurations under a name of the test, and what became of them."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.name = f"registration-{secrets.token_hex(4)}"
        self.trust = FakeTrust()
        self.clock = FakeClock()
        self.drifted: list[str] = []
        self.counted: CountedResources | None = CountedResources()
        self.bodies = [self._body(kind) for kind in KINDS]
        self.manifests = [read_manifest(body) for body in self.bodies]

    def _body(self, kind: str) -> dict[str, Any]:
        body: dict[str, Any] = yaml.safe_load((MANIFESTS / f"{kind.lower()}.yaml").read_text())
        webhooks = [{**item, "namespaceSelector": NOWHERE} for item in body["webhooks"]]
        return {**body, "metadata": {"name": self.name}, "webhooks": webhooks}

    def install(self, *options: str) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": self.bodies})
        self.control_plane.kubectl("apply", "--filename=-", *options, stdin=listed)

    def remove(self) -> None:
        self.control_plane.kubectl("delete", ",".join(KINDS), self.name, "--ignore-not-found")

    def live(self, kind: str) -> dict[str, Any]:
        answer = self.control_plane.kubectl("get", kind, self.name, "--output=json", "--show-managed-fields")
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def both(self) -> list[dict[str, Any]]:
        answer = self.control_plane.kubectl("get", ",".join(KINDS), self.name, "--output=json")
        found: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
        return found

    def bundles(self) -> dict[str, bytes]:
        webhooks = [item for each in self.both() for item in each["webhooks"]]
        return {item["name"]: base64.b64decode(item["clientConfig"].get("caBundle", "")) for item in webhooks}

    def paths(self, kind: str) -> list[str]:
        return [item["clientConfig"]["service"].get("path", "") for item in self.live(kind)["webhooks"]]

    def patch(self, kind: str, patch: list[dict[str, Any]]) -> None:
        self.control_plane.kubectl("patch", kind, self.name, "--type=json", f"--patch={json.dumps(patch)}")

    def grant(self, verbs: str) -> None:
        """Give dave the right to *verbs* on webhook configurations."""
        right = [f"--resource={','.join(kind.lower() + 's' for kind in KINDS)}", f"--verb={verbs}"]
        self.control_plane.kubectl("create", "clusterrole", self.name, *right)
        role = f"--clusterrole={self.name}"
        self.control_plane.kubectl("create", "clusterrolebinding", self.name, role, "--user=dave")

    def may(self, verb: str) -> bool:
        """Whether dave has the right by what the API server knows."""
        answer = self.control_plane.kubectl("auth", "can-i", verb, KINDS[1].lower() + "s", "--as=dave", check=False)
        return answer.stdout.strip() == "yes"

    def withdraw(self) -> None:
        self.control_plane.kubectl("delete", "clusterrolebinding,clusterrole", self.name, "--ignore-not-found")

    def by_service(self, api: KubernetesApi, *, check_seconds: float = 30) -> Registration:
        return self._registration(api, ServiceForm(self.manifests), check_seconds=check_seconds)

    def by_url(self, api: KubernetesApi, url: str = URL) -> Registration:
        return self._registration(api, UrlForm(self.manifests, url))

    def _registration(self, api: KubernetesApi, form: Form, *, check_seconds: float = 30) -> Registration:
        return Registration(
            api,
            form,
            self.trust,
            on_drift=self.drifted.append,
            counted=lambda: self.counted,
            monotonic=self.clock.monotonic,
            check_seconds=check_seconds,
        )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - seen in the API server, which tells no event
            await asyncio.sleep(0.05)
