"""In which fields a stored webhook configuration differs from the manifests, judged on what the API server answers."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from webhook.kube.api import KubernetesApi
from webhook.registration import manifest_files
from webhook.registration.drift import Difference, differences, installed_in
from webhook.registration.live import LiveWebhook, parse
from webhook.registration.manifest import WebhookManifest

MUTATING, VALIDATING = manifest_files.webhook_manifests()
MUTATE, VALIDATE, POLICIES = "mutate.userquota.dev", "validate.userquota.dev", "policies.userquota.dev"
MIRROR = "matchConditions[no-mirror-pod-of-a-node].expression"

Change = Callable[[dict[str, Any]], object]


def body(manifest: WebhookManifest) -> dict[str, Any]:
    return copy.deepcopy(dict(manifest.body))


def webhook(configuration: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in configuration["webhooks"] if each["name"] == name)
    return found


def condition(item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item["matchConditions"][0]
    return found


async def stored(
    api: KubernetesApi, manifest: WebhookManifest, configuration: dict[str, Any]
) -> Mapping[str, LiveWebhook]:
    """What the API server would make of *configuration*. Nothing is stored."""
    configuration["metadata"] = {"name": f"drift-{secrets.token_hex(4)}"}
    address = manifest.address.rpartition("/")[0]
    answer = await api.create(address, json.dumps(configuration).encode(), query={"dryRun": "All"})
    return parse(answer, source=str(manifest))


@pytest.mark.parametrize("manifest", [MUTATING, VALIDATING], ids=str)
async def test_what_the_api_server_makes_of_the_manifests_is_no_difference(
    api: KubernetesApi, manifest: WebhookManifest
) -> None:
    assert differences(manifest, await stored(api, manifest, body(manifest))) == ()


@pytest.mark.parametrize("namespace", ["userquota-system", "quotas"])
async def test_nor_is_another_namespace_of_userquota(api: KubernetesApi, namespace: str) -> None:
    for manifest in (MUTATING, VALIDATING):
        text = json.dumps(body(manifest)).replace("userquota-system", namespace)
        live = await stored(api, manifest, json.loads(text))
        assert differences(installed_in(manifest, namespace), live) == ()


def test_the_own_namespace_has_to_be_exempt_wherever_it_is() -> None:
    live = {each["name"]: LiveWebhook(each["name"], body=each) for each in VALIDATING.body["webhooks"]}
    found = {(each.webhook, each.field) for each in differences(installed_in(VALIDATING, "quotas"), live)}
    assert {field for _, field in found} == {"clientConfig.service.namespace", "namespaceSelector"}
    assert len(found) == 2 * len(live)


ALLOWED: dict[str, Change] = {
    "a further exempt namespace": lambda each: each["namespaceSelector"]["matchExpressions"][0]["values"].append("cni"),
    "a further exempt namespace in an expression of its own": lambda each: each["namespaceSelector"][
        "matchExpressions"
    ].append({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["cni"]}),
    "the order of exempt namespaces": lambda each: each["namespaceSelector"]["matchExpressions"][0]["values"].reverse(),
    "a URL": lambda each: each.update(
        clientConfig={"url": f"https://192.0.2.1:8443/hooks{each['clientConfig']['service']['path']}"}
    ),
    "a caBundle": lambda each: each["clientConfig"].update(caBundle="QUJD"),
    "the order of rules": lambda each: each["rules"].reverse(),
    "a rule in two": lambda each: each.update(
        rules=[
            *({**each["rules"][0], "operations": [operation]} for operation in each["rules"][0]["operations"]),
            *each["rules"][1:],
        ]
    ),
    "a line feed after an expression": lambda each: condition(each).update(
        expression=condition(each)["expression"] + "\n"
    ),
    "a default that is left out": lambda each: [each.pop(field, None) for field in ("failurePolicy", "matchPolicy")],
    "null in the place of a selector": lambda each: each.update(objectSelector=None),
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
async def test_what_administrators_may_choose_is_no_difference(api: KubernetesApi, change: Change) -> None:
    configuration = body(VALIDATING)
    change(webhook(configuration, VALIDATE))
    assert differences(VALIDATING, await stored(api, VALIDATING, configuration)) == ()


def selector(item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item["namespaceSelector"]["matchExpressions"][0]
    return found


LABELLED = {"matchLabels": {"quota": "off"}}
CHANGED: list[tuple[str, Change, list[tuple[str, object, object]]]] = [
    ("failurePolicy", lambda each: each.update(failurePolicy="Ignore"), [("failurePolicy", "Fail", "Ignore")]),
    ("matchPolicy", lambda each: each.update(matchPolicy="Exact"), [("matchPolicy", "Equivalent", "Exact")]),
    ("timeoutSeconds", lambda each: each.update(timeoutSeconds=30), [("timeoutSeconds", 5, 30)]),
    ("timeoutSeconds left out", lambda each: each.pop("timeoutSeconds"), [("timeoutSeconds", 5, 10)]),
    ("sideEffects", lambda each: each.update(sideEffects="None"), [("sideEffects", "NoneOnDryRun", "None")]),
    (
        "admissionReviewVersions",
        lambda each: each.update(admissionReviewVersions=["v1", "v1beta1"]),
        [("admissionReviewVersions", ["v1"], ["v1", "v1beta1"])],
    ),
    (
        "the Service's name",
        lambda each: each["clientConfig"]["service"].update(name="other"),
        [("clientConfig.service.name", "userquota", "other")],
    ),
    (
        "the Service's namespace",
        lambda each: each["clientConfig"]["service"].update(namespace="other"),
        [("clientConfig.service.namespace", "userquota-system", "other")],
    ),
    (
        "the Service's path",
        lambda each: each["clientConfig"]["service"].pop("path"),
        [("clientConfig.service.path", "/validate", None)],
    ),
    (
        "the Service's port",
        lambda each: each["clientConfig"]["service"].update(port=8443),
        [("clientConfig.service.port", 443, 8443)],
    ),
    (
        "a URL with another path",
        lambda each: each.update(clientConfig={"url": "https://192.0.2.1:8443/mutate"}),
        [("clientConfig.url", "https://HOST:PORT/validate", "https://192.0.2.1:8443/mutate")],
    ),
    (
        "objectSelector",
        lambda each: each.update(objectSelector=LABELLED),
        [("objectSelector", {}, LABELLED)],
    ),
    (
        "operations of a rule",
        lambda each: each["rules"][0].update(operations=["CREATE"]),
        [("rules[0].operations", ["CREATE", "UPDATE"], ["CREATE"])],
    ),
    (
        "groups of a rule",
        lambda each: each["rules"][3].update(apiGroups=["apps", "extensions"]),
        [("rules[3].apiGroups", ["apps"], ["apps", "extensions"])],
    ),
    (
        "versions of a rule",
        lambda each: each["rules"][3].update(apiVersions=["v1beta1"]),
        [("rules[3].apiVersions", ["v1"], ["v1beta1"])],
    ),
    (
        "resources of a rule",
        lambda each: each["rules"][1].update(resources=["pods/status"]),
        [("rules[1].resources", ["pods/resize"], ["pods/status"])],
    ),
    (
        "scope of a rule",
        lambda each: each["rules"][1].update(scope="*"),
        [("rules[1].scope", "Namespaced", "*")],
    ),
    (
        "the expression of a condition",
        lambda each: condition(each).update(expression="true"),
        [(MIRROR, webhook(body(VALIDATING), VALIDATE)["matchConditions"][0]["expression"], "true")],
    ),
    (
        "a further condition",
        lambda each: each["matchConditions"].append({"name": "mine", "expression": "false"}),
        [("matchConditions[mine].expression", None, "false")],
    ),
    (
        "a condition that is gone",
        lambda each: each["matchConditions"].pop(0),
        [(MIRROR, webhook(body(VALIDATING), VALIDATE)["matchConditions"][0]["expression"], None)],
    ),
]


@pytest.mark.parametrize(("change", "expected"), [each[1:] for each in CHANGED], ids=[each[0] for each in CHANGED])
async def test_every_other_field_is_named(
    api: KubernetesApi, change: Change, expected: list[tuple[str, object, object]]
) -> None:
    configuration = body(VALIDATING)
    change(webhook(configuration, VALIDATE))
    found = differences(VALIDATING, await stored(api, VALIDATING, configuration))
    assert found == tuple(Difference(VALIDATE, *each) for each in expected)


SELECTORS: list[tuple[str, str, Change]] = [
    ("an exemption that is gone", VALIDATE, lambda each: selector(each).update(values=["kube-system"])),
    ("no selector", VALIDATE, lambda each: each.pop("namespaceSelector")),
    ("a label of users", VALIDATE, lambda each: each["namespaceSelector"].update(LABELLED)),
    (
        "an expression on a label of users",
        VALIDATE,
        lambda each: each["namespaceSelector"]["matchExpressions"].append({"key": "quota", "operator": "Exists"}),
    ),
    ("the other operator", VALIDATE, lambda each: selector(each).update(operator="In")),
    ("another namespace of the policy", POLICIES, lambda each: selector(each).update(values=["other"])),
    ("two namespaces of the policy", POLICIES, lambda each: selector(each)["values"].append("other")),
    (
        "the policy's own namespace exempt",
        POLICIES,
        lambda each: each["namespaceSelector"]["matchExpressions"].append({**selector(each), "operator": "NotIn"}),
    ),
]


@pytest.mark.parametrize(("name", "change"), [each[1:] for each in SELECTORS], ids=[each[0] for each in SELECTORS])
async def test_a_selector_that_asks_for_other_namespaces_is_named(
    api: KubernetesApi, name: str, change: Change
) -> None:
    configuration = body(VALIDATING)
    change(webhook(configuration, name))
    [found] = differences(VALIDATING, await stored(api, VALIDATING, configuration))
    assert (found.webhook, found.field) == (name, "namespaceSelector")
    assert found.wanted == webhook(body(VALIDATING), name)["namespaceSelector"]
    assert found.found != found.wanted


async def test_only_mutating_webhooks_have_a_reinvocation_policy(api: KubernetesApi) -> None:
    configuration = body(MUTATING)
    webhook(configuration, MUTATE).pop("reinvocationPolicy")
    found = differences(MUTATING, await stored(api, MUTATING, configuration))
    assert found == (Difference(MUTATE, "reinvocationPolicy", "IfNeeded", "Never"),)


async def test_a_webhook_that_is_missing_and_one_of_others_are_named_and_ours_are_not(api: KubernetesApi) -> None:
    configuration = body(VALIDATING)
    first = configuration["webhooks"].pop(0)
    configuration["webhooks"] += [
        {**first, "name": name} for name in ("counts.validate.userquota.dev", "x.example.com")
    ]
    missing, foreign = differences(VALIDATING, await stored(api, VALIDATING, configuration))
    assert (str(missing), missing.is_missing, missing.is_foreign) == (f"{VALIDATE} is missing", True, False)
    assert (str(foreign), foreign.is_missing, foreign.is_foreign) == (
        "x.example.com is no webhook of this version",
        False,
        True,
    )


async def test_a_rule_more_is_named_with_all_of_them(api: KubernetesApi) -> None:
    configuration = body(VALIDATING)
    rules = webhook(configuration, VALIDATE)["rules"]
    rules.append({**rules[0], "resources": ["services"]})
    [found] = differences(VALIDATING, await stored(api, VALIDATING, configuration))
    assert (found.webhook, found.field, found.found) == (VALIDATE, "rules", rules)


@pytest.mark.parametrize("item", [{}, {"rules": None, "clientConfig": None, "matchConditions": None}], ids=str)
def test_a_webhook_without_its_fields_differs_in_all_of_them(item: dict[str, Any]) -> None:
    found = differences(MUTATING, {MUTATE: LiveWebhook(MUTATE, body={"name": MUTATE, **item})})
    assert {each.field for each in found} == {
        "clientConfig.service.name",
        "clientConfig.service.namespace",
        "clientConfig.service.path",
        "reinvocationPolicy",
        "timeoutSeconds",
        "sideEffects",
        "admissionReviewVersions",
        "namespaceSelector",
        "rules",
        *(f"matchConditions[{each['name']}].expression" for each in MUTATING.body["webhooks"][0]["matchConditions"]),
    }


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference("w", "timeoutSeconds", 5, 30), "w: timeoutSeconds is 30, not 5"),
        (Difference("w", "rules[0].operations", ["CREATE"], None), 'w: rules[0].operations is absent, not ["CREATE"]'),
        (Difference("w", "f", "x" * 99, "true"), f"w: f is true, not {'x' * 77}..."),
    ],
)
def test_a_difference_in_words(difference: Difference, words: str) -> None:
    assert str(difference) == words
