"""At which addresses a server is reached, those of a machine that has only one of the two families included."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest
import yaml
from aiohttp import ClientSession, TCPConnector, web

from webhook.certificates import self_signed
from webhook.registration import manifest_files
from webhook.serving.connections import Connections
from webhook.serving.listener import Listener
from webhook.serving.listening import listening
from webhook.wiring.application import SystemClock


async def reached(host: str) -> list[str]:
    """At which loopback addresses a server that listens at *host* answers."""
    identity = self_signed(("127.0.0.1", "::1"), SystemClock())
    runner = web.AppRunner(web.Application())
    await runner.setup()
    assert runner.server is not None
    listener = Listener(Connections(must_prove=lambda: False), runner.server, identity.context)
    port = await listener.start(host, 0)
    found = []
    async with ClientSession(connector=TCPConnector(ssl=False)) as client:
        for address in ("127.0.0.1", "[::1]"):
            try:
                async with client.get(f"https://{address}:{port}/"):
                    found.append(address)
            except OSError:
                continue
    listener.stop()
    await runner.cleanup()
    return found


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("", ["127.0.0.1", "[::1]"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::", ["[::1]"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["[::1]"]),
    ],
)
async def test_without_a_host_it_listens_at_the_addresses_of_both_families(host: str, expected: list[str]) -> None:
    assert await reached(host) == expected


def alone(steps: list[str]) -> None:
    """Change the loopback of a network namespace of one's own, and print where a server of all addresses answers."""
    import fcntl
    import struct
    from pathlib import Path

    up, address = 0x8914, 0x8916  # SIOCSIFFLAGS, SIOCSIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, up, struct.pack("16sH14x", b"lo", 0x49))
        if "no IPv4" in steps:
            fcntl.ioctl(any_socket, address, struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, bytes(4)))
    if "no IPv6" in steps:
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    sys.stdout.write(" ".join(asyncio.run(reached(""))))


@pytest.mark.parametrize(("step", "expected"), [("no IPv4", "[::1]"), ("no IPv6", "127.0.0.1")])
def test_a_machine_may_have_one_family_alone(step: str, expected: str) -> None:
    script = "import sys; import tests.serving.test_listening as t; t.alone(sys.argv[1:])"
    argv = ["unshare", "--map-root-user", "--net", sys.executable, "-c", script, step]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.stdout, ended.stderr) == (expected, "")


def test_the_manifests_listen_at_all_addresses() -> None:
    deployment = yaml.safe_load((manifest_files.folder() / "deployment.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][-2:] == ["--listen=:8443", "--view-listen=:8444"]


async def test_a_port_that_is_taken_is_an_error() -> None:
    with (
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        await listening("", taken.getsockname()[1])
