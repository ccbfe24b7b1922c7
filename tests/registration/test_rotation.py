"""`userquota certs` beside replicas that look, on a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from localcluster.controlplane import ControlPlane
from tests.certificates.test_certificates import shake_hands, trusting
from tests.cli.running import Ended, in_process
from tests.registration.installation import Installation
from webhook.registration import manifest_files
from webhook.registration.bundles import certificates


class Certs:
    """The command, which takes the webhooks of the test for those of the manifests."""

    def __init__(self, installation: Installation, control_plane: ControlPlane) -> None:
        self.installation = installation
        self._where = ("--namespace", installation.namespace, "--kubeconfig", str(control_plane.kubeconfig()))

    async def __call__(self, *arguments: str) -> Ended:
        return await asyncio.to_thread(in_process, "certs", *arguments, *self._where)

    async def with_looks(self, *arguments: str, looks: int) -> Ended:
        """Run it while the replicas look *looks* times; it waits for the end that they bring."""
        running = asyncio.create_task(self(*arguments))
        while not running.done() and looks:
            await asyncio.sleep(0.2)
            before = self.installation.stored()
            await self.installation.look()
            looks -= self.installation.stored() == before
        return await running


@pytest.fixture
def certs(installation: Installation, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certs]:
    monkeypatch.setattr(manifest_files, "webhook_manifests", lambda: installation.cluster.manifests)
    with structlog.testing.capture_logs():  # the replicas are in this process, too
        yield Certs(installation, control_plane)


async def test_status_shows_who_signs_and_who_is_trusted(certs: Certs) -> None:
    done = await certs("status")
    assert (done.code, done.err) == (0, "")
    heads, first, second = (line.split("   ") for line in done.out.splitlines())
    assert [each for each in map(str.strip, heads) if each] == [
        "AUTHORITY",
        "ROLE",
        "EXPIRES",
        "REPLACED AFTER",
        "TRUSTED BY",
    ]
    assert "signs" in "".join(first)
    assert "follows" in "".join(second)
    assert first[-1] == second[-1] == "6 of 6"


async def test_status_ends_with_1_where_a_bundle_lacks_one(certs: Certs) -> None:
    cluster = certs.installation.cluster
    path = "/webhooks/2/clientConfig/caBundle"
    cluster.patch("ValidatingWebhookConfiguration", [{"op": "replace", "path": path, "value": ""}])
    done = await certs("status", "-o", "json")
    assert done.code == 1
    document = json.loads(done.out)
    assert document["lacking"] == [cluster.live("ValidatingWebhookConfiguration")["webhooks"][2]["name"]]
    assert [each["trustedBy"] for each in document["authorities"]] == [5, 5]
    refused = await certs("rotate")
    assert refused.code == 2
    assert "the authority that follows is not in the caBundle of" in refused.err


async def test_rotate_has_the_next_one_sign_and_waits_until_the_old_one_is_gone(certs: Certs) -> None:
    old, following = certificates(certs.installation.stored())
    done = await certs.with_looks("rotate", looks=12)
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[0] == "the new authorities are stored"
    assert done.err.splitlines()[-1] == "the old ones are gone from every caBundle"
    signing, _ = certificates(certs.installation.stored())
    assert signing == following
    assert old not in b"".join(certs.installation.cluster.bundles().values())


async def test_rotate_all_replaces_both_and_no_call_fails_meanwhile(
    certs: Certs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each write and each look of a replica, every caBundle trusts what every replica serves."""
    installation = certs.installation
    old = set(certificates(installation.stored()))
    patch = installation.api.patch
    written: list[str] = []

    async def patch_and_check(path: str, *arguments: Any, **options: Any) -> bytes:
        answer = await patch(path, *arguments, **options)
        installation.check()
        written.append(path)
        return answer

    monkeypatch.setattr(installation.api, "patch", patch_and_check)
    done = await certs.with_looks("rotate", "--all", "--timeout", "120", looks=16)

    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[0] == "the new authorities are stored"
    assert done.err.splitlines()[-1] == "the old ones are gone from every caBundle"
    signing, following = certificates(installation.stored())
    assert old.isdisjoint((signing, following))
    assert len(written) >= 4  # both configurations: the new ones come, the old ones go
    for replica in installation.replicas:
        shake_hands(replica.identity.context, trusting(signing), name=installation.name)
    await installation.check_at_rest()


async def test_rotate_says_what_it_waits_for_in_vain(certs: Certs) -> None:
    done = await certs("rotate", "--all", "--timeout", "0.1")
    assert done.code == 2
    assert done.err.splitlines()[-2:] == [
        "0 of 6 caBundles hold them",
        "userquota: after 0 seconds a caBundle still holds others than the new ones",
    ]


@pytest.mark.parametrize("both", [False, True], ids=["the one that follows", "both"])
async def test_a_drill_counts_the_calls_that_were_not_answered(certs: Certs, both: bool) -> None:
    """No webhook of this test matches the namespace, so that all pods are created; a call of nobody is none."""
    old, following = certificates(certs.installation.stored())
    options = ("--all",) if both else ()
    done = await certs.with_looks("drill", *options, "--in", "default", "--rate", "5", looks=16)
    assert done.code == 0, done.err
    calls, _, failed = done.out.strip().partition(" calls, ")
    assert int(calls) > 0
    assert failed == "0 failed"
    trusted = b"".join(certs.installation.cluster.bundles().values())
    assert (old in trusted, following in trusted) == (False, not both)


async def test_without_a_secret_it_says_so(certs: Certs) -> None:
    certs.installation.delete_secret()
    done = await certs("status")
    assert done.code == 2
    assert f"there is no Secret {certs.installation.namespace}/userquota-ca: " in done.err
