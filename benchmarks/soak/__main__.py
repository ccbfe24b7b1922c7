"""
`python -m benchmarks.soak --minutes 120`: memory, files and threads of a replica under load and faults stay flat.

Three replicas behind a balancer serve two API servers. People with ever new names make and delete pods, claims and
Deployments in ever new namespaces, and are refused in loops; the policy is edited, an authority rotated, other replicas
are killed, an API server is restarted, connections are cut and stalled. Exit code 1 if anything grows, if the run was
too short to tell, if a reservation is left in the end, or if a replica then counts other pods than there are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic

from benchmarks import machine, table
from benchmarks.soak import curve, samples
from benchmarks.soak.faults import LOOKED_AT, Faults, Stage
from benchmarks.soak.people import POLICY, People
from localcluster.binaries import find_binaries
from localcluster.build import GO_MODULE, kubernetes_version
from localcluster.plan import Options
from nemesis.rig import ProxiedControlPlane
from tests.replicas import Replicas
from tests.replicated.asking import Asking
from webhook.kube.api import KubernetesApi
from webhook.registration import manifest_files
from webhook.wiring.application import SystemClock
from webhook.wiring.rotation import Rotation

_REPLICAS = 3
_EVERY = 10.0
"""Seconds between two samples."""

_TO_SETTLE = 150.0
"""Seconds after the load for what was reserved last: 40 seconds of work of the API servers, and a list of all pods."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120, help="(default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20, help="acts a second (default: %(default)s)")
    parser.add_argument("--between", type=float, default=30, help="seconds between faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws what people do (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("soak-out"), help="folder (default: %(default)s)")
    asked = parser.parse_args()
    os.environ.setdefault("GOGC", "200")  # less time for more memory: all share the machine
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="userquota-soak-") as name, _running(Path(name)) as stage:
        run = _Run(stage, asked.out)
        troubles = asyncio.run(run.perform(asked))
    print("\n".join(run.report()))
    for each in troubles:
        print(f"not flat: {each}")
    return 1 if troubles else 0


@contextmanager
def _running(folder: Path) -> Iterator[Stage]:
    options = Options(servers=2, controller_manager=True)
    with ProxiedControlPlane(folder / "cluster", find_binaries(os.environ), options=options) as cluster:
        cluster.start_proxies(folder)
        try:
            replicas = Replicas(cluster, folder, _REPLICAS, ["--log-level", "warning", "--metrics-subjects", "100"])
            replicas.install()
            replicas.apply_policy(POLICY.format(cpu=2, tenant=30))
            with replicas:
                replicas.wait_until_ready(within=60)
                yield Stage(cluster, replicas, folder)
        finally:
            cluster.stop_proxies()


class _Run:
    """One run, whose samples are written to a folder while it goes on."""

    def __init__(self, stage: Stage, out: Path) -> None:
        self._stage = stage
        self._cluster = stage.cluster
        self._replicas = stage.replicas
        self._out = out
        self._begun = monotonic()
        self._samples: list[samples.Sample] = []
        self._told: list[str] = []

    async def perform(self, asked: argparse.Namespace) -> list[str]:
        """Return what is not flat, or wrong in the end."""
        async with Asking(self._cluster) as asking, self._admin() as admin:
            people = People(asking, rate=asked.rate, seed=asked.seed)
            rotation = Rotation(
                admin, "userquota-system", clock=SystemClock(), manifests=manifest_files.webhook_manifests()
            )
            faults = Faults(self._stage, rotation, between=asked.between, clock=self._seconds)
            await people.begin()
            self._begun = monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(asked.minutes * 60), asyncio.TaskGroup() as tasks:
                    tasks.create_task(people.run())
                    tasks.create_task(faults.run())
                    tasks.create_task(self._look_on(people))
            took = self._seconds()
            await faults.mend()
            wrong = await self._settled(asking)
            await self._look(people)
            self._told = [
                f"{took / 60:.0f} minutes, {people.acts} acts, {people.people} people, {people.namespaces} namespaces",
                *(f"{what}: {status}, {times} times" for (what, status), times in sorted(people.answers.items())),
                *faults.numbers(),
            ]
            (self._out / "curve.svg").write_text(curve.drawn(self._samples, faults.told))
        return [*samples.troubles(self._samples), *wrong, *faults.unready]

    def report(self) -> Iterator[str]:
        """Yield the lines of the report in Markdown."""
        yield from samples.table(self._samples)
        yield ""
        yield f"Memory in the second half: {samples.slope(samples.second_half(self._samples))}."
        yield from self._told
        versions = machine.versions({"kubernetes": kubernetes_version(GO_MODULE)})
        yield from ("", *table.origin({"versions": versions, "machine": machine.description()}))

    async def _look_on(self, people: People) -> None:
        while True:
            await self._look(people)
            await asyncio.sleep(_EVERY - self._seconds() % _EVERY)

    async def _look(self, people: People) -> None:
        metrics = await asyncio.to_thread(self._replicas.metrics, LOOKED_AT)
        pid = self._replicas.processes[f"userquota-{LOOKED_AT}"].pid
        try:
            sample = samples.look(
                pid, metrics, seconds=self._seconds(), people=people.people, namespaces=people.namespaces
            )
        except KeyError:  # it did not answer within two seconds
            print(f"no metrics: {metrics[:200]}", file=sys.stderr, flush=True)
            return
        self._samples.append(sample)
        (self._out / "samples.csv").write_text(samples.as_text(self._samples))

    async def _settled(self, asking: Asking) -> list[str]:
        """Wait until no replica has reservations and each counts the pods that there are; return what is wrong then."""
        wrong = ["the pods could not be listed"]
        end = monotonic() + _TO_SETTLE
        while monotonic() < end:
            listed = await asking.ask("GET", "/api/v1/pods", server=1)
            if listed.status != 200:
                await asyncio.sleep(3)
                continue
            pods = len(json.loads(listed.text)["items"])
            texts = [await asyncio.to_thread(self._replicas.metrics, i) for i in range(self._replicas.count)]
            wrong = [
                f"replica {i} holds reservations, or counts other pods than the {pods} that there are"
                for i, text in enumerate(texts)
                if f"userquota_pods_known {pods}.0\n" not in text or "userquota_reservations 0.0\n" not in text
            ]
            if not wrong:
                return []
            await asyncio.sleep(3)
        return wrong

    def _seconds(self) -> float:
        return monotonic() - self._begun

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[KubernetesApi]:
        """Connect to the first API server, without a proxy."""
        api = await KubernetesApi.connect(kubeconfig=self._cluster.access.kubeconfig("admin", server=1))
        try:
            yield api
        finally:
            await api.close()


if __name__ == "__main__":
    sys.exit(main())
