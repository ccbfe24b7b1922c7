"""
`python -m rehearsal.chart`: installs the chart in a fresh control plane, upgrades, rolls back, removes it, under load.

Three replicas are processes in networks of their own, which the API servers reach through the Service. It takes root
and iproute2. The exit code is 1 for a violation, 2 for a void rehearsal.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import ssl
import sys
import time
from pathlib import Path

from localcluster.binaries import find_binaries
from localcluster.controlplane import ControlPlane
from localcluster.plan import Options
from localcluster.users import ADMIN
from nemesis.recorder import Recorder
from nemesis.records import PODS
from rehearsal.chart import network
from rehearsal.chart.kubelet import Kubelet
from rehearsal.chart.load import Load
from rehearsal.chart.verdict import verdict
from rehearsal.chart.walk import NAMESPACE, NEW, OLD, TEAM, WITHIN_LIMITS, Report, Walk
from rehearsal.client import Client
from tests.helm.running import Helm
from tests.replicas import checked_out

_PEOPLE = 6
_CALM = "kube-apiserver-2"
"""The API server that the recorder watches."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.chart", description=__doc__)
    parser.add_argument("--from", dest="old", default="HEAD~1", help="revision to install (default: %(default)s)")
    parser.add_argument("--to", dest="new", default="HEAD", help="revision to upgrade to (default: %(default)s)")
    parser.add_argument("--rotate", action="store_true", help="replace the signing authority, too: five minutes")
    parser.add_argument("--out", type=Path, default=Path("chart-out"), help="folder (default: %(default)s)")
    asked = parser.parse_args()
    network.enter("rehearsal.chart")
    os.environ.setdefault("GOGC", "400")  # more memory for less time: all share the cores of one machine
    folder: Path = asked.out.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / "control-plane").is_dir():
        sys.exit(f"{folder} holds something else")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {line}", file=sys.stderr, flush=True)

    checkouts = {OLD: checked_out(asked.old, folder / OLD), NEW: checked_out(asked.new, folder / NEW)}
    flags = ["--bind-address=0.0.0.0", "--enable-aggregator-routing=true"]
    options = Options(
        servers=2,
        addresses=(network.NODE,),
        controller_manager=True,
        etcd_compaction_interval="0",
        flags={"kube-apiserver": flags, _CALM: ["--watch-cache=false"]},
    )
    with ControlPlane(folder / "control-plane", find_binaries(os.environ), options=options) as cluster:
        report("the control plane runs")
        walk = asyncio.run(_walk(cluster, folder, checkouts, report, rotate=asked.rotate))
    judged = verdict(walk.record, walk.load.told, folder)
    (folder / "report.txt").write_text(judged.text())
    print(judged.text())
    shutil.rmtree(folder / "control-plane" / "etcd")
    if judged.violations:
        return 1
    return 2 if judged.void else 0


async def _walk(
    cluster: ControlPlane, folder: Path, checkouts: dict[str, Path], report: Report, *, rotate: bool
) -> Walk:
    begun = time.monotonic()
    tls = ssl.create_default_context(cafile=str(cluster.access.ca_file))
    token = cluster.access.token(ADMIN)
    recorder = Recorder(
        cluster.server_urls[1],
        folder,
        token=token,
        tls=tls,
        clock=lambda: time.monotonic() - begun,
        namespaces={TEAM},
        kinds=(PODS,),
    )
    cluster.create_namespace(TEAM)
    port = int(cluster.server_urls[0].rpartition(":")[2])
    images = {f"userquota:{tag}": checkout for tag, checkout in checkouts.items()}
    async with Client(cluster.server_urls[:1], tls=tls, token=token) as client:
        kubelet = Kubelet(client, folder / "pods", port, namespace=NAMESPACE, checkouts=images)
        load = Load(client, TEAM, _PEOPLE, WITHIN_LIMITS)
        walk = Walk(cluster, client, kubelet, load, Helm(folder / "helm"), checkouts, report)
        async with asyncio.TaskGroup() as tasks:  # what fails in it ends the walk
            beside = [tasks.create_task(each) for each in (recorder.run(), kubelet.run())]
            await walk.walk(rotate=rotate)
            walk.record.runs = list(kubelet.runs.values())
            await walk.remove_in_orders()
            await asyncio.sleep(1)  # the recorder has seen the last version long since
            for task in beside:
                task.cancel()
    return walk


if __name__ == "__main__":
    sys.exit(main())
