"""Replicas that look at their webhook configurations in turn, by a clock that the test turns."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from localcluster.controlplane import ControlPlane
from tests.certificates.test_certificates import shake_hands, trusting
from tests.registration.installed import WEBHOOKS, Cluster
from webhook.certificates import from_secret
from webhook.certificates.authority import create_authority
from webhook.certificates.secret import read_authorities, replace_authorities
from webhook.certificates.signed import SignedIdentity
from webhook.certificates.succession import promote
from webhook.kube.api import KubernetesApi
from webhook.registration import Registration, ServiceForm
from webhook.registration.bundles import certificates

LOOK = 30.0


@dataclass
class Hands:
    """Port `Clock`, turned by the test, for certificates and looks alike."""

    passed: float = 0.0
    begun: datetime = field(default_factory=lambda: datetime.fromtimestamp(time.time(), UTC))

    def now(self) -> datetime:
        return self.begun + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@dataclass
class Replica:
    identity: SignedIdentity
    registration: Registration
    drifted: list[str]


class Installation:
    """Replicas that look in turn, and the cluster they are installed in."""

    def __init__(self, control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
        self.cluster = Cluster(control_plane)
        self.namespace = namespace
        self.name = "userquota.userquota-system.svc"
        self.replicas: list[Replica] = []
        self.clock = Hands()
        self._control_plane = control_plane
        self.api = api

    async def start(self) -> Replica:
        identity = await from_secret(self.api, namespace=self.namespace, names=[self.name], clock=self.clock)
        drifted: list[str] = []
        registration = Registration(
            self.api,
            ServiceForm(self.cluster.manifests),
            identity,
            on_drift=drifted.append,
            monotonic=self.clock.monotonic,
        )
        await registration.register()
        self.replicas.append(Replica(identity, registration, drifted))
        return self.replicas[-1]

    async def look(self, times: int = 1) -> None:
        """Have every replica look, 30 seconds after the last time; each is trusted after each single look."""
        for _ in range(times):
            self.clock.passed += LOOK
            for replica in self.replicas:
                await replica.registration.register()
                self.check()

    def check(self) -> None:
        for bundle in self.cluster.bundles().values():
            for replica in self.replicas:
                shake_hands(replica.identity.context, trusting(bundle), name=self.name)

    def generations(self) -> list[int]:
        return [each["metadata"]["generation"] for each in self.cluster.both()]

    def stored(self) -> bytes:
        """Return the certificates of the authorities in the Secret, the one that signs first."""
        answer = self._control_plane.kubectl("get", "secret", "userquota-ca", "-n", self.namespace, "--output=json")
        data = json.loads(answer.stdout)["data"]
        return b"".join(base64.b64decode(data[key]) for key in ("tls.crt", "next.crt"))

    async def promote(self) -> None:
        now = self.clock.now()
        found = await read_authorities(self.api, namespace=self.namespace, now=now)
        wanted = replace(found, authorities=promote(found.authorities, now))
        assert await replace_authorities(self.api, wanted, namespace=self.namespace)

    def delete_secret(self) -> None:
        self._control_plane.kubectl("delete", "secret", "userquota-ca", "-n", self.namespace)

    def replace_secret(self) -> bytes:
        """Replace the authority in one step, as certs/README.md says; return its certificate."""
        authority = create_authority(self.clock.now())
        pair = {"tls.crt": authority.certificate_pem, "tls.key": authority.key_pem}
        data = {key: base64.b64encode(value).decode() for key, value in pair.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data}
        secret["metadata"] = {"name": "userquota-ca", "namespace": self.namespace}
        self._control_plane.kubectl("replace", "--filename=-", stdin=json.dumps(secret))
        return authority.certificate_pem

    async def check_at_rest(self) -> None:
        """Check that what is stored is what all trust, that no replica writes any more, and that none counted drift."""
        bundles = self.cluster.bundles()
        assert bundles.keys() == set(WEBHOOKS)
        assert {frozenset(certificates(bundle)) for bundle in bundles.values()} == {
            frozenset(certificates(self.stored()))
        }
        before = self.generations()
        await self.look(10)
        assert self.generations() == before
        assert [replica.drifted for replica in self.replicas] == [[] for _ in self.replicas]
