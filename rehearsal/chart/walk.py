"""
The steps of the rehearsal: a fresh control plane, the chart installed, upgraded, rolled back, and taken out again.

Nothing is judged here but that a step ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster.controlplane import ControlPlane
from rehearsal.chart.kubelet import Kubelet, Run
from rehearsal.chart.load import Load
from rehearsal.client import Client
from rehearsal.policy import Policy
from tests.helm.running import Helm

NAMESPACE, RELEASE, TEAM = "userquota-system", "userquota", "team"
OLD, NEW = "old", "new"
BEFORE, INSTALL, POLICY, UPGRADE, BACK, ROTATE, UNINSTALL, AFTER = STEPS = (
    *("before", "install", "policy", "upgrade", "back", "rotate", "uninstall"),
    "after",
)
WITHIN_LIMITS, BEYOND = 4, 9
LIMITS = Policy(user={"pods": "5", "cpu": "450m"})
CONFIGURATIONS = ("validatingwebhookconfiguration", "mutatingwebhookconfiguration")
OURS = "app.kubernetes.io/part-of=userquota"
_CLUSTER_WIDE = (
    *CONFIGURATIONS,
    *("apiservice", "clusterrole", "clusterrolebinding", "flowschema", "prioritylevelconfiguration"),
)

Report = Callable[[str], None]


@dataclass(slots=True)
class Walked:
    """
    The record of a walk. `began` is when each step did, by the wall clock, `finished` when all was over.

    Limits were enforced from version `enforced` through `ended`. `doctors` are the exit codes of `userquota doctor`, by
    the step after which it was asked, with what it printed. `left` is what was left after the uninstallation.
    """

    began: dict[str, float] = field(default_factory=dict)
    finished: float = 0.0
    enforced: int = 0
    ended: int = 0
    doctors: dict[str, tuple[int, str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def span(self, step: str) -> tuple[float, float]:
        """Return when a step began and ended."""
        later = [at for each, at in self.began.items() if STEPS.index(each) > STEPS.index(step)]
        return self.began[step], min(later, default=self.finished)


@dataclass(slots=True)
class Walk:
    """What the steps work with. *checkouts* are by OLD and NEW, whose names are the images' tags, too."""

    cluster: ControlPlane
    client: Client
    kubelet: Kubelet
    load: Load
    helm: Helm
    checkouts: Mapping[str, Path]
    report: Report
    record: Walked = field(default_factory=Walked)
    _tag: str = OLD

    async def walk(self, *, rotate: bool) -> None:
        """Go through all steps under load."""
        record = self.record
        async with self.load.running():
            self._begin(BEFORE)
            await asyncio.sleep(5)

            self._begin(INSTALL)
            await self._helm("install", OLD, "--create-namespace")
            await self._rolled_out()
            await self._examine(INSTALL)
            await asyncio.sleep(5)

            self._begin(POLICY)
            await self._helm("upgrade", OLD, policy=LIMITS.text())
            await self._policy_in_force()
            record.enforced = await self.client.version()
            self.load.most = BEYOND
            await asyncio.sleep(10)

            self._begin(UPGRADE)
            await self._helm("upgrade", NEW, policy=LIMITS.text())
            self._tag = NEW
            await self._rolled_out()
            await self._examine(UPGRADE)
            await asyncio.sleep(5)

            self._begin(BACK)
            await self._command(self.helm.ended, "rollback", RELEASE, "2", f"--namespace={NAMESPACE}")
            self._tag = OLD
            await self._rolled_out()
            await self._examine(BACK)
            await asyncio.sleep(5)

            if rotate:
                self._begin(ROTATE)
                code, told = await self.userquota("certs", "rotate")
                if code:
                    record.troubles.append(f"certs rotate: {told}")
                await self._examine(ROTATE)

            record.ended = await self.client.version()
            self._begin(UNINSTALL)
            await self._command(self.helm.ended, "uninstall", RELEASE, f"--namespace={NAMESPACE}")
            await asyncio.sleep(2)
            self._begin(AFTER)
            await asyncio.sleep(10)
            record.left = await self.left()
            record.troubles += await self._gone(NAMESPACE)
        record.finished = time.time()

    async def remove_in_orders(self) -> None:
        """Install it again and again, and take it away in other orders while replicas run."""
        orders: dict[str, list[list[str]]] = {
            "the namespace first": [
                ["delete", "namespace", NAMESPACE, "--wait=false"],
                *self._deleted("apiservice", *CONFIGURATIONS),
                *self._deleted(*_CLUSTER_WIDE),
            ],
            "rights first, webhooks last": [
                *self._deleted("clusterrolebinding", "clusterrole"),
                ["delete", "deployment,service", "--all", f"--namespace={NAMESPACE}"],
                ["delete", "namespace", NAMESPACE, "--wait=false"],
                *self._deleted(*reversed(_CLUSTER_WIDE)),
            ],
            "kubectl delete -k": [["delete", "-k", str(self.checkouts[NEW] / "manifests")]],
        }
        for name, commands in orders.items():
            await self._helm("install", NEW, "--create-namespace")
            await self._rolled_out()
            begun = time.monotonic()
            for words in commands:
                done = await self._kubectl(*words)
                if done.returncode and "NotFound" not in done.stderr:
                    self.record.troubles.append(f"{name}: {' '.join(words)}: {done.stderr.strip()}")
                await asyncio.sleep(1)
            troubles = [*await self._gone(NAMESPACE), *(f"left: {each}" for each in await self.left())]
            self.record.troubles += [f"{name}: {each}" for each in troubles]
            self.record.removals.append(f"{name}: all gone after {time.monotonic() - begun:.0f} s")
            self.report(self.record.removals[-1])

    async def left(self) -> list[str]:
        """Return the objects of ours that are left, outside of our namespace."""
        done = await self._kubectl("get", ",".join(_CLUSTER_WIDE), f"--selector={OURS}", "--output=name")
        return done.stdout.split()

    async def userquota(self, *words: str) -> tuple[int, str]:
        """Run a command of the version that is installed; return its exit code and what it printed."""
        argv = [sys.executable, "-m", "webhook", *words, "--kubeconfig", str(self.cluster.kubeconfig().resolve())]
        done = await asyncio.to_thread(
            subprocess.run, argv, cwd=self.checkouts[self._tag], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def _begin(self, step: str) -> None:
        self.record.began[step] = time.time()
        self.report(f"{step}: {len(self.load.told)} creates")

    async def _helm(self, verb: str, tag: str, *options: str, policy: str = "") -> None:
        values: dict[str, Any] = {"image": {"tag": tag}}
        if policy:
            values["policy"] = {"text": policy}
        chart = str(self.checkouts[tag] / "manifests")
        await self._command(self.helm.ended, verb, RELEASE, chart, f"--namespace={NAMESPACE}", *options, values=values)

    async def _command(self, command: Callable[..., object], *words: str, **options: Any) -> None:
        await asyncio.to_thread(command, *words, kubeconfig=self.cluster.kubeconfig().resolve(), **options)

    async def _kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.cluster.kubectl, *words, check=False, timeout=400)

    @staticmethod
    def _deleted(*kinds: str) -> list[list[str]]:
        return [["delete", each, f"--selector={OURS}"] for each in kinds]

    async def _rolled_out(self) -> None:
        words = ("rollout", "status", f"deployment/{RELEASE}", f"--namespace={NAMESPACE}", "--timeout=300s")
        done = await self._kubectl(*words)
        if done.returncode:
            raise RuntimeError(f"the rollout did not end: {done.stdout}{done.stderr}")

    async def _policy_in_force(self) -> None:
        """Wait until each replica has told of two policies: of the first one, and of that which followed it."""
        replicas = [each for each in self.kubelet.runs.values() if each.ready]
        async with asyncio.timeout(60):
            while not all(self.kubelet.log(each).count("policy in force") >= 2 for each in replicas):
                await asyncio.sleep(0.2)

    async def _examine(self, step: str) -> None:
        """Ask `userquota doctor`, and run `helm test`."""
        self.record.doctors[step] = await self.userquota("doctor", "--probe-namespace", TEAM)
        await self._command(self.helm.ended, "test", RELEASE, f"--namespace={NAMESPACE}", "--timeout=2m")

    async def _gone(self, namespace: str) -> list[str]:
        """Delete a namespace; return why it is not gone after three minutes."""
        words = ("delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s")
        done = await self._kubectl(*words)
        return [done.stderr.strip()] if done.returncode else []
