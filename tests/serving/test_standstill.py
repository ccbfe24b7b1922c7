"""A replica whose event loop does not turn, as a kubelet sees it with the probes of the manifests, and its log."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.serving.stage import ALLOWED, REVIEW
from webhook.registration import manifest_files

FASTER = 4
"""How much less time than a kubelet's this one lets pass."""


@dataclass(frozen=True)
class Probe:
    """A probe as a kubelet performs it: each over a connection of its own."""

    path: str
    period: float
    timeout: float
    failures: int

    @classmethod
    def of_the_manifests(cls, name: str) -> Probe:
        deployment: dict[str, Any] = yaml.safe_load((manifest_files.folder() / "deployment.yaml").read_text())
        found = deployment["spec"]["template"]["spec"]["containers"][0][name]
        return cls(
            found["httpGet"]["path"],
            found["periodSeconds"] / FASTER,
            found["timeoutSeconds"] / FASTER,
            found["failureThreshold"],
        )

    async def answers(self, url: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        # A kubelet verifies no certificate.
        connector = aiohttp.TCPConnector(ssl=False, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
                client.get(f"{url}{self.path}") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def until_it_acts(self, url: str) -> float:
        """Return the seconds until as many probes in a row have failed as it takes."""
        begun, failed = time.monotonic(), 0
        while True:
            asked = time.monotonic()
            failed = 0 if await self.answers(url) else failed + 1
            if failed == self.failures:
                return time.monotonic() - begun
            await asyncio.sleep(asked + self.period - time.monotonic())


@pytest.mark.slow
async def test_a_kubelet_takes_it_out_of_service_and_restarts_it_and_its_log_has_where_it_stands(
    tmp_path: Path,
) -> None:
    ca, log = tmp_path / "ca.crt", tmp_path / "log"
    with log.open("wb") as errors:
        replica = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.serving.stopping", str(ca)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert replica.stdin is not None
    assert replica.stdout is not None
    try:
        url = f"https://127.0.0.1:{int(await replica.stdout.readline())}"
        ready, alive = Probe.of_the_manifests("readinessProbe"), Probe.of_the_manifests("livenessProbe")
        assert [await ready.answers(url), await alive.answers(url)] == [True, True]

        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca)))
        async with aiohttp.ClientSession(url, connector=connector) as client:
            stuck = asyncio.create_task(posted(client))
            await asyncio.sleep(0.3)
            out_of_service, restarted = await asyncio.gather(ready.until_it_acts(url), alive.until_it_acts(url))
            told = log.read_text()
            replica.stdin.write(b"go on\n")

            assert await stuck == ALLOWED
            assert [await ready.answers(url), await alive.answers(url)] == [True, True]
        goes_on = await asyncio.wait_for(told_of_standstill(replica.stdout), 5)
    finally:
        replica.kill()
        await replica.wait()

    assert out_of_service * FASTER < 6
    assert restarted * FASTER < 30
    assert "Timeout (0:00:01)!" in told
    assert "in stand_still" in told
    assert "seconds=" in goes_on


async def posted(client: aiohttp.ClientSession) -> bytes:
    async with client.post("/validate", data=REVIEW) as response:
        return await response.read()


async def told_of_standstill(output: asyncio.StreamReader) -> str:
    while "stood still" not in (line := (await output.readline()).decode()):
        assert line, "the replica has ended"
    return line
