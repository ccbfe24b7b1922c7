"""
Checks of what leads API servers to us: the webhook configurations, whom they trust, and the Service.
"""

from __future__ import annotations

from webhook.doctor.facts import DeploymentFacts, EndpointFacts, Facts, ServiceFacts, Unread, ViewFacts, WebhookFacts
from webhook.doctor.findings import Finding, listed, not_yet, ok, wrong
from webhook.doctor.of_cluster import unread

_APPLY = "apply all manifests of this version again: kubectl apply -k overlay/"
_ABSENT = "there are no webhook configurations of userquota"


def webhook_configurations(facts: Facts) -> Finding:
    """Check that both configurations are there, and are as in the manifests but for what administrators may choose."""
    check, found = "webhook-configurations", facts.webhooks
    if isinstance(found, Unread):
        return unread(check, found)
    if found.foreign and not found.is_ours:
        fix = "rename that configuration, or give userquota's another name: two owners of one name undo each other"
        return wrong(check, f"the name userquota is taken: {listed(found.foreign)}", fix, details=found.foreign)
    if not found.is_ours:
        return wrong(check, _ABSENT, _APPLY) if facts.is_installed else not_yet(check, _ABSENT)
    details = (*(f"{each} is missing" for each in found.missing), *found.differences, *found.foreign)
    if details:
        return wrong(check, listed(details), _APPLY, details=details)
    return ok(check, "as in the manifests of this version")


def exemptions(facts: Facts) -> Finding:
    """Check that all webhooks exempt the same namespaces, in words that are understood."""
    check, found = "exemptions", facts.webhooks
    if isinstance(found, Unread):
        return unread(check, found)
    if not found.is_ours:
        return not_yet(check, _ABSENT)
    if found.exemption_remarks:
        fix = "name each namespace in the namespaceSelectors of all webhooks, see manifests/README.md"
        return wrong(check, listed(found.exemption_remarks), fix, details=found.exemption_remarks)
    return ok(check, f"exempt: {', '.join(sorted(found.exempt))}")


def ca_bundle(facts: Facts) -> Finding:
    """Check that every webhook trusts the authority that signs our certificates."""
    check, found = "ca-bundle", facts.webhooks
    if isinstance(found, Unread):
        return unread(check, found)
    return _trust(check, facts, found) if found.is_ours else not_yet(check, _ABSENT)


def _trust(check: str, facts: Facts, found: WebhookFacts) -> Finding:
    restart = "see the log of userquota, which writes it: it may lack the right to, or not run"
    if found.untrusted and not found.urls:
        return wrong(check, f"it is empty in {listed(found.untrusted)}", restart, details=found.untrusted)
    if found.expired:
        fix = "userquota certs status, and the log of userquota, which replaces authorities in time"
        return wrong(check, f"its certificates are out of date in {listed(found.expired)}", fix, details=found.expired)
    if found.strangers is None:
        if isinstance(facts.authority, Unread):
            return unread(check, facts.authority)
        return ok(check, "every webhook has one; the Secret userquota-ca is not there to compare it with")
    if found.strangers:
        text = f"the authority of the Secret userquota-ca is not in {listed(found.strangers)}"
        return wrong(check, text, restart, details=found.strangers)
    return ok(check, "every webhook trusts the authority in the Secret userquota-ca")


def other_webhooks(facts: Facts) -> Finding:
    """Check that no other configuration has our webhooks, or calls our Service."""
    check, found = "other-webhooks", facts.others
    if isinstance(found, Unread):
        return unread(check, found)
    twice = tuple(dict.fromkeys((*found.same_names, *found.same_service)))
    if twice:
        fix = "delete the other configuration: userquota does not keep its caBundle, and would be asked twice"
        return wrong(check, f"also called by {listed(twice)}", fix, details=twice)
    if found.changing_pods:
        text = f"may change pods after userquota, which is then asked again: {listed(found.changing_pods)}"
        return ok(check, text, details=found.changing_pods)
    return ok(check, "none that concerns userquota")


def deployment(facts: Facts) -> Finding:
    """Check that replicas are ready, and listen where they are reached."""
    check, found = "deployment", facts.deployment
    if isinstance(found, Unread):
        return unread(check, found)
    if found is None:
        missing = "there is no Deployment userquota"
        if facts.is_called_by_url:
            return ok(check, "userquota is called at a URL: it need not run in the cluster")
        return wrong(check, missing, _APPLY) if facts.is_installed else not_yet(check, missing)
    return _replicas(check, facts, found)


def _replicas(check: str, facts: Facts, found: DeploymentFacts) -> Finding:
    families = () if isinstance(facts.service, Unread) or facts.service is None else facts.service.families
    narrow = tuple(each for each in found.args if each.partition("=")[2].startswith("0.0.0.0:"))
    if "IPv6" in families and narrow:
        fix = "leave the address out: --listen=:8443, --view-listen=:8444"
        return wrong(
            check, f"the Service has addresses of IPv6, and replicas listen at IPv4 alone: {listed(narrow)}", fix
        )
    if not found.replicas:
        return wrong(check, "it has no replicas", f"kubectl -n {facts.name} scale deployment userquota --replicas=3")
    if not found.available:
        fix = f"kubectl -n {facts.name} describe pods, and their logs; /readyz says what is lacking"
        return wrong(check, f"0 of {found.replicas} replicas are ready", fix)
    proxies = tuple(each for each in found.environment if each.lower() in ("https_proxy", "http_proxy", "all_proxy"))
    remark = f"; {', '.join(proxies)} of its environment has no effect" if proxies else ""
    return ok(check, f"{found.available} of {found.replicas} replicas are ready{remark}")


def service(facts: Facts) -> Finding:
    """Check that the Service is there with our port, and has ready endpoints."""
    check, found, endpoints = "service", facts.service, facts.endpoints
    if facts.is_called_by_url:
        return ok(check, "userquota is called at a URL, not through a Service")
    if isinstance(found, Unread):
        return unread(check, found)
    if found is None:
        missing = f"there is no Service userquota in {facts.name}"
        fix = f"{_APPLY}; its name is part of our certificates, so that kustomize may not put a prefix before it"
        return wrong(check, missing, fix) if facts.is_installed else not_yet(check, missing)
    if isinstance(endpoints, Unread):
        return unread(check, endpoints)
    return _endpoints(check, found, endpoints)


def _endpoints(check: str, found: ServiceFacts, endpoints: EndpointFacts | None) -> Finding:
    if 443 not in found.ports:
        return wrong(check, f"it has no port 443, but {', '.join(map(str, found.ports))}", _APPLY)
    if endpoints is None or not endpoints.ready:
        waiting = f"; not ready: {endpoints.unready}" if endpoints and endpoints.unready else ""
        fix = "see whether its selector is that of the Deployment, and why replicas are not ready"
        return wrong(check, f"nothing ready is behind it{waiting}", fix)
    return ok(check, f"ready endpoints: {endpoints.ready}; {' and '.join(found.families) or 'no family told'}")


def view(facts: Facts) -> Finding:
    """Check that API servers pass on what is asked of the view."""
    check, found = "view", facts.view
    if found is None:
        if facts.is_installed:
            return ok(check, "there is no APIService v1alpha1.view.userquota.dev: people see no quotas")
        return not_yet(check, "there is no APIService v1alpha1.view.userquota.dev")
    return _passed_on(check, found)


def liquid(facts: Facts) -> Finding:
    """Check that API servers pass on what a quota broker asks, if there is one."""
    check, found = "liquid", facts.liquid
    if found is None:
        missing = "there is no APIService v1.liquid.userquota.dev"
        deployed = facts.deployment
        if isinstance(deployed, DeploymentFacts) and "--liquid" in deployed.args:
            return wrong(check, missing, "apply the component liquid whole, see docs/liquid.md")
        return ok(check, f"{missing}: there is no quota broker") if facts.is_installed else not_yet(check, missing)
    return _passed_on(check, found)


def _passed_on(check: str, found: ViewFacts | Unread) -> Finding:
    if isinstance(found, Unread):
        return unread(check, found)
    if found.trouble:
        fix = (
            "let API servers reach port 8444; a dead APIService blocks the deletion of namespaces: delete it otherwise"
        )
        return wrong(check, f"not available: {found.trouble}", fix)
    if not found.has_bundle:
        return wrong(check, "its caBundle is empty", "see the log of userquota, which writes it")
    return ok(check, "API servers reach it")
