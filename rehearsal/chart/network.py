"""
A network of its own for the rehearsal, and one for each pod, connected to it by a pair of interfaces.

API servers reach pods, and pods the API servers at `NODE`. Nothing of this is seen outside, and all of it ends with the
processes. It takes root and iproute2.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

NODE = "10.1.0.1"
_INSIDE = "USERQUOTA_REHEARSAL_NETWORK"

_POD = f"""
set -e
address=$1 account=$2 checkout=$3
shift 3
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip link set eth0 up
ip address add "$address/32" dev eth0
ip route add {NODE} dev eth0
ip route add default via {NODE}
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
cp -r "$account" /run/secrets/kubernetes.io/serviceaccount
cd "$checkout"
exec "$@"
"""


def enter(module: str) -> None:
    """
    Go on in a network of our own, by executing `python -m` *module* anew; return where that has been done.

    Raises: SystemExit where it cannot be.
    """
    if _INSIDE in os.environ:
        _ip("link", "set", "lo", "up")
        _ip("address", "add", f"{NODE}/32", "dev", "lo")
        return
    for program, package in {"ip": "iproute2", "unshare": "util-linux"}.items():
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: install the package {package}")
    if os.geteuid() != 0:
        sys.exit("networks of pods take root")
    os.environ[_INSIDE] = "1"
    unshare = shutil.which("unshare") or ""
    os.execv(unshare, [unshare, "--net", sys.executable, "-m", module, *sys.argv[1:]])


def in_a_pod(address: str, account: Path, checkout: Path, argv: list[str]) -> list[str]:
    """Return a command line that runs *argv* in a network of its own, once `connect` has given it *address*."""
    unshare = shutil.which("unshare") or ""
    given = (address, str(account), str(checkout), *argv)
    return [unshare, "--net", "--mount", "/bin/sh", "-c", _POD, "pod", *given]


async def connect(pid: int, address: str, name: str) -> None:
    """
    Connect the network of process *pid* by an interface *name*.

    Raises: RuntimeError if the process has none within ten seconds.
    """
    ours = _network_of("self")
    for _ in range(1000):
        if _network_of(str(pid)) != ours:
            break
        await asyncio.sleep(0.01)
    else:
        raise RuntimeError(f"process {pid} has no network of its own")
    _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _ip("link", "set", name, "up")
    _ip("route", "add", f"{address}/32", "dev", name, "src", NODE)


def _network_of(process: str) -> str:
    return str(Path(f"/proc/{process}/ns/net").readlink())


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
