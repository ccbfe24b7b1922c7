"""
The objects of the API group `view.userquota.dev`, as JSON values; the names by which it addresses subjects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from webhook.quota import resources
from webhook.quota.catalogue import About, Catalogue, form_of
from webhook.quota.commitments import Commitment
from webhook.quota.coverage import Part, Using
from webhook.quota.exemption import Exemption
from webhook.quota.limits import Limit
from webhook.quota.objects import ObjectKey
from webhook.quota.resources import Amount, Amounts
from webhook.quota.subject import Subject, selector_of, unscoped
from webhook.view.allocations import Allocation, Page
from webhook.view.holders import Holder
from webhook.view.pools import CommitmentStanding, PoolRow, PoolStanding
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


def group_list(others: Iterable[Json] = ()) -> Json:
    """Return the APIGroupList: this group, and the *others* on its port."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(), *others]}


def group() -> Json:
    """Return the APIGroup."""
    version = {"groupVersion": API_VERSION, "version": VERSION}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version}


def resource_list() -> Json:
    """Return the APIResourceList."""
    rows = (
        ("selfquotas", "selfquota", False, "SelfQuota", ["create"]),
        ("selfallocations", "selfallocation", False, "SelfAllocation", ["create"]),
        ("quotachecks", "quotacheck", False, "QuotaCheck", ["create"]),
        ("quotas", "quota", False, "Quota", ["get", "list"]),
        ("holders", "holder", False, "Holder", ["list"]),
        ("allocations", "allocation", True, "Allocation", ["list"]),
        ("pools", "pool", False, "Pool", ["list"]),
        ("commitments", "commitment", False, "Commitment", ["get", "list"]),
    )
    listed = [
        {"name": name, "singularName": singular, "namespaced": is_namespaced, "kind": kind, "verbs": verbs}
        for name, singular, is_namespaced, kind, verbs in rows
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
            "holders": [_holding(each, quota.catalogue) for each in holders],
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


def holder(each: Holder, catalogue: Catalogue) -> Json:
    """Return a Holder, with amounts as *catalogue* says."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Holder",
        "metadata": {"name": each.key.name, "creationTimestamp": _time(each.created)},
        "status": {"owner": each.owner, **_holding(each, catalogue)},
    }


def allocation_list(page: Page, items: Sequence[Json]) -> Json:
    """Return an AllocationList of *items*, each made by `allocation`. The first page has the sums of the selection."""
    meta = {"resourceVersion": "", **_rest(page)}
    return {"apiVersion": API_VERSION, "kind": "AllocationList", "metadata": meta, "items": items, **_sums(page)}


def allocation(each: Allocation) -> Json:
    """Return an Allocation. Its own name begins with the resource: a pod and a claim may have one name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Allocation",
        "metadata": _allocation_meta(each),
        "status": allocated(each),
    }


def self_allocation(user: str, spec: Json, page: Page, items: Sequence[Json]) -> Json:
    """Return a SelfAllocation, answered: what objects of *user* hold. Each of *items* is made by `allocated`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "SelfAllocation",
        "metadata": {"creationTimestamp": None},
        "spec": spec,
        "status": {"user": user, "allocations": items, **_sums(page), **_rest(page)},
    }


def allocated(each: Allocation) -> Json:
    """Return what is told of an allocation."""
    return {
        "resource": each.key.resource,
        "namespace": each.key.namespace,
        "name": each.key.name,
        "uid": each.uid,
        "owner": each.owner,
        **({"otherOwners": each.other_owners} if each.other_owners else {}),
        "state": each.state.value,
        "created": _time(each.created),
        **({"tags": dict(each.tags)} if each.tags else {}),
        "committed": _amounts(each.committed, each.catalogue),
        "reserved": _amounts(each.reserved, each.catalogue),
        "chargedTo": each.charged,
    }


def allocation_table(page: Page, rows: Sequence[Json]) -> Json:
    """Return the Table that kubectl asks for to print it, of *rows* made by `table_row`. It has no place for sums."""
    columns = (
        ("Name", "the resource of the object, and its name"),
        ("Owner", "who pays for it"),
        ("State", "what is in flight"),
        ("Committed", "what the object costs"),
        ("Reserved", "what is in flight beyond that"),
        ("Created At", "since when the object exists"),
        ("Tags", "those labels of the object that the policy names"),
    )
    return {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "Table",
        "metadata": {"resourceVersion": "", **_rest(page)},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": "", "description": text, "priority": int(name == "Tags")}
            for name, text in columns
        ],
        "rows": rows,
    }


def table_row(each: Allocation) -> Json:
    """Return the row of an allocation in a Table."""
    meta = _allocation_meta(each)
    cells = [
        meta["name"],
        ",".join((each.owner, *each.other_owners)),
        each.state.value,
        _cell(each.committed, each.catalogue),
        _cell(each.reserved, each.catalogue),
        _time(each.created) or "-",
        ",".join(f"{key}={value}" for key, value in each.tags) or "-",
    ]
    return {
        "cells": cells,
        "object": {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": meta},
    }


def continuation(key: ObjectKey) -> str:
    """Return the text by which a client asks for what is behind *key*."""
    return "/".join(key)


def continued(text: str) -> ObjectKey:
    """Return the key that `continuation` has written. Raises: ValueError for another text."""
    resource, namespace, name = text.split("/")
    if not (resource and name):
        raise ValueError(text)
    return ObjectKey(resource, namespace, name)


def _rest(page: Page) -> Json:
    return {} if page.rest is None else {"continue": continuation(page.rest)}


def _sums(page: Page) -> Json:
    if page.sums is None:
        return {}
    rows = [
        {
            "resource": each.resource,
            "committed": _shown(each.resource, each.committed, page.catalogue),
            "reserved": _shown(each.resource, each.reserved, page.catalogue),
        }
        for each in page.sums
    ]
    return {"sums": rows}


def _allocation_meta(each: Allocation) -> Json:
    return {
        "name": f"{each.key.resource}:{each.key.name}",
        "namespace": each.key.namespace,
        "creationTimestamp": _time(each.created),
        **({"labels": dict(each.tags)} if each.tags else {}),
    }


def _cell(amounts: Amounts, catalogue: Catalogue) -> str:
    """Return amounts in a cell; objects by number only if there is nothing else: most are counted elsewhere, too."""
    every = _amounts(amounts, catalogue)
    shown = {name: amount for name, amount in every.items() if not name.startswith("count/")}
    return ",".join(f"{name}={amount}" for name, amount in (shown or every).items()) or "-"


def pool(each: PoolStanding) -> Json:
    """Return a Pool; its name has the zone behind a colon."""
    zone = {"zone": each.pool.zone} if each.pool.zone else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "Pool",
        "metadata": {"name": ":".join(filter(None, each.pool)), "creationTimestamp": None},
        "spec": {"nodeClass": each.pool.node_class, **zone},
        "status": {"resources": [_pool_row(row) for row in each.rows]},
    }


def _pool_row(row: PoolRow) -> Json:
    amounts = {
        "has": row.has,
        "used": row.used,
        "reserved": row.reserved,
        "promised": row.promised,
        "unused": row.unused,
        "free": None if row.has is None else row.free,
    }
    shown = {name: resources.show(row.resource, amount) for name, amount in amounts.items() if amount is not None}
    return {"resource": row.resource, **shown}


def commitment(each: CommitmentStanding) -> Json:
    """Return a Commitment; `used` is what its holder uses in its pool, all commitments there together."""
    one = each.commitment
    times = {"from": one.begins, "until": one.ends}
    return {
        "apiVersion": API_VERSION,
        "kind": "Commitment",
        "metadata": {"name": one.name, "creationTimestamp": None},
        "spec": {
            "holder": one.holder,
            "nodeClass": one.pool.node_class,
            **({"zone": one.pool.zone} if one.pool.zone else {}),
            "amounts": {name: resources.show(name, amount) for name, amount in sorted(one.amounts.items())},
            **{name: _written(moment) for name, moment in times.items() if moment is not None},
            **offered(one),
        },
        "status": _commitment_status(each),
    }


def offered(one: Commitment) -> Mapping[str, Json]:
    """Return that a commitment is offered and until when, for its spec; nothing of the token."""
    if one.offer is None:
        return {}
    return {"offer": {} if one.offer.until is None else {"until": _written(one.offer.until)}}


def _commitment_status(each: CommitmentStanding) -> Json:
    used = {name: resources.show(name, amount) for name, amount in each.used}
    return {"state": each.state.value, "used": used, "place": each.commitment.place}


def covering_commitment(each: CommitmentStanding, objects: Mapping[Using, Sequence[Part]]) -> Json:
    """Return a Commitment with those of *objects* that it covers, and how much of each."""
    name = each.commitment.name
    own = {
        one: {part.resource: resources.show(part.resource, part.amount) for part in parts if part.commitment == name}
        for one, parts in objects.items()
    }
    covered = [
        {
            "resource": one.key.resource,
            "namespace": one.key.namespace,
            "name": one.key.name,
            "uid": one.uid,
            "owner": one.owner,
            "amounts": amounts,
        }
        for one, amounts in own.items()
        if amounts
    ]
    return {**commitment(each), "status": {**_commitment_status(each), "covers": covered}}


def _rows(quota: Quota) -> Json:
    names = {each.resource for each in quota.standings} | {each.limit.resource for each in quota.caps}
    found = {name: _about(quota.catalogue[name]) for name in sorted(names & quota.catalogue.keys())}
    said = {name: about for name, about in found.items() if about}
    return {
        "limits": [_standing(each, quota.catalogue) for each in quota.standings],
        "caps": [
            {
                "cap": each.limit.cap,
                "resource": each.limit.resource,
                "hard": each.limit.shown(each.limit.hard),
                **_source(each.limit, each.rule),
            }
            for each in quota.caps
        ],
        **({"resources": said} if said else {}),
    }


def _about(about: About) -> Json:
    said = {"displayName": about.display_name, "description": about.description, "unit": about.unit}
    return {name: text for name, text in said.items() if text}


def _standing(each: Standing, catalogue: Catalogue) -> Json:
    amounts = {"used": each.used, "reserved": each.reserved}
    if each.limit is not None:
        amounts = {"hard": each.limit.hard, **amounts, "free": each.free, "over": each.over}
    if each.set_aside:
        amounts["setAside"] = each.set_aside
    selector = selector_of(each.subject)
    return {
        "subject": unscoped(each.subject),
        **({"scopes": selector} if selector else {}),
        "resource": each.resource,
        **{name: _shown(each.resource, amount, catalogue) for name, amount in amounts.items()},
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


def _shown(name: str, amount: Amount, catalogue: Catalogue) -> str:
    return resources.show(name, amount, form_of(catalogue, name))


def _holding(each: Holder, catalogue: Catalogue) -> Json:
    return {
        "resource": each.key.resource,
        "namespace": each.key.namespace,
        "name": each.key.name,
        "created": _time(each.created),
        "amounts": _amounts(each.amounts, catalogue),
    }


_MAX_SHOWN = 50
"""Resources of one object: people may invent thousands of names."""


def _amounts(amounts: Amounts, catalogue: Catalogue) -> Json:
    return {name: _shown(name, amount, catalogue) for name, amount in amounts[:_MAX_SHOWN]}


def _time(seconds: int) -> str | None:
    return _written(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
