"""
In which fields a webhook configuration differs from the manifest of this version.

Pure. What administrators may choose is no difference: further exempt namespaces, and a URL in the place of the Service.
Nor are the caBundle, which is for ``bundles``, the webhooks that userquota adds for counted kinds and for edits, and
fields that this version does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from webhook.registration import counted_rules, edit_rules
from webhook.registration.exemptions import NAME_LABEL
from webhook.registration.live import LiveWebhook
from webhook.registration.manifest import WebhookManifest

_ADDED_BY_US: Final = counted_rules.NAMES | {edit_rules.NAME}
_MOST_SHOWN: Final = 80

_DEFAULTS: Final[Mapping[str, Any]] = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "reinvocationPolicy": "Never",
    "timeoutSeconds": 10,
    "sideEffects": None,
    "admissionReviewVersions": None,
}
"""What the API server writes where a field is left out. Source: admissionregistration/v1 defaults.go."""

_RULE_DEFAULTS: Final[Mapping[str, Any]] = {
    "operations": None,
    "apiGroups": None,
    "apiVersions": None,
    "resources": None,
    "scope": "*",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One field of a *webhook* that is not as the manifest has it.

    *field* is a path in the webhook, such as ``rules[0].resources``; empty for the webhook as a whole, which is missing
    where *found* is None, and none of this version where *wanted* is None. A field that is absent has None as well.
    """

    webhook: str
    field: str
    wanted: object
    found: object

    @property
    def is_missing(self) -> bool:
        """Whether the whole webhook is missing."""
        return not self.field and self.found is None

    @property
    def is_foreign(self) -> bool:
        """Whether this version has no such webhook: another version may have left it, or others have added it."""
        return not self.field and self.wanted is None

    def __str__(self) -> str:
        """Return it in words, of long values the beginning."""
        if self.is_missing:
            return f"{self.webhook} is missing"
        if self.is_foreign:
            return f"{self.webhook} is no webhook of this version"
        return f"{self.webhook}: {self.field} is {_shown(self.found)}, not {_shown(self.wanted)}"


def differences(manifest: WebhookManifest, live: Mapping[str, LiveWebhook]) -> Sequence[Difference]:
    """
    Return in what *live*, webhooks by name as the API server has them, differ from those of *manifest*.

    They come in the order of the manifest; webhooks that it does not have come last. See ``installed_in`` where
    userquota has another namespace than in the manifests.
    """
    found: list[Difference] = []
    for wanted in manifest.body["webhooks"]:
        name = wanted["name"]
        if name in live:
            found += _of_webhook(name, wanted, live[name].body)
        else:
            found.append(Difference(name, "", wanted, None))
    foreign = sorted(live.keys() - manifest.paths.keys() - _ADDED_BY_US)
    return (*found, *(Difference(name, "", None, live[name].body) for name in foreign))


def installed_in(manifest: WebhookManifest, namespace: str) -> WebhookManifest:
    """Return *manifest* for a userquota in *namespace*, which is that of the Service and exempt."""
    webhooks = manifest.body["webhooks"]
    names = {item["clientConfig"]["service"]["namespace"] for item in webhooks} - {namespace}
    if not names:
        return manifest
    moved = [
        {
            **item,
            "clientConfig": {"service": {**item["clientConfig"]["service"], "namespace": namespace}},
            "namespaceSelector": _moved(item["namespaceSelector"], names, namespace),
        }
        for item in webhooks
    ]
    return replace(manifest, body={**manifest.body, "webhooks": moved})


def with_exemptions_of(wanted: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """
    Return the namespaceSelector *wanted*, with the further namespaces that *found* exempts.

    Those are of an administrator: what nodes need to start may be among them.
    """
    exempt = _selected(found or {}).exempt
    if wanted is None or not exempt:
        return wanted
    expressions = [
        {**each, "values": [*each["values"], *sorted(exempt - set(each["values"]))]} if _is_exemption(each) else each
        for each in wanted.get("matchExpressions") or ()
    ]
    return {**wanted, "matchExpressions": expressions}


def _moved(selector: Mapping[str, Any], old: set[str], new: str) -> Mapping[str, Any]:
    expressions = [
        {**each, "values": list(dict.fromkeys(new if value in old else value for value in each["values"]))}
        for each in selector["matchExpressions"]
    ]
    return {**selector, "matchExpressions": expressions}


def _of_webhook(name: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _of_client_config(name, wanted["clientConfig"], found.get("clientConfig") or {})
    for field in _DEFAULTS:
        # Only mutating webhooks have a reinvocationPolicy; both sides get the default otherwise.
        yield from _of_value(name, field, _value(wanted, field, _DEFAULTS), _value(found, field, _DEFAULTS))
    for field, accepts in (("namespaceSelector", _exempts_at_least), ("objectSelector", _Selected.__eq__)):
        left, right = wanted.get(field) or {}, found.get(field) or {}
        if not accepts(_selected(left), _selected(right)):
            yield Difference(name, field, left, right)
    yield from _of_rules(name, wanted.get("rules") or (), found.get("rules") or ())
    yield from _of_conditions(name, wanted.get("matchConditions") or (), found.get("matchConditions") or ())


def _of_client_config(name: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    service, path = found.get("service") or {}, wanted["service"]["path"]
    if url := found.get("url"):
        if not urlsplit(url).path.endswith(path):
            yield Difference(name, "clientConfig.url", f"https://HOST:PORT{path}", url)
        return
    for field, default in (("name", None), ("namespace", None), ("path", None), ("port", 443)):
        left = wanted["service"].get(field) or default
        yield from _of_value(name, f"clientConfig.service.{field}", left, service.get(field) or default)


def _of_rules(
    name: str, wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    if _matched(wanted) == _matched(found):
        return
    if len(wanted) != len(found):
        yield Difference(name, "rules", wanted, found)
        return
    for index, (left, right) in enumerate(zip(wanted, found, strict=True)):
        for field in _RULE_DEFAULTS:
            path = f"rules[{index}].{field}"
            yield from _of_value(name, path, _value(left, field, _RULE_DEFAULTS), _value(right, field, _RULE_DEFAULTS))


def _matched(rules: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, ...]]:
    """Return each operation on each resource that *rules* name; how they are grouped and ordered does not matter."""
    return frozenset(
        (operation, group, version, resource, _value(rule, "scope", _RULE_DEFAULTS))
        for rule in rules
        for operation in rule.get("operations") or ()
        for group in rule.get("apiGroups") or ()
        for version in rule.get("apiVersions") or ()
        for resource in rule.get("resources") or ()
    )


def _of_conditions(
    name: str, wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> Iterator[Difference]:
    left, right = (
        {each.get("name", ""): each.get("expression", "").strip() for each in conditions}
        for conditions in (wanted, found)
    )
    for condition in {**left, **right}:
        yield from _of_value(
            name, f"matchConditions[{condition}].expression", left.get(condition), right.get(condition)
        )


@dataclass(frozen=True, slots=True)
class _Selected:
    """A label selector whose order does not matter: names that it exempts, and all else that it asks for."""

    exempt: frozenset[str]
    others: frozenset[tuple[str, str, frozenset[str]]]


def _selected(selector: Mapping[str, Any]) -> _Selected:
    labels = [(key, "In", frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()]
    expressions = [
        (each.get("key", ""), each.get("operator", ""), frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    of_names = [values for key, operator, values in expressions if (key, operator) == (NAME_LABEL, "NotIn")]
    others = [each for each in expressions if each[:2] != (NAME_LABEL, "NotIn")]
    return _Selected(frozenset().union(*of_names), frozenset((*labels, *others)))


def _is_exemption(expression: Mapping[str, Any]) -> bool:
    return (expression.get("key"), expression.get("operator")) == (NAME_LABEL, "NotIn")


def _exempts_at_least(wanted: _Selected, found: _Selected) -> bool:
    """Whether *found* differs only in exempting more. What asks for a namespace by name has no exemptions to add to."""
    more_are_fine = bool(wanted.exempt)
    return wanted.others == found.others and (
        wanted.exempt <= found.exempt if more_are_fine else wanted.exempt == found.exempt
    )


def _of_value(name: str, field: str, wanted: object, found: object) -> Iterator[Difference]:
    if wanted != found:
        yield Difference(name, field, wanted, found)


def _value(fields: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> Any:
    value = fields.get(name)
    return defaults[name] if value is None else value


def _shown(value: object) -> str:
    if value is None:
        return "absent"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
