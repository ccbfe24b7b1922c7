"""
`userquota certs`: the certificate authorities of userquota, and their replacement.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import NamedTuple

import click
from cryptography import x509

from webhook.certificates.authority import renewal_time
from webhook.cli.cluster import context_option, namespace_option, peoples_kubeconfig_option
from webhook.cli.printing import output_option, show_document, show_table
from webhook.kube.api import KubernetesApi
from webhook.registration import manifest_files
from webhook.wiring.application import SystemClock
from webhook.wiring.rotation import CallCount, Rotation, TrustState, calling

_MOST_FAILURES = 5


class _Cluster(NamedTuple):
    """Where userquota is: its namespace in the cluster of a kubeconfig."""

    namespace: str
    kubeconfig: Path | None
    context: str | None

    def run(self, ask: Callable[[KubernetesApi, Rotation], Awaitable[int]]) -> int:
        """Return what *ask* returns, an exit code, for a client of this cluster."""

        async def run() -> int:
            api = await KubernetesApi.connect(kubeconfig=self.kubeconfig, context=self.context)
            try:
                manifests = manifest_files.webhook_manifests()
                return await ask(api, Rotation(api, self.namespace, clock=SystemClock(), manifests=manifests))
            finally:
                await api.close()

        return asyncio.run(run())


def _cluster_options(function: Callable[..., None]) -> Callable[..., None]:
    @namespace_option
    @peoples_kubeconfig_option
    @context_option
    @wraps(function)
    def asks(namespace: str, kubeconfig: Path | None, context: str | None, **others: object) -> None:
        function(cluster=_Cluster(namespace, kubeconfig, context), **others)

    return asks


@click.group("certs", context_settings={"auto_envvar_prefix": "USERQUOTA"})
def command() -> None:
    """Look at the certificate authorities of userquota, and replace them."""


@command.command("status")
@_cluster_options
@output_option
def status(*, cluster: _Cluster, output: str) -> None:
    """
    Show which authorities sign, until when, and whether every caBundle has them.

    It takes the right to read the Secret userquota-ca. Exit code 1 if an authority has expired or a caBundle lacks one.
    """

    async def ask(_: KubernetesApi, rotation: Rotation) -> int:
        state = await rotation.read()
        if output == "table":
            show_table(("AUTHORITY", "ROLE", "EXPIRES", "REPLACED AFTER", "TRUSTED BY"), _rows(state))
        else:
            show_document(_document(state), output)
        return int(_is_wrong(state, SystemClock().now()))

    _end(cluster.run(ask))


@command.command("rotate")
@click.option("--all", "both", is_flag=True, help="Replace both authorities: the key of one is known to others.")
@click.option("--timeout", default=600.0, show_default=True, metavar="SECONDS", help="How long to wait for the end.")
@click.option("--no-wait", is_flag=True, help="Only store the new authorities.")
@_cluster_options
def rotate(*, both: bool, timeout: float, no_wait: bool, cluster: _Cluster) -> None:
    """
    Have the next authority sign, and store a new one behind it. No call fails meanwhile.

    The next one has been trusted for long, and signs within a minute. With --all two new ones have to become trusted
    first, which takes two minutes. The old certificates leave every caBundle three minutes later: the command waits for
    that. It takes the right to read and patch the Secret userquota-ca.
    """
    _end(cluster.run(lambda _, rotation: _rotate(rotation, both=both, seconds=None if no_wait else timeout)))


@command.command("drill")
@click.option("--all", "both", is_flag=True, help="Replace both authorities.")
@click.option("--in", "place", required=True, metavar="NAMESPACE", help="Where to ask for pods. It must not be exempt.")
@click.option("--rate", default=20.0, show_default=True, help="Calls a second.")
@click.option("--timeout", default=600.0, show_default=True, metavar="SECONDS", help="How long to wait for the end.")
@_cluster_options
def drill(*, both: bool, place: str, rate: float, timeout: float, cluster: _Cluster) -> None:
    """
    Replace authorities as rotate does, and count the calls that fail meanwhile.

    The calls are dry runs of the creation of a pod, which store nothing. Exit code 1 if one failed: was not answered
    by userquota, be it with a refusal.
    """

    async def ask(api: KubernetesApi, rotation: Rotation) -> int:
        async with calling(api, place, rate=rate, manifests=manifest_files.webhook_manifests()) as count:
            await _rotate(rotation, both=both, seconds=timeout)
        _show_calls(count)
        return int(bool(count.failures))

    _end(cluster.run(ask))


async def _rotate(rotation: Rotation, *, both: bool, seconds: float | None) -> int:
    """Replace, and wait for the end unless *seconds* is None. Return the exit code."""
    await (rotation.replace_both() if both else rotation.replace_signing())
    click.echo("the new authorities are stored", err=True)
    if seconds is None:
        return 0
    told = ""
    async for state in rotation.states(seconds):
        if (line := _progress(state)) != told:
            told = line
            click.echo(line, err=True)
    return 0


def _progress(state: TrustState) -> str:
    lacking = {name for each in state.stored.authorities.all for name in state.lacking(each)}
    if lacking:
        return f"{len(state.bundles) - len(lacking)} of {len(state.bundles)} caBundles hold them"
    if state.surplus:
        return "all caBundles hold them; the replicas change, and take the old ones out three minutes after that"
    return "the old ones are gone from every caBundle"


def _rows(state: TrustState) -> list[tuple[str, ...]]:
    bundles = len(state.bundles)
    return [
        (each.name, each.role, each.expires, each.replaced_after or "-", f"{each.trusted_by} of {bundles}")
        for each in _lines(state)
    ]


class _Line(NamedTuple):
    name: str
    role: str
    expires: str
    replaced_after: str | None
    trusted_by: int


def _lines(state: TrustState) -> list[_Line]:
    """Return a line for each certificate that is stored or in a caBundle."""
    stored = [
        _line(each.certificate_pem, role, state, replaced_after=_shown(renewal_time(each.certificate)))
        for role, each in zip(("signs", "follows"), state.stored.authorities.all, strict=False)
    ]
    return [*stored, *(_line(each, "no longer wanted", state) for each in sorted(state.surplus))]


def _line(pem: bytes, role: str, state: TrustState, *, replaced_after: str | None = None) -> _Line:
    trusted_by = sum(1 for held in state.bundles.values() if pem in held)
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:  # others may have written anything between the marks of a certificate
        return _Line("unreadable", role, "-", None, trusted_by)
    name = certificate.subject.rfc4514_string().removeprefix("CN=")
    return _Line(name, role, _shown(certificate.not_valid_after_utc), replaced_after, trusted_by)


def _document(state: TrustState) -> dict[str, object]:
    lacking = sorted({name for each in state.stored.authorities.all for name in state.lacking(each)})
    authorities = [
        {
            "name": each.name,
            "role": each.role,
            "expires": each.expires,
            "replacedAfter": each.replaced_after,
            "trustedBy": each.trusted_by,
        }
        for each in _lines(state)
    ]
    return {"authorities": authorities, "caBundles": sorted(state.bundles), "lacking": lacking}


def _is_wrong(state: TrustState, now: datetime) -> bool:
    return any(each.is_expired(now) or state.lacking(each) for each in state.stored.authorities.all)


def _show_calls(count: CallCount) -> None:
    click.echo(f"{count.made} calls, {len(count.failures)} failed")
    for reason in count.failures[:_MOST_FAILURES]:
        click.echo(f"failed: {reason}")


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _end(code: int) -> None:
    if code:
        sys.exit(code)
