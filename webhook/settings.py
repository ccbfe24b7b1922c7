"""
How one process runs: every option of `serve`, checked once and frozen. Where values come from is in `cli.serve`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from webhook.quota.errors import WebhookError

MOST_SUBJECTS = 2_000
"""Subjects that metrics may name. With four limits each that is a scrape of 1.7 MB, which stays in memory."""


class SettingsError(WebhookError):
    """An option that is wrong, alone or beside another. One line: which one, and what to do."""


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_RULE = "expected at most 63 letters a-z, digits and hyphens"
_LONGEST_NAME = 253
"""Characters of a DNS name, of which each part between dots has 63 at most: the API server looks us up by it."""


class LedgerKind(enum.Enum):
    """Where reservations are: in the cluster, for any number of replicas, or in the memory of one."""

    KUBERNETES = "kubernetes"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The options of `serve`.

    `kubeconfig` None means in cluster. An empty `host` listens at all addresses.
    `advertise_url` registers the webhooks with that URL instead of the Service.
    `client_ca`, `client_name` and `client_token_file` say how the API server proves that it is the caller. `drain` is
    in seconds: how long to go on answering after a signal to stop. `view_host` None serves no view of the quotas.
    With `grants` a replica of the shared ledger may allow creates without a write of their own, far from every limit.
    With `liquid` a quota broker is served on the port of the view.
    `metrics_subjects` is how many people, groups and so on metrics name with their quotas; 0 names nobody.
    With `repair_webhooks` fields of the webhook configurations that others changed are written back.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = "userquota-system"
    host: str = ""
    port: int = 8443
    view_host: str | None = None
    view_port: int = 8444
    liquid: bool = False
    ledger: LedgerKind = LedgerKind.KUBERNETES
    grants: bool = True
    standalone: bool = False
    policy: tuple[Path, ...] = ()
    allow_no_policy: bool = False
    advertise_url: str | None = None
    repair_webhooks: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    client_ca: Path | None = None
    client_name: tuple[str, ...] = ()
    client_token_file: Path | None = None
    drain: float = 10.0
    metrics_subjects: int = 0

    def __post_init__(self) -> None:
        """Raises: SettingsError."""
        if self.standalone and not self.policy and not self.allow_no_policy:
            raise SettingsError("--standalone needs --policy PATH (or --allow-no-policy, which limits nobody)")
        if self.policy and not self.standalone:
            raise SettingsError("--policy is for --standalone; in a cluster the policy is a ConfigMap")
        if self.standalone and self.view_host is not None:
            raise SettingsError("--view-listen is for a cluster: its API servers say who asks")
        if self.liquid and self.view_host is None:
            raise SettingsError("--liquid needs --view-listen: a broker calls the port of the view, by an API server")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key belong together: give both or neither")
        if self.tls_ca is not None and self.tls_cert is None:
            raise SettingsError("--tls-ca needs --tls-cert, the certificate to trust it for")
        if self.client_name and self.client_ca is None:
            raise SettingsError("--client-name needs --client-ca, the authority of the certificates that have the name")
        if not _LABEL.fullmatch(self.namespace):
            raise SettingsError(f"--namespace {self.namespace}: no namespace has such a name: {_RULE}")
        if self.advertise_url is not None:
            _check_url(self.advertise_url)


def _check_url(url: str) -> None:
    wrong = SettingsError(f"--advertise-url {url}: expected https://HOST:PORT, which is all the API server accepts")
    try:
        parts = urlsplit(url)
        is_wrong = parts.scheme != "https" or not parts.hostname or parts.port == 0
    except ValueError as error:  # a bracket that is not closed, or a port above 65535
        raise wrong from error
    if is_wrong or parts.query or parts.fragment or parts.username:
        raise wrong
    host = parts.hostname or ""
    if len(host) > _LONGEST_NAME or max(map(len, host.split("."))) > 63:  # IPv6 addresses are shorter
        raise SettingsError(
            f"--advertise-url {url}: its name is too long: at most 63 characters between dots, 253 in all"
        )
