"""
Whether an API server that is asked for a pod asks us: seen by the answer to a dry run, errors by the words of Go.
"""

from __future__ import annotations

import re

from webhook.doctor.facts import Facts, Trial, Unread
from webhook.doctor.findings import Finding, not_yet, ok, unknown, wrong
from webhook.doctor.of_cluster import unread

_OURS = re.compile(r'(?:admission webhook|failed calling webhook|failed to call webhook) "[a-z.]*\.userquota\.dev"')
_ANOTHER = re.compile(r'(?:admission webhook|failed calling webhook) "([^"]+)"')
_SLOW = 1.0

_URL = re.compile(r'"https?://[^"]*"')
"""Names in it are no words of the error."""

_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        r"proxyconnect|egress|konnectivity|CONNECT|Post : (?:Forbidden|Bad Gateway|Service Unavailable|Proxy Auth)",
        "a proxy is between the API server and us, and does not let it through",
        "put .svc and the cluster's networks into NO_PROXY of the API server, or mend its egress proxy (konnectivity)",
    ),
    (
        "certificate signed by unknown authority",
        "the API server does not trust our certificate",
        "see the check ca-bundle; if that is right, another program serves at this address",
    ),
    (
        r"certificate is (?:valid for|not valid for any)|cannot validate certificate",
        "our certificate has another name",
        "call the Service userquota by its name, or issue --tls-cert for the name in this error",
    ),
    (
        "certificate has expired or is not yet valid",
        "our certificate is out of date for the API server",
        "see the check clock, and the log of userquota",
    ),
    (r'service "[^"]*" not found', "there is no such Service", "see the check service"),
    (
        r"no (?:endpoints|service port)|connection refused",
        "nothing listens there",
        "see the checks service and deployment: no replica is ready, or it has another port",
    ),
    (
        "no such host|server misbehaving",
        "the API server cannot resolve the name",
        "an API server outside of the cluster needs --advertise-url with an address that it reaches",
    ),
    (
        "remote error: tls|only the API server may post reviews|EOF",
        "userquota asks for a proof that the API server does not give",
        "see manifests/README.md, Who may call the webhook",
    ),
    (
        "no route to host|network is unreachable",
        "the API server has no way to our address",
        "let the control plane reach the network of pods, at port 8443; of IPv6 clusters, both need an address of it",
    ),
    (
        "i/o timeout|deadline exceeded|Client.Timeout",
        "no answer in time",
        "let the control plane reach port 8443 of our pods: see firewalls, NetworkPolicies and the load of replicas",
    ),
)


def last_mile(facts: Facts) -> Finding:
    """Check by a dry run that API servers ask us."""
    check, trial = "last-mile", facts.last_mile
    if isinstance(trial, Unread):
        return unread(check, trial)
    if trial is None:
        return not_yet(check, "there are no webhook configurations of userquota")
    tried = f"a pod tried in namespace {trial.namespace}"
    if trial.is_stamped:
        slow = f", in {trial.seconds:.1f} s" if trial.seconds > _SLOW else ""
        return ok(check, f"{tried} came back with our stamp{slow}")
    if not trial.error:
        return _unasked(check, facts, trial, tried)
    if _OURS.search(trial.error) and "denied the request" in trial.error:
        return ok(check, f"{tried} was refused by userquota, which thus is asked")
    return _failed(check, trial.error, tried)


def _unasked(check: str, facts: Facts, trial: Trial, tried: str) -> Finding:
    if isinstance(facts.webhooks, Unread):
        found = f"{tried} was admitted without our stamp, and whether its namespace is exempt is not known"
        return unknown(check, found, "see the check webhook-configurations")
    if trial.namespace in facts.webhooks.exempt:
        return unknown(check, f"namespace {trial.namespace} is exempt", "name one that is not with --probe-namespace")
    fix = "see the check webhook-configurations; a new one is known to every API server after some seconds"
    return wrong(check, f"{tried} was admitted, and userquota was not asked", fix)


def _failed(check: str, error: str, tried: str) -> Finding:
    if not _OURS.search(error):
        other = _ANOTHER.search(error)
        by = f"by the webhook {other[1]}" if other else "by others"
        found = f"{tried} was refused {by} before userquota was seen to be asked: {error}"
        return unknown(check, found, "name a namespace that admits pods with --probe-namespace")
    for words, what, fix in _CAUSES:
        if re.search(words, _URL.sub("", error)):
            return wrong(check, f"{what}: {error}", fix)
    return wrong(check, error, "see the log of userquota, and its /readyz")
