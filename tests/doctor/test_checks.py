"""What each check says of what was read, beside what `test_on_a_cluster` shows on a real API server."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from webhook.doctor.checkup import CHECKS, check_up, exit_code
from webhook.doctor.facts import (
    DeploymentFacts,
    EndpointFacts,
    Facts,
    NamespaceFacts,
    OtherWebhooks,
    PolicyFacts,
    QuotaFacts,
    ServiceFacts,
    Trial,
    Unread,
    ViewFacts,
    WebhookFacts,
)
from webhook.doctor.findings import Finding, Verdict
from webhook.doctor.of_cluster import NEEDED_GROUPS, OPTIONAL_GROUPS

LABELS = {"kubernetes.io/metadata.name": "quotas", "pod-security.kubernetes.io/enforce": "restricted"}
WEBHOOKS = WebhookFacts(exempt=frozenset({"kube-system", "quotas"}), strangers=())
WHOLE = Facts(
    name="quotas",
    version=(1, 37, "v1.37.2"),
    groups=frozenset((*NEEDED_GROUPS, *OPTIONAL_GROUPS)),
    leases=3,
    skew=0.4,
    namespace=NamespaceFacts(LABELS),
    quotas=(),
    own_pod=Trial("quotas"),
    account_lacks=(),
    deployment=DeploymentFacts(3, 3, ("serve", "--listen=:8443", "--view-listen=:8444")),
    service=ServiceFacts((443, 8444), ("IPv4",)),
    endpoints=EndpointFacts(3, 0),
    webhooks=WEBHOOKS,
    others=OtherWebhooks(),
    authority=True,
    view=ViewFacts(has_bundle=True),
    liquid=None,
    policy=PolicyFacts(("userquota-policy",)),
    ledger="ok",
    last_mile=Trial("default", is_stamped=True, seconds=0.1),
)
NOTHING = replace(
    WHOLE,
    namespace=None,
    own_pod=None,
    account_lacks=None,
    deployment=None,
    service=None,
    endpoints=None,
    webhooks=replace(WEBHOOKS, is_ours=False, missing=("a", "b"), exempt=frozenset()),
    authority=False,
    view=None,
    policy=PolicyFacts(()),
    ledger="absent",
    last_mile=None,
)
# Errors of an API server; those of proxies are of one with HTTPS_PROXY in its environment.
CALL = 'Internal error occurred: failed calling webhook "mutate.userquota.dev": failed to call webhook: '
POST = CALL + 'Post "https://userquota.my-proxy.svc:443/mutate?timeout=5s": '


def failed(error: str) -> dict[str, Any]:
    return {"last_mile": Trial("default", error)}


OK, WRONG, UNKNOWN, NOT_YET = Verdict.OK, Verdict.WRONG, Verdict.UNKNOWN, Verdict.NOT_YET
CASES: list[tuple[dict[str, Any], str, Verdict, str]] = [
    ({"route": "the proxy is between"}, "connection", OK, "the API server answers; the proxy is between"),
    ({"version": (1, 29, "v1.29.9")}, "server-version", WRONG, "Kubernetes v1.29.9 is too old"),
    (
        {"version": (1, 33, "v1.33.0")},
        "server-version",
        OK,
        "Kubernetes v1.33.0; too old for resources of whole pods, ResourceClaims, changes of a VolumeAttributesClass",
    ),
    (
        {"groups": frozenset(OPTIONAL_GROUPS)},
        "api-groups",
        WRONG,
        "not served: admissionregistration.k8s.io/v1, apps/v1",
    ),
    (
        {"groups": frozenset(NEEDED_GROUPS)},
        "api-groups",
        OK,
        "served, but not apiregistration.k8s.io/v1: people see no quotas; flowcontrol.apiserver.k8s.io/v1: ",
    ),
    ({"leases": 0}, "api-server-leases", WRONG, "no API server has an identity Lease in kube-system"),
    ({"skew": 31.0}, "clock", WRONG, "this machine's clock is 31 s ahead of the API server's"),
    ({"skew": -90.0}, "clock", WRONG, "this machine's clock is 90 s behind the API server's"),
    ({"skew": -29.0}, "clock", OK, "it differs from the API server's by less than 30 s"),
    ({"skew": None}, "clock", UNKNOWN, "the API server's answers have no Date"),
    ({"leases": Unread("no", "a"), "view": Unread("no", "b")}, "your-rights", UNKNOWN, "you may not a; b"),
    ({"leases": Unread("it is down")}, "your-rights", OK, "nothing was forbidden"),
    ({"namespace": None}, "namespace", WRONG, "there is no namespace quotas"),
    ({"namespace": NamespaceFacts(LABELS, is_ending=True)}, "namespace", WRONG, "quotas is being deleted"),
    (
        {"namespace": NamespaceFacts({})},
        "namespace",
        WRONG,
        "the label kubernetes.io/metadata.name does not say quotas",
    ),
    (
        {"namespace": NamespaceFacts({**LABELS, "pod-security.kubernetes.io/enforce": "none"})},
        "namespace",
        WRONG,
        "the label pod-security.kubernetes.io/enforce is none, which is no level",
    ),
    (
        {"namespace": NamespaceFacts({**LABELS, "pod-security.kubernetes.io/enforce": "baseline"})},
        "namespace",
        OK,
        "quotas; its label pod-security.kubernetes.io/enforce has baseline, the manifests have restricted",
    ),
    (
        {"quotas": (QuotaFacts("q", {"pods": 0, "configmaps": 0}),)},
        "quotas",
        WRONG,
        "ResourceQuota q has room for 0 more pods, and 1 are needed",
    ),
    (
        {"quotas": (QuotaFacts("q", {"pods": 1, "count/configmaps": 1}),), "ledger": "absent"},
        "quotas",
        WRONG,
        "ResourceQuota q has room for 1 more configmaps, and 2 are needed",
    ),
    ({"quotas": (QuotaFacts("q", {"pods": 1, "requests.cpu": 0}),)}, "quotas", OK, "they leave room"),
    (
        {"own_pod": Trial("quotas", "violates PodSecurity x")},
        "own-pods",
        WRONG,
        "one is refused: violates PodSecurity x",
    ),
    (
        {"own_pod": Trial("quotas", added=("istio-proxy",))},
        "own-pods",
        OK,
        "one would be admitted, with containers that others add: istio-proxy",
    ),
    (
        {"account_lacks": ("list pods", "get x", "get y")},
        "account-rights",
        WRONG,
        "it may not list pods; get x, and 1 more",
    ),
    (
        {"webhooks": replace(WEBHOOKS, is_ours=False, foreign=("x is no webhook of this version",))},
        "webhook-configurations",
        WRONG,
        "the name userquota is taken: x is no webhook of this version",
    ),
    (
        {"webhooks": replace(WEBHOOKS, is_ours=False)},
        "webhook-configurations",
        WRONG,
        "there are no webhook configurations of userquota",
    ),
    (
        {
            "webhooks": replace(
                WEBHOOKS, missing=("M userquota",), differences=("w: f is a, not b",), foreign=("x is no",)
            )
        },
        "webhook-configurations",
        WRONG,
        "M userquota is missing; w: f is a, not b, and 1 more",
    ),
    ({"webhooks": replace(WEBHOOKS, exemption_remarks=("r",))}, "exemptions", WRONG, "r"),
    ({"webhooks": replace(WEBHOOKS, untrusted=("w",))}, "ca-bundle", WRONG, "it is empty in w"),
    (
        {"webhooks": replace(WEBHOOKS, untrusted=("w",), strangers=None, urls=("https://a/",)), "authority": False},
        "ca-bundle",
        OK,
        "every webhook has one; the Secret userquota-ca is not there to compare it with",
    ),
    ({"webhooks": replace(WEBHOOKS, expired=("w",))}, "ca-bundle", WRONG, "its certificates are out of date in w"),
    (
        {"webhooks": replace(WEBHOOKS, strangers=("w",))},
        "ca-bundle",
        WRONG,
        "the authority of the Secret userquota-ca is not in w",
    ),
    (
        {"webhooks": replace(WEBHOOKS, strangers=None), "authority": Unread("you may not", "get it")},
        "ca-bundle",
        UNKNOWN,
        "you may not",
    ),
    (
        {"others": OtherWebhooks(same_names=("a",), same_service=("a", "b"))},
        "other-webhooks",
        WRONG,
        "also called by a; b",
    ),
    (
        {"others": OtherWebhooks(changing_pods=("z of M zz",))},
        "other-webhooks",
        OK,
        "may change pods after userquota, which is then asked again: z of M zz",
    ),
    ({"deployment": None}, "deployment", WRONG, "there is no Deployment userquota"),
    ({"deployment": DeploymentFacts(0, 0)}, "deployment", WRONG, "it has no replicas"),
    ({"deployment": DeploymentFacts(3, 0)}, "deployment", WRONG, "0 of 3 replicas are ready"),
    (
        {"deployment": DeploymentFacts(3, 2, environment={"HTTPS_PROXY": "http://x", "NO_PROXY": "y"})},
        "deployment",
        OK,
        "2 of 3 replicas are ready; HTTPS_PROXY of its environment has no effect",
    ),
    (
        {
            "service": ServiceFacts((443,), ("IPv6",)),
            "deployment": DeploymentFacts(3, 3, ("--listen=0.0.0.0:8443", "--view-listen=:8444")),
        },
        "deployment",
        WRONG,
        "the Service has addresses of IPv6, and replicas listen at IPv4 alone: --listen=0.0.0.0:8443",
    ),
    ({"deployment": DeploymentFacts(3, 3, ("--listen=0.0.0.0:8443",))}, "deployment", OK, "3 of 3 replicas are ready"),
    ({"service": ServiceFacts((443,), ("IPv6",))}, "deployment", OK, "3 of 3 replicas are ready"),
    ({"service": None}, "service", WRONG, "there is no Service userquota in quotas"),
    ({"service": ServiceFacts((8443,))}, "service", WRONG, "it has no port 443, but 8443"),
    ({"endpoints": EndpointFacts(0, 2)}, "service", WRONG, "nothing ready is behind it; not ready: 2"),
    ({"endpoints": None}, "service", WRONG, "nothing ready is behind it"),
    ({"endpoints": Unread("no")}, "service", UNKNOWN, "no"),
    ({"view": None}, "view", OK, "there is no APIService v1alpha1.view.userquota.dev: people see no quotas"),
    ({"view": ViewFacts(has_bundle=False)}, "view", WRONG, "its caBundle is empty"),
    ({"view": ViewFacts(has_bundle=True, trouble="no endpoints")}, "view", WRONG, "not available: no endpoints"),
    ({}, "liquid", OK, "there is no APIService v1.liquid.userquota.dev: there is no quota broker"),
    (
        {"deployment": DeploymentFacts(3, 3, ("serve", "--liquid"))},
        "liquid",
        WRONG,
        "there is no APIService v1.liquid.userquota.dev",
    ),
    ({"liquid": ViewFacts(has_bundle=True)}, "liquid", OK, "API servers reach it"),
    ({"liquid": ViewFacts(has_bundle=False)}, "liquid", WRONG, "its caBundle is empty"),
    ({"liquid": ViewFacts(has_bundle=True, trouble="404")}, "liquid", WRONG, "not available: 404"),
    (
        {"policy": PolicyFacts(())},
        "policy",
        WRONG,
        "there is no ConfigMap with the label userquota.dev/policy=true in quotas",
    ),
    ({"policy": PolicyFacts(("p",), ("p/a:1:1: x",))}, "policy", WRONG, "p/a:1:1: x"),
    ({"ledger": "absent"}, "ledger", WRONG, "ConfigMap quotas/userquota-ledger is not there"),
    (
        {"ledger": "absent", "deployment": DeploymentFacts(3, 0)},
        "ledger",
        NOT_YET,
        "ConfigMap quotas/userquota-ledger is made",
    ),
    ({"ledger": "newer format: 4"}, "ledger", WRONG, "ConfigMap quotas/userquota-ledger: newer format: 4"),
    ({"ledger": "damaged: x"}, "ledger", WRONG, "ConfigMap quotas/userquota-ledger: damaged: x"),
    ({"ledger": "rebuilding"}, "ledger", OK, "ConfigMap quotas/userquota-ledger is being begun anew"),
    (
        {"last_mile": Trial("default", is_stamped=True, seconds=2.34)},
        "last-mile",
        OK,
        "a pod tried in namespace default came back with our stamp, in 2.3 s",
    ),
    ({"last_mile": Trial("quotas")}, "last-mile", UNKNOWN, "namespace quotas is exempt"),
    (
        {"last_mile": Trial("default")},
        "last-mile",
        WRONG,
        "a pod tried in namespace default was admitted, and userquota was not asked",
    ),
    (
        {"last_mile": Trial("default"), "webhooks": Unread("no")},
        "last-mile",
        UNKNOWN,
        "a pod tried in namespace default was admitted without our stamp",
    ),
    (
        failed('admission webhook "validate.userquota.dev" denied the request: exceeded quota: x'),
        "last-mile",
        OK,
        "a pod tried in namespace default was refused by userquota, which thus is asked",
    ),
    (
        failed('admission webhook "x.example.com" denied the request: because'),
        "last-mile",
        UNKNOWN,
        "a pod tried in namespace default was refused by the webhook x.example.com before",
    ),
    (
        failed('pods "x" is forbidden: no'),
        "last-mile",
        UNKNOWN,
        "a pod tried in namespace default was refused by others",
    ),
    (
        failed(POST + "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
        "last-mile",
        WRONG,
        "the API server does not trust our certificate: ",
    ),
    (
        failed(POST + "x509: certificate is valid for a.svc, not userquota.q.svc"),
        "last-mile",
        WRONG,
        "our certificate has another name: ",
    ),
    (
        failed(POST + "x509: certificate has expired or is not yet valid: current time"),
        "last-mile",
        WRONG,
        "our certificate is out of date for the API server: ",
    ),
    (failed(POST + 'service "userquota" not found'), "last-mile", WRONG, "there is no such Service: "),
    (failed(POST + 'no endpoints available for service "userquota"'), "last-mile", WRONG, "nothing listens there: "),
    (
        failed(POST + "dial tcp 10.0.0.1:443: connect: connection refused"),
        "last-mile",
        WRONG,
        "nothing listens there: ",
    ),
    (failed(POST + "dial tcp: lookup x: no such host"), "last-mile", WRONG, "the API server cannot resolve the name: "),
    (
        failed(POST + "proxyconnect tcp: dial tcp 10.1.1.1:3128: connect: connection refused"),
        "last-mile",
        WRONG,
        "a proxy is between the API server and us, and does not let it through: ",
    ),
    *(
        (failed(POST + words), "last-mile", WRONG, "a proxy is between the API server and us")
        for words in ("Forbidden", "Bad Gateway", "Proxy Authentication Required")
    ),
    (failed(POST + "EOF"), "last-mile", WRONG, "userquota asks for a proof that the API server does not give: "),
    (
        failed(POST + "dial tcp [fd00::1]:443: connect: network is unreachable"),
        "last-mile",
        WRONG,
        "the API server has no way to our address: ",
    ),
    (failed(POST + "context deadline exceeded"), "last-mile", WRONG, "no answer in time: "),
    (failed(CALL + "the server is busy"), "last-mile", WRONG, CALL),
]


@pytest.mark.parametrize(("changes", "check", "verdict", "words"), CASES)
def test_a_check_says_what_is_wrong(changes: dict[str, Any], check: str, verdict: Verdict, words: str) -> None:
    found = CHECKS[check](replace(WHOLE, **changes))
    assert (found.check, found.verdict, found.found[: len(words)]) == (check, verdict, words)
    assert bool(found.fix) == (verdict in (WRONG, UNKNOWN))
    assert "\n" not in found.found + found.fix


def verdict_of_all(facts: Facts) -> set[Verdict]:
    return {each.verdict for each in check_up(facts)}


def test_a_whole_installation_is_all_right() -> None:
    assert verdict_of_all(WHOLE) == {OK}


def test_before_an_installation_nothing_of_it_is_wrong() -> None:
    assert verdict_of_all(NOTHING) == {OK, NOT_YET}


HALF = [
    ("the Deployment alone", {"deployment": DeploymentFacts(3, 0)}),
    ("the webhooks alone", {"webhooks": WEBHOOKS}),
]


@pytest.mark.parametrize("changes", [each[1] for each in HALF], ids=[each[0] for each in HALF])
def test_half_an_installation_is_wrong(changes: dict[str, Any]) -> None:
    found = {each.check for each in check_up(replace(NOTHING, **changes)) if each.verdict is WRONG}
    assert {"namespace", "service", "policy"} <= found


def test_who_is_called_at_a_url_needs_neither_deployment_nor_service() -> None:
    webhooks = replace(WEBHOOKS, urls=("https://192.0.2.1:8443/mutate",))
    found = replace(WHOLE, webhooks=webhooks, deployment=None, service=None, endpoints=None, account_lacks=None)
    assert verdict_of_all(found) == {OK}


@pytest.mark.parametrize("check", CHECKS.keys() - {"connection", "your-rights"})
def test_what_could_not_be_read_is_unknown(check: str) -> None:
    parts = {each.name: Unread("it broke") for each in fields(Facts) if each.name not in ("name", "route")}
    found = CHECKS[check](replace(WHOLE, **parts))  # type: ignore[arg-type]
    assert (found.verdict, found.found, found.fix) == (UNKNOWN, "it broke", "try again")


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [([OK, NOT_YET], 0), ([OK, UNKNOWN], 2), ([UNKNOWN, WRONG, OK], 1), ([], 0)],
)
def test_the_exit_code_tells_the_worst(verdicts: list[Verdict], code: int) -> None:
    assert exit_code(tuple(Finding("c", each, "") for each in verdicts)) == code
