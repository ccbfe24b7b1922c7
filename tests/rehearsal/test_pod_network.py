"""Pods of the rehearsal of the chart have networks of their own, in which they find the token of their account."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys, time, urllib.request
from pathlib import Path

from localcluster.processes import ChildProcess
from rehearsal.chart import network

network.enter("never used: we are inside")
folder = Path(sys.argv[1])
serve = [sys.executable, "-m", "http.server", "8443", "--directory=/var/run/secrets/kubernetes.io/serviceaccount"]
pods = []
for number, address in enumerate(("10.1.0.2", "10.1.0.3")):
    account = folder / address
    account.mkdir()
    (account / "token").write_text(f"token of {address}")
    pod = ChildProcess(address, network.in_a_pod(address, account, folder, serve), log_file=folder / f"{address}.log")
    pod.start()
    asyncio.run(network.connect(pod.pid, address, f"pod{number}"))
    pods.append(pod)
for pod in pods:
    for _ in range(100):
        try:
            print(urllib.request.urlopen(f"http://{pod.name}:8443/token", timeout=2).read().decode())
            break
        except OSError:
            time.sleep(0.1)
    pod.stop()
"""


@pytest.mark.debian
def test_two_pods_listen_at_one_port_and_read_their_own_tokens(tmp_path: Path) -> None:
    for program, package in {"ip": "iproute2", "unshare": "util-linux"}.items():
        assert shutil.which(program), f"{program} is missing: install the package {package}"
    environ = os.environ | {"USERQUOTA_REHEARSAL_NETWORK": "1", "PYTHONPATH": str(ROOT)}
    argv = ["unshare", "--net", sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["token of 10.1.0.2", "token of 10.1.0.3"], done.stderr
