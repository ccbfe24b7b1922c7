"""
Checks of what userquota works with: the policy and the ledger.
"""

from __future__ import annotations

from webhook.doctor.facts import DeploymentFacts, Facts, Unread
from webhook.doctor.findings import Finding, listed, not_yet, ok, wrong
from webhook.doctor.of_cluster import unread


def policy(facts: Facts) -> Finding:
    """Check that there is a policy without mistakes."""
    check, found = "policy", facts.policy
    if isinstance(found, Unread):
        return unread(check, found)
    if not found.maps:
        missing = f"there is no ConfigMap with the label userquota.dev/policy=true in {facts.name}"
        return wrong(check, missing, "apply your policy.yaml") if facts.is_installed else not_yet(check, missing)
    if found.mistakes:
        fix = "mend it and look at it with: userquota policy validate; the last good policy is in force meanwhile"
        return wrong(check, listed(found.mistakes), fix, details=found.mistakes)
    return ok(check, f"no mistakes in {', '.join(found.maps)}")


def ledger(facts: Facts) -> Finding:
    """Check that the ledger can be read."""
    check, found = "ledger", facts.ledger
    if isinstance(found, Unread):
        return unread(check, found)
    where = f"ConfigMap {facts.name}/userquota-ledger"
    if found == "absent":
        runs = isinstance(facts.deployment, DeploymentFacts) and facts.deployment.available
        if runs:
            return wrong(check, f"{where} is not there", "see the log of userquota, which makes it anew")
        return not_yet(check, f"{where} is made by the first replica")
    for beginning, fix in _UNUSABLE.items():
        if found.startswith(beginning):
            return wrong(check, f"{where}: {found}", fix)
    state = "is being begun anew: nothing charged is allowed for 40 s" if found == "rebuilding" else "can be read"
    return ok(check, f"{where} {state}")


_UNUSABLE = {
    "newer format": "update all replicas to the newer version",
    "damaged": "see who writes it: userquota begins it anew, and nobody else may write it",
}
