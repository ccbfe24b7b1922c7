"""
Checks of the cluster: what userquota needs of it, installed or not.
"""

from __future__ import annotations

from webhook.doctor.facts import Facts, Unread
from webhook.doctor.features import NEEDED_VERSION, lacking, written
from webhook.doctor.findings import Finding, Verdict, listed, ok, unknown, wrong

NEEDED_GROUPS = (
    "admissionregistration.k8s.io/v1",
    "apps/v1",
    "authorization.k8s.io/v1",
    "coordination.k8s.io/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
)
OPTIONAL_GROUPS = {
    "apiregistration.k8s.io/v1": "people see no quotas",
    "flowcontrol.apiserver.k8s.io/v1": "leave flowschema.yaml and prioritylevelconfiguration.yaml out",
    "resource.k8s.io/v1": "ResourceClaims are not counted",
}
"""Each with what happens where it is not served."""

MOST_SKEW = 30.0
"""Seconds. Certificates are dated back by an hour; the ends of policy entries and grace periods go by the clock."""


def connection(facts: Facts) -> Finding:
    """Check how the API server is reached. One that is not reached at all ends the command with an error."""
    return ok("connection", f"the API server answers; {facts.route}" if facts.route else "the API server answers")


def server_version(facts: Facts) -> Finding:
    """Check the version of the API server."""
    check = "server-version"
    if isinstance(facts.version, Unread):
        return unread(check, facts.version)
    version, text = facts.version[:2], facts.version[2]
    features = tuple(f"{each.name}: {each.below}" for each in lacking(version))
    if version < NEEDED_VERSION:
        fix = f"update the control plane to Kubernetes {written(NEEDED_VERSION)} or newer"
        return wrong(check, f"Kubernetes {text} is too old", fix, details=features)
    more = f"; too old for {', '.join(each.name for each in lacking(version))}" if features else ""
    return ok(check, f"Kubernetes {text}{more}", details=features)


def api_groups(facts: Facts) -> Finding:
    """Check which API groups are served."""
    check = "api-groups"
    if isinstance(facts.groups, Unread):
        return unread(check, facts.groups)
    missing = tuple(each for each in NEEDED_GROUPS if each not in facts.groups)
    if missing:
        fix = "have every API server serve them (--runtime-config), and update the control plane if it is too old"
        return wrong(check, f"not served: {', '.join(missing)}", fix, details=missing)
    optional = tuple(f"{each}: {below}" for each, below in OPTIONAL_GROUPS.items() if each not in facts.groups)
    found = f"served, but not {listed(optional)}" if optional else "all are served"
    return ok(check, found, details=optional)


def api_server_leases(facts: Facts) -> Finding:
    """Check that API servers renew identity Leases."""
    check = "api-server-leases"
    if isinstance(facts.leases, Unread):
        return unread(check, facts.leases)
    if not facts.leases:
        found = "no API server has an identity Lease in kube-system: what one that stands still may store is not held"
        return wrong(check, found, "do not switch the feature gate APIServerIdentity off")
    return ok(check, f"API servers with a Lease: {facts.leases}")


def clock(facts: Facts) -> Finding:
    """Check this machine's clock against the API server's."""
    check = "clock"
    if isinstance(facts.skew, Unread):
        return unread(check, facts.skew)
    if facts.skew is None:
        return unknown(check, "the API server's answers have no Date", "compare the clocks by hand")
    if abs(facts.skew) > MOST_SKEW:
        way = "ahead of" if facts.skew > 0 else "behind"
        found = f"this machine's clock is {abs(facts.skew):.0f} s {way} the API server's"
        return wrong(check, found, "let both follow NTP: certificates and the ends of policy entries go by the clock")
    return ok(check, f"it differs from the API server's by less than {MOST_SKEW:.0f} s")


def your_rights(facts: Facts) -> Finding:
    """Check that whoever asks may look at everything."""
    check = "your-rights"
    parts = (getattr(facts, name) for name in facts.__dataclass_fields__)
    lacks = tuple(dict.fromkeys(each.right for each in parts if isinstance(each, Unread) and each.right))
    if lacks:
        fix = "run it as an administrator of the cluster, or be given these rights"
        return Finding(check, Verdict.UNKNOWN, f"you may not {listed(lacks)}", fix, lacks)
    return ok(check, "nothing was forbidden")


def unread(check: str, part: Unread) -> Finding:
    """Return that *part* could not be looked at."""
    fix = f"be given the right to {part.right}" if part.right else "try again"
    return unknown(check, part.why, fix)
