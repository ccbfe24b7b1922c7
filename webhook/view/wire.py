"""
The objects of the API group `view.userquota.dev`, as JSON values; the names by which it addresses subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from webhook.quota import resources
from webhook.quota.exemption import Exemption
from webhook.quota.limits import Limit
from webhook.quota.resources import Amounts
from webhook.quota.subject import Subject, selector_of, unscoped
from webhook.view.holders import Holder
from webhook.view.rules import Rule
from webhook.view.standings import Quota, Standing

GROUP: Final = "view.userquota.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

LARGEST_BODY: Final = 1024 * 1024
"""Bytes of what may be asked."""

Json: TypeAlias = Mapping[str, object]


def name_of(whom: Subject) -> str:
    """
    Return the name of the object of *whom*: `user:alice`.

    A name in the API has no slash; of others than letters, digits and `-._:@` the bytes are written as `~2F`.
    """
    return quote(whom.replace("/", ":", 1), safe=":@").replace("~", "%7E").replace("%", "~")


def subject_named(name: str) -> Subject:
    """Return the subject whose object has that *name*."""
    return Subject(unquote(name.replace("~", "%")).replace(":", "/", 1))


def group_list() -> Json:
    """Return the APIGroupList: this group alone."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def group() -> Json:
    """Return the APIGroup."""
    version = {"groupVersion": API_VERSION, "version": VERSION}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version}


def resource_list() -> Json:
    """Return the APIResourceList."""
    rows = (
        ("selfquotas", "selfquota", "SelfQuota", ["create"]),
        ("quotachecks", "quotacheck", "QuotaCheck", ["create"]),
        ("quotas", "quota", "Quota", ["get", "list"]),
        ("holders", "holder", "Holder", ["list"]),
    )
    listed = [
        {"name": name, "singularName": singular, "namespaced": False, "kind": kind, "verbs": verbs}
        for name, singular, kind, verbs in rows
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": listed}


def openapi_v2() -> Json:
    """Return a schema that says nothing: API servers log an error every minute where there is none."""
    return {"swagger": "2.0", "info": {"title": GROUP, "version": VERSION}, "paths": {}}


def openapi_v3() -> Json:
    """Return the list of schemas: there are none."""
    return {"paths": {}}


def self_quota(user: str, namespace: str, quota: Quota, holders: Iterable[Holder], exemption: Exemption | None) -> Json:
    """Return a SelfQuota, answered."""
    return {
        "apiVersion": API_VERSION,
        "kind": "SelfQuota",
        "metadata": {"creationTimestamp": None},
        "spec": {"namespace": namespace} if namespace else {},
        "status": {
            "user": user,
            **({"exempt": str(exemption)} if exemption else {}),
            **_rows(quota),
            "holders": [_holding(each) for each in holders],
        },
    }


def quota_check(user: str, namespace: str, status: Json) -> Json:
    """Return a QuotaCheck, answered; the objects that it was about are not repeated."""
    return {
        "apiVersion": API_VERSION,
        "kind": "QuotaCheck",
        "metadata": {"creationTimestamp": None},
        "spec": {"namespace": namespace} if namespace else {},
        "status": {"user": user, **status},
    }


def quota_of(whom: Subject, quota: Quota) -> Json:
    """Return a Quota."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Quota",
        "metadata": {"name": name_of(whom), "creationTimestamp": None},
        "spec": {"subject": whom},
        "status": _rows(quota),
    }


def listed(kind: str, items: Iterable[Json]) -> Json:
    """Return a list of *items* of *kind*. It has no version: nothing can be watched from it on."""
    return {"apiVersion": API_VERSION, "kind": f"{kind}List", "metadata": {"resourceVersion": ""}, "items": list(items)}


def holder(each: Holder) -> Json:
    """Return a Holder."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Holder",
        "metadata": {"name": each.key.name, "creationTimestamp": _time(each.created)},
        "status": {"owner": each.owner, **_holding(each)},
    }


def _rows(quota: Quota) -> Json:
    return {
        "limits": [_standing(each) for each in quota.standings],
        "caps": [
            {
                "cap": each.limit.cap,
                "resource": each.limit.resource,
                "hard": resources.show(each.limit.resource, each.limit.hard),
                **_source(each.limit, each.rule),
            }
            for each in quota.caps
        ],
    }


def _standing(each: Standing) -> Json:
    amounts = {"used": each.used, "reserved": each.reserved}
    if each.limit is not None:
        amounts = {"hard": each.limit.hard, **amounts, "free": each.free, "over": each.over}
    selector = selector_of(each.subject)
    return {
        "subject": unscoped(each.subject),
        **({"scopes": selector} if selector else {}),
        "resource": each.resource,
        **{name: resources.show(each.resource, amount) for name, amount in amounts.items()},
        **(_source(each.limit, each.rule) if each.limit and each.rule else {}),
    }


def _source(limit: Limit, rule: Rule) -> Json:
    return {
        "mode": limit.mode.value,
        "entry": limit.entry,
        "place": limit.place,
        "rule": rule.text,
        **({"until": _written(rule.until)} if rule.until else {}),
    }


def _holding(each: Holder) -> Json:
    return {
        "resource": each.key.resource,
        "namespace": each.key.namespace,
        "name": each.key.name,
        "created": _time(each.created),
        "amounts": _amounts(each.amounts),
    }


_MAX_SHOWN = 50
"""Resources of one object: people may invent thousands of names."""


def _amounts(amounts: Amounts) -> Json:
    return {name: resources.show(name, amount) for name, amount in amounts[:_MAX_SHOWN]}


def _time(seconds: int) -> str | None:
    return _written(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
