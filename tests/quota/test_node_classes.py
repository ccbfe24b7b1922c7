"""Which class a node is of, and on which a pod may run."""

from __future__ import annotations

import pytest

from webhook.quota.node_classes import ANYWHERE, NO_CLASSES, ZONE_LABEL, NodeClass, NodeClasses, NodeRequirement, Term

GPU = "nvidia.com/gpu"
CLASSES = NodeClasses(
    (
        NodeClass("h100", (("gpu", "h100"),), frozenset({GPU})),
        NodeClass("a100", (("gpu", "a100"),), frozenset({GPU})),
        NodeClass("fast", (("cpu", "fast"), ("pool", "shared"))),
        NodeClass("usual", (("pool", "shared"),), is_default=True),
    )
)


def asks(key: str, *values: str, operator: str = "In") -> NodeRequirement:
    return NodeRequirement(key, operator, values)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"gpu": "h100", "other": "x"}, "h100"),
        ({"cpu": "fast", "pool": "shared"}, "fast"),
        ({"cpu": "slow", "pool": "shared"}, "usual"),
        ({"gpu": "a100", "pool": "shared"}, "a100"),
        ({"gpu": "v100"}, ""),
        ({}, ""),
    ],
)
def test_a_node_is_of_the_first_class_whose_labels_it_has(labels: dict[str, str], name: str) -> None:
    assert CLASSES.of_node(labels) == name


ONE = (asks("gpu", "h100"),)
PODS: dict[str, tuple[tuple[Term, ...], set[str], tuple[str, ...]]] = {
    "one that requires the label": ((ONE,), set(), ("NodeClass=h100", "Zone")),
    "with a device of it": ((ONE,), {GPU}, ("NodeClass=h100", "Zone")),
    "a device alone may be any with it": (ANYWHERE, {GPU}, ("NodeClass=a100", "NodeClass=h100", "Zone")),
    "a device, and not that model": (
        ((asks("gpu", "h100", operator="NotIn"),),),
        {GPU},
        ("NodeClass=a100", "Zone"),
    ),
    "nothing at all is the default": (ANYWHERE, set(), ("NodeClass=usual", "Zone")),
    "a device that no class has": (ANYWHERE, {"amd.com/gpu"}, ("NodeClass=usual", "Zone")),
    "a label that the default does not permit": (((asks("pool", "own"),),), set(), ("NodeClass", "Zone")),
    "a label of two classes": (((asks("pool", "shared"),),), set(), ("NodeClass=fast", "NodeClass=usual", "Zone")),
    "one of two models": (((asks("gpu", "h100", "a100"),),), {GPU}, ("NodeClass=a100", "NodeClass=h100", "Zone")),
    "either of two terms": (
        ((asks("gpu", "h100"),), (asks("gpu", "a100"),)),
        {GPU},
        ("NodeClass=a100", "NodeClass=h100", "Zone"),
    ),
    "another node than any of a class": (
        ((asks("gpu", operator="DoesNotExist"),),),
        set(),
        ("NodeClass=usual", "Zone"),
    ),
    "a label that is there has any value": (
        ((asks("gpu", operator="Exists"),),),
        {GPU},
        ("NodeClass=a100", "NodeClass=h100", "Zone"),
    ),
    "in a zone": (((*ONE, asks(ZONE_LABEL, "a")),), set(), ("NodeClass=h100", "Zone=a")),
    "in one of two zones": (((*ONE, asks(ZONE_LABEL, "b", "a")),), set(), ("NodeClass=h100", "Zone=a", "Zone=b")),
    "in a zone by two conditions": (
        ((*ONE, asks(ZONE_LABEL, "a", "b"), asks(ZONE_LABEL, "b", "c")),),
        set(),
        ("NodeClass=h100", "Zone=b"),
    ),
    "in a zone by one of two terms": (((asks(ZONE_LABEL, "a"),), ONE), set(), ("NodeClass=h100", "Zone")),
    "nowhere": ((), set(), ("NodeClass", "Zone")),
}


@pytest.mark.parametrize(("terms", "devices", "found"), PODS.values(), ids=PODS.keys())
def test_a_pod_is_in_the_scope_of_each_class_where_it_may_run(
    terms: tuple[Term, ...], devices: set[str], found: tuple[str, ...]
) -> None:
    assert CLASSES.of_pod(terms, devices) == found


def test_without_classes_a_pod_is_in_no_scope_of_them() -> None:
    assert NO_CLASSES.of_pod((ONE,), {GPU}) == ()
    assert not NO_CLASSES


def test_a_class_is_told_by_what_it_says() -> None:
    assert [str(each) for each in CLASSES.classes] == [
        "gpu=h100; nvidia.com/gpu",
        "gpu=a100; nvidia.com/gpu",
        "cpu=fast,pool=shared",
        "pool=shared; default",
    ]
