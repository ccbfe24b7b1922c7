"""
The report of `userquota preflight` as one document, all of it and in a stable order.
"""

from __future__ import annotations

from webhook.preflight.infrastructure import DaemonSetSize
from webhook.preflight.made_anew import Anew
from webhook.preflight.ownerless import Ownerless
from webhook.preflight.report import Report
from webhook.preflight.standings import AboveCap, Standing
from webhook.quota.limits import Limit
from webhook.quota.resources import SHORT_NAMES, Amount, Amounts, show

_SHORT = {name: short for short, name in SHORT_NAMES.items()}


def document_of(report: Report) -> dict[str, object]:
    """Return *report* for JSON and YAML; amounts are texts that a policy reads."""
    standings = report.standings
    return {
        "serverVersion": report.server,
        "exemptNamespaces": list(report.exempt),
        "complete": report.is_complete,
        "unreadable": [{"what": each.what, "why": each.why} for each in report.unreadable],
        "missing": [
            {"what": each.what, "consequence": each.consequence, "fatal": each.is_fatal} for each in report.gaps
        ],
        "overLimits": [_standing(each) for each in standings.over],
        "aboveCaps": [_above_cap(each) for each in standings.above_caps],
        "limits": [_standing(each) for each in standings.limits],
        "usage": [{"subject": each.subject, "used": _amounts(each.used)} for each in standings.usage],
        "withoutOwner": [_ownerless(each) for each in report.ownerless],
        "madeAnew": [_anew(each) for each in report.anew],
        "overLimitsAnew": [_standing(each) for each in report.over_anew],
        "suggestedPolicy": _suggestion(report),
        "writers": [
            {"manager": each.manager, "objects": each.objects, "withoutController": each.topmost}
            for each in report.writers
        ],
        "daemonSets": [_daemon_set(each) for each in report.daemon_sets],
        "systemNamespaces": [{"name": each.name, "pods": each.pods} for each in report.system_namespaces],
    }


def suggested_hard(report: Report) -> dict[str, str]:
    """Return the `hard` of an entry for the unattributed that allows what they use, with the short names."""
    return {_SHORT.get(name, name): show(name, amount) for name, amount in report.suggestion}


def _suggestion(report: Report) -> object:
    hard = suggested_hard(report)
    return {"defaults": {"unattributed": {"hard": hard}}} if hard else None


def _limit(limit: Limit, *, used: Amount, over: Amount) -> dict[str, object]:
    return {
        "entry": limit.entry,
        "place": limit.place,
        "mode": limit.mode.value,
        "resource": limit.resource,
        "used": limit.shown(used),
        "limit": limit.shown(limit.hard),
        "over": limit.shown(over),
    }


def _standing(each: Standing) -> dict[str, object]:
    return {"subject": each.limit.subject, **_limit(each.limit, used=each.used, over=each.over)}


def _above_cap(each: AboveCap) -> dict[str, object]:
    limit, largest = each.limit, each.largest_object
    return {
        "cap": limit.cap,
        "entry": limit.entry,
        "place": limit.place,
        "mode": limit.mode.value,
        "resource": limit.resource,
        "limit": limit.shown(limit.hard),
        "objects": each.count,
        "largest": {**largest._asdict(), "amount": limit.shown(each.largest)},
    }


def _ownerless(each: Ownerless) -> dict[str, object]:
    return {
        "namespace": each.namespace,
        "kind": each.kind,
        "workloads": each.workloads,
        "pods": each.pods,
        "used": _amounts(each.used),
    }


def _anew(each: Anew) -> dict[str, object]:
    return {
        "namespace": each.namespace,
        "kind": each.kind,
        "madeBy": each.made_by,
        "payer": each.payer,
        "refused": each.is_refused,
        "foundBy": list(each.found_by),
        "objects": each.objects,
        "used": _amounts(each.used),
    }


def _daemon_set(each: DaemonSetSize) -> dict[str, object]:
    above = [
        {
            "entry": default.entry,
            "place": default.place,
            "mode": default.mode.value,
            "resource": default.resource,
            "limit": show(default.resource, default.hard),
        }
        for default in each.above
    ]
    return {"namespace": each.namespace, "name": each.name, "nodes": each.nodes, "above": above}


def _amounts(amounts: Amounts) -> dict[str, str]:
    return {name: show(name, amount) for name, amount in amounts}
