"""Proxies between us and the API server: which are used, and what an error says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from localcluster.controlplane import ControlPlane
from tests.kubeconfigs import connected
from webhook.kube.api import KubernetesApi, NoConnectionError

UNUSED = "HTTPS_PROXY is set and not used: a proxy before the API server is the proxy-url of a kubeconfig"


@asynccontextmanager
async def a_proxy(status: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that tunnels if its *status* is 200, and the first lines of what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0]
        asked.append(head)
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            host, _, port = head.split()[1].rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


def through(proxy: str, control_plane: ControlPlane, folder: Path) -> Path:
    config = yaml.safe_load(control_plane.kubeconfig().read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = proxy
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_the_proxy_of_a_kubeconfig_is_used(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with a_proxy("200 OK") as (proxy, asked), connected(through(proxy, control_plane, tmp_path)) as api:
        assert await api.get("/version")
    assert asked[0] == f"CONNECT {control_plane.server_urls[0].removeprefix('https://')} HTTP/1.1"


async def test_one_that_refuses_is_named_without_its_password(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with a_proxy("403 Forbidden") as (proxy, _), connected(through(proxy, control_plane, tmp_path)) as api:
        with pytest.raises(NoConnectionError) as caught:
            await api.get("/version")
    named = proxy.replace("me:secret@", "")
    assert caught.value.message == f"the proxy answers 403 Forbidden; the kubeconfig's proxy-url {named} is between"


async def test_one_of_the_environment_is_not_used(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_proxy("403 Forbidden") as (proxy, asked):
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with connected(control_plane.kubeconfig()) as api:
            assert await api.get("/version")
    assert asked == []


async def test_an_api_server_that_is_not_reached_without_it_is_told_so(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    config = yaml.safe_load(control_plane.kubeconfig().read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    api = await KubernetesApi.connect(kubeconfig=path, environ={"HTTPS_PROXY": "http://127.0.0.1:2"})
    with pytest.raises(NoConnectionError) as caught:
        await api.get("/version")
    await api.close()
    assert caught.value.message.endswith(f"; {UNUSED}")
