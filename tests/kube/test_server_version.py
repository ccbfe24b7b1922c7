"""The version of API servers as they and clouds write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kube.scripted import server, stream
from tests.kubeconfigs import connected, kubeconfig, written
from webhook.kube.api import KubernetesApi
from webhook.kube.server_version import ServerVersion, UnreachedError, read_version
from webhook.ports import UnavailableError


async def test_a_real_one_has_a_version(api: KubernetesApi) -> None:
    found = await read_version(api)
    assert found >= (1, 30)
    assert found.text.startswith(f"v{found.major}.{found.minor}.")


VERSIONS = {
    b'{"major":"1","minor":"29","gitVersion":"v1.29.4"}': ServerVersion(1, 29, "v1.29.4"),
    b'{"major":"1","minor":"30+","gitVersion":"v1.30.4-gke.1348000"}': ServerVersion(1, 30, "v1.30.4-gke.1348000"),
}


@pytest.mark.parametrize(("answer", "expected"), VERSIONS.items())
async def test_a_minor_version_may_have_a_sign_behind_it(
    answer: bytes, expected: ServerVersion, tmp_path: Path
) -> None:
    async with server([stream(answer)], tmp_path) as (api, _):
        assert await read_version(api) == expected


@pytest.mark.parametrize("answer", [b"{}", b'{"major":"","minor":"x"}', b"[]"])
async def test_no_version_is_an_error(answer: bytes, tmp_path: Path) -> None:
    async with server([stream(answer)], tmp_path) as (api, _):
        with pytest.raises(UnavailableError, match=r"^the version could not be read: ") as caught:
            await read_version(api)
        assert not isinstance(caught.value, UnreachedError)


async def test_an_api_server_that_does_not_answer_is_another_error(tmp_path: Path) -> None:
    async with connected(written(kubeconfig(), tmp_path)) as api:
        with pytest.raises(UnreachedError, match=r"^the API server could not be asked: "):
            await read_version(api)
