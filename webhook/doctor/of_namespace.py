"""
Checks of our namespace and of our account: whether our pods and ConfigMaps can be there, and what we may do.
"""

from __future__ import annotations

from collections.abc import Mapping

from webhook.doctor.facts import DeploymentFacts, Facts, Unread
from webhook.doctor.findings import Finding, listed, not_yet, ok, wrong
from webhook.doctor.of_cluster import unread

NAME_LABEL = "kubernetes.io/metadata.name"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_LEVELS = ("restricted", "baseline", "privileged")

_CONFIG_MAPS = ("configmaps", "count/configmaps")
_PODS = ("pods", "count/pods")


def namespace(facts: Facts) -> Finding:
    """Check that our namespace is there, and what its labels say."""
    check, found = "namespace", facts.namespace
    if isinstance(found, Unread):
        return unread(check, found)
    if found is None:
        missing = f"there is no namespace {facts.name}"
        fix = "apply all manifests, or name it with --namespace"
        return wrong(check, missing, fix) if facts.is_installed else not_yet(check, missing)
    if found.is_ending:
        return wrong(check, f"{facts.name} is being deleted", "wait until it is gone, then apply the manifests")
    return _labels(check, facts.name, found.labels)


def other_labels(name: str, labels: Mapping[str, str]) -> str:
    """Return in what the *labels* of our namespace *name* are not those of the manifests; empty if in nothing."""
    return _other_label(name, labels)[0]


def _other_label(name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the same for the first such label, and what it has to be; that is empty where another one does no harm."""
    # The API server writes the first and refuses other values of both, but it did not in versions long ago.
    if labels.get(NAME_LABEL) != name:
        return f"the label {NAME_LABEL} does not say {name}: the namespace is not exempt", f"{NAME_LABEL}={name}"
    level = labels.get(_ENFORCE, "")
    if level and level not in _LEVELS:
        return f"the label {_ENFORCE} is {level}, which is no level", f"{_ENFORCE}=restricted"
    if level != "restricted":
        said = f"has {level}" if level else "is missing"
        return f"its label {_ENFORCE} {said}, the manifests have restricted", ""
    return "", ""


def _labels(check: str, name: str, labels: Mapping[str, str]) -> Finding:
    found, label = _other_label(name, labels)
    if label:
        return wrong(check, found, f"kubectl label --overwrite namespace {name} {label}")
    return ok(check, f"{name}; {found}" if found else f"{name}, with the labels of the manifests")


def quotas(facts: Facts) -> Finding:
    """Check that ResourceQuotas in our namespace leave room for our ConfigMaps and pods."""
    check = "quotas"
    if isinstance(facts.namespace, Unread) or isinstance(facts.quotas, Unread):
        return unread(check, next(each for each in (facts.quotas, facts.namespace) if isinstance(each, Unread)))
    if facts.namespace is None:
        return not_yet(check, "there is no namespace")
    deployment = facts.deployment if isinstance(facts.deployment, DeploymentFacts) else None
    # A rollout surges by one pod.
    pods = 1 if deployment else 3 + 1
    maps = 0 if facts.ledger == "ok" else 2
    full = tuple(
        f"ResourceQuota {quota.name} has room for {room} more {name.removeprefix('count/')}, and {needed} are needed"
        for quota in facts.quotas
        for names, needed in ((_PODS, pods), (_CONFIG_MAPS, maps))
        for name in names
        if (room := quota.room.get(name, needed)) < needed
    )
    if full:
        return wrong(check, listed(full), f"raise it, or delete it from {facts.name}", details=full)
    return ok(check, "they leave room" if facts.quotas else "there are none")


def own_pods(facts: Facts) -> Finding:
    """Check that a pod of ours would be admitted in our namespace, by all that judges pods there."""
    check, trial = "own-pods", facts.own_pod
    if isinstance(trial, Unread):
        return unread(check, trial)
    if trial is None:
        return not_yet(check, "there is no namespace to try one in")
    if not trial.error:
        others = f", with containers that others add: {', '.join(trial.added)}" if trial.added else ""
        return ok(check, f"one would be admitted{others}", details=trial.added)
    return wrong(check, f"one is refused: {trial.error}", _fix_of(trial.error, facts.name))


def account_rights(facts: Facts) -> Finding:
    """Check that our account has the rights that the manifests give it."""
    check, lacks = "account-rights", facts.account_lacks
    if isinstance(lacks, Unread):
        return unread(check, lacks)
    if lacks is None:
        if facts.is_called_by_url:
            return ok(check, "userquota is called at a URL: as whom it runs is not known here")
        return not_yet(check, "there is no Deployment")
    if lacks:
        fix = "apply clusterrole.yaml, role.yaml and both bindings of this version"
        return wrong(check, f"it may not {listed(lacks)}", fix, details=lacks)
    return ok(check, "it has those of the manifests")


_REFUSALS = (
    ("PodSecurity", "give the namespace the labels of namespace.yaml"),
    (
        "insufficient quota to match these scopes",
        "add a ResourceQuota that admits the class system-cluster-critical here, or patch priorityClassName",
    ),
    ("exceeded quota", "raise or delete the ResourceQuota in the namespace"),
    ("failed quota", "raise or delete the ResourceQuota in the namespace"),
    ("usage per", "raise or delete the LimitRange in the namespace, or patch the resources of the Deployment"),
    ("no PriorityClass", "patch priorityClassName of the Deployment"),
    ("is not permitted", "patch priorityClassName of the Deployment"),
    ("serviceaccount", "apply serviceaccount.yaml"),
)


def _fix_of(error: str, name: str) -> str:
    for words, fix in _REFUSALS:
        if words in error:
            return fix
    return f"see who refuses it: kubectl -n {name} get resourcequota,limitrange, and other webhooks"
