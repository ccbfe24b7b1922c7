"""A cluster whose certificate authority is replaced while we run: two authorities, and a server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster.pki import Pki, create_pki
from tests.kube.scripted import stream
from tests.kubeconfigs import kubeconfig, written
from webhook.kube.api import KubernetesApi, NoConnectionError
from webhook.kube.api.connection import Connection, Credentials, from_kubeconfig, in_cluster

pytestmark = pytest.mark.slow

PAUSE = 1.1
"""Seconds after which credentials that failed are loaded again."""


class Server:
    """A TLS server on one port; its certificate can be replaced, which closes its connections."""

    def __init__(self, pki: Pki) -> None:
        self.port = 0
        self.handshakes = 0
        self._writers: list[asyncio.StreamWriter] = []
        self.use(pki)

    def use(self, pki: Pki, *, clients_of: Pki | None = None) -> None:
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pki.certificate_file, pki.key_file)
        if clients_of is not None:
            self._tls.load_verify_locations(clients_of.ca_file)
            self._tls.verify_mode = ssl.CERT_REQUIRED

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listening.close()
            for writer in self._writers:
                writer.close()
            await listening.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        self._writers.append(writer)
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            writer.write(stream(b"{}"))


class Scene:
    """A server of the old authority, a folder as in a pod, and a kubeconfig that names the same file."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = create_pki(folder / "old"), create_pki(folder / "new")
        self.folder = folder
        self.server = Server(self.old)
        self.trust(self.old.ca_file.read_bytes())
        (folder / "token").write_text("t\n")

    def trust(self, authorities: bytes) -> None:
        (self.folder / "ca.crt").write_bytes(authorities)

    @property
    def environ(self) -> dict[str, str]:
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.server.port)}

    def kubeconfig(self, user: dict[str, Any]) -> Path:
        document = kubeconfig(f"https://127.0.0.1:{self.server.port}", user=user)
        document["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
        return written(document, self.folder)

    async def connect(self, where: str) -> KubernetesApi:
        if where == "in a pod":
            return await KubernetesApi.connect(kubeconfig=None, environ=self.environ, service_account=self.folder)
        return await KubernetesApi.connect(kubeconfig=self.kubeconfig({"token": "t"}))

    async def load(self) -> Connection:
        return in_cluster(self.environ, self.folder)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("where", ["in a pod", "by a kubeconfig"])
async def test_a_server_with_a_certificate_of_the_new_authority_is_reached_without_a_restart(
    scene: Scene, where: str
) -> None:
    async with scene.server.running():
        api = await scene.connect(where)
        assert await api.get("/x") == b"{}\n"
    scene.server.use(scene.new)
    async with scene.server.running():
        with pytest.raises(NoConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            await api.get("/x")
        scene.trust(scene.new.ca_file.read_bytes())
        await asyncio.sleep(PAUSE)

        answers = await asyncio.gather(*(api.get("/x") for _ in range(5)))

        assert answers == [b"{}\n"] * 5
    await api.close()


async def test_a_server_of_an_authority_that_no_file_names_is_never_reached(scene: Scene) -> None:
    scene.server.use(scene.new)
    async with scene.server.running():
        api = await scene.connect("in a pod")
        for _ in range(2):
            await asyncio.sleep(PAUSE)
            with pytest.raises(NoConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                await api.get("/x")
        assert scene.server.handshakes == 0
    await api.close()


async def test_a_replaced_client_certificate_is_used_without_a_restart(scene: Scene) -> None:
    certificate, key = scene.folder / "client.crt", scene.folder / "client.key"

    def present(pki: Pki) -> None:
        certificate.write_bytes(pki.certificate_file.read_bytes())
        key.write_bytes(pki.key_file.read_bytes())

    present(scene.old)
    scene.server.use(scene.old, clients_of=scene.old)
    async with scene.server.running():
        path = scene.kubeconfig({"client-certificate": "client.crt", "client-key": "client.key"})
        credentials = Credentials(await from_kubeconfig(path, None), lambda: from_kubeconfig(path, None))
        before = await credentials.current()
        present(scene.new)
        assert before.seconds == 60

        assert await credentials.renewed(before) is False, "too soon"
        await asyncio.sleep(PAUSE)
        assert await credentials.renewed(before) is True
        assert (await credentials.current()).tls is not before.tls


async def test_files_that_did_not_change_cost_no_connection(scene: Scene) -> None:
    async with scene.server.running():
        credentials = Credentials(await scene.load(), scene.load)
        first = await credentials.current()
        (scene.folder / "token").write_text("another\n")
        await asyncio.sleep(PAUSE)
        assert await credentials.renewed(first)

        second = await credentials.current()

        assert second.authorization == "bearer another"
        assert second.tls is first.tls
        await asyncio.sleep(PAUSE)
        assert not await credentials.renewed(second)


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_a_file_that_is_half_written_leaves_the_old_authority_in_use(scene: Scene, content: bytes) -> None:
    async with scene.server.running():
        loaded = await scene.load()
        credentials = Credentials(replace(loaded, seconds=0), scene.load)
        scene.trust(content)
        before = await credentials.current()
        assert before.tls is loaded.tls

        scene.trust(scene.new.ca_file.read_bytes())
        await asyncio.sleep(PAUSE)
        assert await credentials.renewed(before)
        assert (await credentials.current()).tls is not before.tls
