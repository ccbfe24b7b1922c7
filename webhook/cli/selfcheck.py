"""
`userquota selfcheck`: tries out what a quota broker is answered.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import click
import msgspec

from webhook.cli.cluster import Asking, asking_options
from webhook.kube.api import ApiError, KubernetesApi
from webhook.liquid.info import Json
from webhook.liquid.selfcheck import CheckError, SelfCheck
from webhook.wiring.commitment_editor import now

_BASE = "/apis/liquid.userquota.dev"


class _Broker:
    """Port `Asking` of the check, over the API server."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def ask(self, path: str, body: Json | None = None) -> Any:
        """Return the answer. See `Asking`."""
        url = f"{_BASE}/{quote(path)}"
        try:
            answer = await (self._api.get(url) if body is None else self._api.create(url, msgspec.json.encode(body)))
            return msgspec.json.decode(answer)
        except (ApiError, msgspec.MsgspecError) as error:
            raise CheckError(f"{path}: {error}") from error


@click.command("selfcheck", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@click.option("--project", required=True, help="A project of the broker: tenants.NAME.project of the policy.")
@click.option("--zone", required=True, help="A zone with nodes of the first class.")
@asking_options
def command(*, project: str, zone: str, asking: Asking) -> None:
    """
    Try out what a quota broker is answered: info, reports, a commitment there and back, and several at once.

    A refusal for want of room is no failure. What it makes it takes away again, whatever happens, and it ends by itself
    after five minutes. It takes the ClusterRole userquota-liquid. Exit code 1 if a step fails.
    """
    sys.exit(asyncio.run(_check(project, zone, asking)))


async def _check(project: str, zone: str, asking: Asking) -> int:
    api = await KubernetesApi.connect(kubeconfig=asking.kubeconfig, context=asking.context, acting_as=asking.acting_as)
    check = SelfCheck(
        _Broker(api), project=project, zone=zone, now=now(), new_uuid=lambda: f"selfcheck-{uuid4().hex[:20]}"
    )
    try:
        async for name, told in check.run():
            click.echo(f"ok    {name}: {told}")
    except CheckError as error:
        click.echo(f"FAILED {error}", err=True)
        return 1
    finally:
        await api.close()
    return 0
