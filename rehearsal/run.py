"""
A rehearsal from beginning to end, and the judgement of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from nemesis.recorder import Recorder
from nemesis.records import CLAIMS, DEVICE_CLAIMS, PODS
from nemesis.run import beside
from rehearsal import audit, handing_over, installing, verdict
from rehearsal.client import Client
from rehearsal.handing_over import HandedOver
from rehearsal.handover_check import Halves, first_owners, judge_handover
from rehearsal.installing import Installed, Report
from rehearsal.judge import Judged, judge, revisions
from rehearsal.load import kubelets
from rehearsal.population import NODES, namespaces_of, populate
from rehearsal.site import Site, running_site
from rehearsal.sizes import Size
from rehearsal.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What was found, and in how many seconds it was done."""

    installed: Installed
    writes: Verdict
    during_install: Judged
    handed_over: list[tuple[HandedOver, Halves]]
    during_handover: Judged
    unexplained: list[str]
    seconds: float

    @property
    def violations(self) -> list[str]:
        """Return all that must not be."""
        found = [*self.writes.violations, *self.unexplained, *self.during_install.violations]
        found += [each for _, halves in self.handed_over for each in halves.violations]
        if self.installed.pods_of_new_node != 1:
            found.append(f"the DaemonSet made {self.installed.pods_of_new_node} pods for a new node")
        return [*found, *self.during_handover.violations]

    @property
    def void(self) -> list[str]:
        """Return why the rehearsal says nothing."""
        answers = self.writes.answers
        reasons = {
            "nothing was tolerated in audit mode": not answers[installing.AUDIT]["tolerated"],
            "nobody was warned": not self.installed.warned["over quota"],
            "nothing was refused": not self.writes.refused,
            "nobody took the room": not any(each.ended.code for each, _ in self.handed_over),
            "nothing moved": not self.during_handover.moved,
        }
        return [reason for reason, holds in reasons.items() if holds]


def rehearse(size: Size, folder: Path, *, report: Report) -> Rehearsed:
    """Rehearse all in *folder*, an empty one, and judge it."""
    begun = time.monotonic()
    with running_site(folder, size) as site:
        report("the control plane runs")
        rehearsal = _Rehearsal(site, size, report)
        asyncio.run(rehearsal.whole())
        logs = site.audit_logs()
    installed = rehearsal.installed
    assert installed is not None
    report("judging")
    first = first_owners(revisions(folder))
    writes = verdict.judge_writes(installed, audit.writes(logs))
    return Rehearsed(
        installed,
        writes,
        judge(folder, installed.policy, begin=installed.enforced, end=installed.ended),
        [(each, judge_handover(each, first)) for each in rehearsal.handed_over],
        judge(folder, handing_over.policy_for(size), begin=rehearsal.begun, end=rehearsal.ended),
        verdict.unexplained(installed),
        time.monotonic() - begun,
    )


class _Rehearsal:
    """The asynchronous part."""

    def __init__(self, site: Site, size: Size, report: Report) -> None:
        self._site = site
        self._size = size
        self._report = report
        self.installed: Installed | None = None
        self.handed_over: list[HandedOver] = []
        self.begun = 0
        self.ended = 0

    async def whole(self) -> None:
        begun = time.monotonic()
        namespaces = {*namespaces_of(self._size), *handing_over.NAMESPACES}
        recorder = Recorder(
            self._site.calm_url,
            self._site.folder,
            token=self._site.token,
            tls=self._site.tls,
            clock=lambda: time.monotonic() - begun,
            namespaces=namespaces,
            kinds=(PODS, CLAIMS, DEVICE_CLAIMS),
        )
        async with self._site.client() as client, beside(recorder.run()) as recording:
            await asyncio.gather(*(_namespace(client, each) for each in namespaces))
            async with beside(kubelets(client, recorder.view)) as reporting:
                await self._scenes(client, recorder)
                for task in (recording, reporting):
                    if task.done():
                        task.result()

    async def _scenes(self, client: Client, recorder: Recorder) -> None:
        size = self._size
        population = await populate(client, size)
        self._report(f"{size.workloads} workloads of {size.people} people, {NODES} nodes")
        self.installed = await installing.install(self._site, client, population, recorder.view, size, self._report)
        self.begun = await client.version()
        await asyncio.to_thread(self._site.replicas.set_policy, handing_over.policy_for(size).text())
        self.handed_over = await handing_over.hand_over_all(self._site, client, recorder.view, size, self._report)
        self.ended = await client.version()
        await asyncio.sleep(1)  # the recorder has seen that version long since


async def _namespace(client: Client, name: str) -> None:
    """Create a namespace, and wait for the account that pods need."""
    await client.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    async with asyncio.timeout(30):
        while not (await client.ask("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")).is_done:
            await asyncio.sleep(0.1)
