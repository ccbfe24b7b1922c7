"""
Replicas that start and look while the Secret of their authority is deleted or replaced, on a real API server.

At every moment the API server trusts what each replica serves, and in the end no replica writes any more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

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
        self._api = api

    async def start(self) -> Replica:
        identity = await from_secret(self._api, namespace=self.namespace, names=[self.name], clock=self.clock)
        drifted: list[str] = []
        registration = Registration(
            self._api,
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
        found = await read_authorities(self._api, namespace=self.namespace, now=now)
        wanted = replace(found, authorities=promote(found.authorities, now))
        assert await replace_authorities(self._api, wanted, namespace=self.namespace)

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


@pytest.fixture
async def installation(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Installation]:
    api = await KubernetesApi.connect(kubeconfig=control_plane.kubeconfig())
    installation = Installation(control_plane, api, namespace)
    installation.cluster.install()
    for _ in range(2):
        await installation.start()
    yield installation
    await api.close()
    installation.cluster.remove()


async def test_a_deleted_secret_is_put_back_by_those_that_run(installation: Installation) -> None:
    bundle = installation.replicas[0].identity.ca_bundle
    before = installation.generations()
    installation.delete_secret()
    await installation.look()
    newcomer = await installation.start()
    assert newcomer.identity.ca_bundle == bundle
    assert installation.generations() == before
    await installation.check_at_rest()


async def test_a_replica_that_starts_first_makes_new_authorities_and_all_change_to_them(
    installation: Installation,
) -> None:
    """What certs/README.md once advised: the old and the new replicas then forced their own caBundle by turns."""
    old = set(certificates(installation.stored()))
    installation.delete_secret()
    newcomer = await installation.start()
    assert old.isdisjoint(certificates(newcomer.identity.ca_bundle))
    installation.check()
    await installation.look(4)
    assert {replica.identity.ca_bundle for replica in installation.replicas} == {installation.stored()}
    await installation.look(6)
    await installation.check_at_rest()


async def test_an_authority_that_is_replaced_by_hand_signs_everywhere_within_four_looks(
    installation: Installation,
) -> None:
    new = installation.replace_secret()
    installation.check()
    await installation.look(4)
    for replica in installation.replicas:
        shake_hands(replica.identity.context, trusting(new), name=installation.name)
    await installation.look(6)
    await installation.check_at_rest()


async def test_replicas_that_start_right_after_a_replacement_are_trusted_beside_those_that_have_not_looked(
    installation: Installation,
) -> None:
    installation.replace_secret()
    await installation.start()
    installation.check()
    await installation.look(10)
    await installation.check_at_rest()


async def test_a_replica_that_slept_through_all_of_it_changes_at_its_first_look(installation: Installation) -> None:
    sleeper = installation.replicas.pop()
    new = installation.replace_secret()
    await installation.look(10)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(sleeper.identity.context, trusting(new), name=installation.name)
    before = installation.generations()
    await sleeper.registration.register()
    installation.replicas.append(sleeper)
    installation.check()
    assert installation.generations() == before


async def test_all_of_them_looking_at_once_agree(installation: Installation) -> None:
    installation.delete_secret()
    await asyncio.gather(*(installation.start() for _ in range(4)))
    installation.check()
    for _ in range(10):
        installation.clock.passed += LOOK
        await asyncio.gather(*(replica.registration.register() for replica in installation.replicas))
        installation.check()
    assert len({replica.identity.ca_bundle for replica in installation.replicas}) == 1
    await installation.check_at_rest()


async def test_the_one_that_follows_signs_at_the_second_look_however_often_it_is_asked_for(
    installation: Installation,
) -> None:
    """It has been in every caBundle all the time; what follows it is added meanwhile."""
    for _ in range(3):
        await installation.look(3)
        following = certificates(installation.stored())[1]
        await installation.promote()
        await installation.look()
        assert certificates(installation.stored())[0] == following
        await installation.look()
        for replica in installation.replicas:
            shake_hands(replica.identity.context, trusting(following), name=installation.name)
    await installation.look(8)
    await installation.check_at_rest()
