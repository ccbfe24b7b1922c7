"""etcd without space: the test raises etcd's own alarm by hand; everything else is real."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from localcluster.controlplane import ControlPlane
from tests.replicas import Replicas
from tests.replicated import ledger_object
from tests.replicated.asking import Asking, numbered, statuses
from tests.replicated.conftest import limited

LIMIT = 3
WHY = re.compile(r"the ledger cannot be written: PUT \S+ 500: etcdserver: mvcc: database space exceeded")


async def test_without_space_in_etcd_nothing_grows_the_reason_is_given_and_it_recovers(
    replicas: Replicas, asking: Asking, place: str, person: str
) -> None:
    """Row 18. Every message gives the reason, not a timeout."""
    replicas.set_policy(limited(person, pods=LIMIT))
    assert statuses(await asking.create_pods(place, numbered("kept", 2), user=person)) == {201: 2}
    await ledger_object.at_rest(asking, place)

    with no_space(replicas.cluster):
        refused = await asking.create_pods(place, numbered("refused", 12), user=person)
        tried = [await asking.create_pod(place, "tried", user=person, dry_run=True) for _ in range(3)]
        reasons = [replicas.readiness(i) for i in range(replicas.count)]
        counted = [replicas.metrics(i) for i in range(replicas.count)]

    assert set(statuses(refused)) == {500}
    assert all(WHY.search(each.message) for each in refused), refused[0].message
    assert all(each.startswith("ok\n") for each in reasons)
    assert any(WHY.search(each) for each in reasons), reasons
    assert any('userquota_errors_total{reason="ledger-write"}' in each for each in counted)
    assert {each.status for each in tried} <= {201, 500}

    await asyncio.to_thread(replicas.wait_until_ready)
    answers = await asking.create_pods(place, numbered("after", LIMIT), user=person)
    assert statuses(answers) == {201: LIMIT - 2, 403: 2}


@contextmanager
def no_space(cluster: ControlPlane) -> Iterator[None]:
    """Have etcd reject every write that needs space while the body runs."""
    _alarm(cluster, "ACTIVATE")
    try:
        yield
    finally:
        _alarm(cluster, "DEACTIVATE")


def _alarm(cluster: ControlPlane, action: str) -> None:
    option = "--advertise-client-urls="
    url = next(each for each in cluster.processes["etcd"].argv if each.startswith(option)).removeprefix(option)
    pki = cluster.data_dir / "pki"
    tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    tls.load_cert_chain(pki / "server.crt", pki / "server.key")
    connection = http.client.HTTPSConnection(urlsplit(url).netloc, context=tls, timeout=5)
    connection.request("POST", "/v3/maintenance/alarm", body=json.dumps({"action": action, "alarm": "NOSPACE"}))
    answer = connection.getresponse()
    assert answer.status == http.HTTPStatus.OK, answer.read()
    connection.close()
