"""
`userquota serve`: the webhook itself.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import structlog

from webhook import __version__, wiring
from webhook.cli.cluster import context_option, kubeconfig_option, namespace_option
from webhook.cli.logs import LEVELS, configure_logging
from webhook.kube.api import NotInClusterError
from webhook.policy_source import POLICY_SELECTOR
from webhook.quota.errors import WebhookError
from webhook.quota.policy import Policy
from webhook.settings import MOST_SUBJECTS, LedgerKind, Settings

log = structlog.get_logger(__name__)

_CA_OUT_SECONDS = 2.0
"""Between two looks whether other authorities are trusted. A new one is trusted for longer before it signs."""


class ServeError(WebhookError):
    """The server cannot run. One line: what is wrong, and what to do."""


_LEDGERS = {
    LedgerKind.KUBERNETES: "shared with the other replicas, in the ConfigMap userquota-ledger",
    LedgerKind.MEMORY: "memory, for one replica; what is in flight is lost if it crashes",
}


@click.command("serve", context_settings={"auto_envvar_prefix": "USERQUOTA"})
@kubeconfig_option
@context_option
@namespace_option
@click.option(
    "--listen",
    default=":8443",
    show_default=True,
    metavar="[HOST]:PORT",
    help="Where to listen. Without a host: at all addresses, of IPv4 and of IPv6.",
)
@click.option(
    "--view-listen",
    metavar="[HOST]:PORT",
    help="Where to serve the API group view.userquota.dev, by which people see their quotas. Default: nowhere.",
)
@click.option(
    "--liquid",
    is_flag=True,
    help="Serve the API group liquid.userquota.dev at --view-listen, by which the quota broker Limes drives quotas.",
)
@click.option(
    "--ledger",
    type=click.Choice([kind.value for kind in LedgerKind]),
    default=LedgerKind.KUBERNETES.value,
    show_default=True,
    help="Where reservations are: in the cluster, for any number of replicas, or in memory, for one.",
)
@click.option(
    "--grants/--no-grants",
    default=True,
    show_default=True,
    help="Far from every limit, allow creates within amounts taken from the shared ledger before, or write each down.",
)
@click.option("--standalone", is_flag=True, help="Without a cluster: what was allowed counts until its deletion.")
@click.option(
    "--policy", multiple=True, type=click.Path(path_type=Path), help="File or folder, for --standalone. Repeatable."
)
@click.option("--allow-no-policy", is_flag=True, help="Be ready without a policy, which limits nobody.")
@click.option("--advertise-url", metavar="https://HOST:PORT", help="Register the webhooks with this URL.")
@click.option(
    "--repair-webhooks",
    is_flag=True,
    help="Write back what others change in the webhook configurations: rules, failurePolicy and so on.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate file. Default: signed by userquota itself."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Key file for --tls-cert.")
@click.option(
    "--tls-ca", type=click.Path(path_type=Path), help="The authority of --tls-cert, to be written into the caBundle."
)
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    help="Take reviews only from callers with a certificate of this authority (or a token of --client-token-file).",
)
@click.option("--client-name", multiple=True, help="A name that such a certificate has to carry. Repeatable.")
@click.option(
    "--client-token-file",
    type=click.Path(path_type=Path),
    help="Take reviews only from callers with a token of this file (or a certificate of --client-ca).",
)
@click.option(
    "--ca-out", type=click.Path(path_type=Path), help="Keep the CA certificates in this file, for curl --cacert."
)
@click.option("--drain", default=10.0, show_default=True, help="Seconds to go on answering after a signal to stop.")
@click.option(
    "--metrics-subjects",
    type=click.IntRange(0, MOST_SUBJECTS),
    default=0,
    show_default=True,
    metavar="N",
    help="Show the quotas of the N fullest people, groups and so on in /metrics: whoever may scrape reads their names.",
)
@click.option("--log-level", type=click.Choice(sorted(LEVELS)), default="info", show_default=True)
def command(
    listen: str, view_listen: str | None, ledger: str, log_level: str, ca_out: Path | None, **options: object
) -> None:
    """Answer admission reviews."""
    configure_logging(LEVELS[log_level])
    host, port = _address("--listen", listen)
    if view_listen is not None:
        options["view_host"], options["view_port"] = _address("--view-listen", view_listen)
    settings = Settings(host=host, port=port, ledger=LedgerKind(ledger), **options)  # type: ignore[arg-type]
    try:
        _run(_serve(settings, ca_out))
    except* NotInClusterError as group:
        raise ServeError(f"{_first(group)}, or serve without a cluster: --standalone --policy PATH") from group
    except* WebhookError as group:
        raise ServeError(_first(group)) from group
    except* OSError as group:
        both = " and ".join(filter(None, (listen, view_listen)))
        options_given = "--listen or --view-listen" if view_listen else "--listen"
        raise ServeError(f"cannot listen on {both}: {_first(group)}; choose another with {options_given}") from group


async def _serve(settings: Settings, ca_out: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    application = await _built(settings, stop)
    if application is None:
        return
    if ca_out is not None:
        _write(ca_out, application.identity.ca_bundle)
        identity = application.identity
        keep = partial(keep_written, ca_out, lambda: identity.ca_bundle)
        application = replace(application, tasks=(*application.tasks, keep))
    await application.run(stop, on_listening=lambda port: _announce(application, port, ca_out))


async def _built(settings: Settings, stop: asyncio.Event) -> wiring.Application | None:
    """Return the application, None if *stop* is set before: the API server may be waited for for 90 seconds."""
    building, stopping = asyncio.ensure_future(wiring.build(settings)), asyncio.ensure_future(stop.wait())
    await asyncio.wait((building, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not building.done():
        building.cancel()
        await asyncio.wait((building,))
        return None
    application = building.result()
    if stop.is_set():
        await application.close()
        return None
    return application


def _write(path: Path, bundle: bytes) -> None:
    try:
        path.write_bytes(bundle)
    except OSError as error:
        raise ServeError(f"--ca-out {path}: {error.strerror}") from error


async def keep_written(path: Path, bundle: Callable[[], bytes], *, seconds: float = _CA_OUT_SECONDS) -> None:
    """Write the file anew whenever other authorities are trusted: who reads it would refuse the next certificate."""
    written = bundle()
    while True:
        await asyncio.sleep(seconds)
        if (now := bundle()) != written:
            try:
                _write(path, now)
            except ServeError as error:
                log.warning("the file of certificate authorities is not up to date", reason=str(error))
            else:
                written = now


def _announce(application: wiring.Application, port: int, ca_out: Path | None) -> None:
    settings, policy = application.settings, application.policy.state.policy
    click.echo(f"userquota {__version__} listens on {_url(settings.host, port)}")
    if settings.standalone:
        click.echo("standalone: no cluster; what is allowed counts until its DELETE review")
        click.echo(f"policy: {_described(policy or Policy())}")
    else:
        click.echo("counts pods in every namespace that the webhook configurations do not exempt")
        click.echo(f"policy: the ConfigMaps of {settings.namespace} with the label {POLICY_SELECTOR}")
        click.echo(f"ledger: {_LEDGERS[settings.ledger]}")
    if ca_out is not None:
        click.echo(f"certificate authority: {ca_out}")


def _url(host: str, port: int) -> str:
    if not host:
        return f"port {port} of all addresses"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _described(policy: Policy) -> str:
    counts = {
        "users": len(policy.users),
        "service accounts": len(policy.service_accounts),
        "groups": len(policy.groups),
        "tenants": len(policy.tenants),
        "namespaces": len(policy.namespaces),
    }
    named = [f"{count} {name}" for name, count in counts.items() if count]
    if policy.defaults.user is not None or policy.catalogue_defaults:
        named.insert(0, "a default for users")
    return ", ".join(named) or "empty, nobody is limited"


def _address(option: str, listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ServeError(f"{option} {listen}: expected HOST:PORT, or :PORT for all addresses")
    return host.strip("[]"), int(port)


def _run(work: Coroutine[None, None, None]) -> None:
    """Run on uvloop if it is installed, which is faster."""
    try:
        run: Callable[[Coroutine[None, None, None]], None] = importlib.import_module("uvloop").run
    except ImportError:
        run = asyncio.run
    run(work)


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
