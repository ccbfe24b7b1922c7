"""
Notebooks and Deployments with the pods of `pods` in them: a session, which is charged, and a workload, which is judged.
"""

from __future__ import annotations

from typing import Any

from benchmarks import pods
from benchmarks.claims import WITH_WIDGETS, Sort
from webhook.documents.shipped_presets import shipped
from webhook.kinds.counted import counted
from webhook.kinds.registry import Registry
from webhook.kinds.session_kind import SessionEvaluator, session_kind
from webhook.kinds.workloads import WORKLOADS

_PRESET = shipped("kubeflow-notebook")
_PLAIN = counted(_PRESET.resource, "kubeflow.org/v1", "Notebook")
_EVALUATOR = SessionEvaluator(_PLAIN.count, [_PRESET], frees_stopped=False, is_session=lambda _: False)

WITH_NOTEBOOKS = Registry(*WITH_WIDGETS, session_kind(_PLAIN, _EVALUATOR, _PRESET.controllers))
"""All kinds that are compared."""

_SPECS: list[dict[str, Any]] = [each["spec"] for each in pods.variants(pods.SIZES["m"], stamped=False)]

NOTEBOOKS = Sort(WITH_NOTEBOOKS.charged[-1], "notebook", "5fa14e93", [{"template": {"spec": each}} for each in _SPECS])
[_DEPLOYMENTS] = [each for each in WORKLOADS if each.kind == "Deployment"]
DEPLOYMENTS = Sort(
    _DEPLOYMENTS,
    "web",
    "60b25fa4",
    [
        {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "notebook"}},
            "template": {"metadata": {"labels": {"app": "notebook"}}, "spec": each},
        }
        for each in _SPECS
    ],
)
