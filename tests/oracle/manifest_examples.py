"""
Manifests and what Kubernetes 1.37.2 charges for the pods it stores for them, with its defaults filled in.

Container limits become requests, pod-level requests and limits follow from the containers', fractions are rounded up.
"""

from tests.oracle.building import Example, app, pod, resized, sidecar

MANIFESTS = {
    "nothing is filled in where nothing is asked for": Example(pod(app()), {}, {}),
    "a limit is a request where there is none": Example(
        pod(app(cpu="1", limits={"cpu": "2", "memory": "1Gi"})),
        {"cpu": "1", "memory": "1Gi"},
        {"cpu": "2", "memory": "1Gi"},
    ),
    "a request of zero is a request": Example(pod(app(cpu="0", limits={"cpu": "2"})), {"cpu": "0"}, {"cpu": "2"}),
    "in init containers and sidecars too": Example(
        pod(app(), inits=(sidecar(limits={"cpu": "1"}), app("a", limits={"cpu": "2"}))), {"cpu": "3"}, {"cpu": "3"}
    ),
    "with all resources": Example(
        pod(app(limits={"nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"})),
        {"nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"},
        {"ephemeral-storage": "1Gi"},
    ),
    "overhead has no limits to fill in from": Example(pod(app(), overhead={"cpu": "1"}), {"cpu": "1"}, {}),
    # what is finer than a thousandth
    "a request is rounded up before it is added": Example(
        pod(app("a", cpu="1u"), app("b", cpu="0.0001")), {"cpu": "2m"}, {}
    ),
    "a limit is rounded up, and the request that follows from it": Example(
        pod(app(limits={"memory": "0.0001Ki"})), {"memory": "103m"}, {"memory": "103m"}
    ),
    "overhead is rounded up": Example(pod(app(cpu="1"), overhead={"cpu": "1n"}), {"cpu": "1001m"}, {}),
    "pod-level amounts are rounded up": Example(
        pod(app(), resources={"requests": {"cpu": "1u"}, "limits": {"cpu": "1.0000001"}}),
        {"cpu": "1m"},
        {"cpu": "1001m"},
    ),
    "what a node reports is rounded up": Example(
        pod(app(cpu="1m", limits={"cpu": "1m"}), status=resized(allocated="1100u", actual="1500u")),
        {"cpu": "2m"},
        {"cpu": "2m"},
    ),
    # pod-level amounts
    "a pod-level limit is a pod-level request where no container asks": Example(
        pod(app(), resources={"limits": {"cpu": "2"}}), {"cpu": "2"}, {"cpu": "2"}
    ),
    "a pod-level request follows from the containers' before it follows from the limit": Example(
        pod(app(cpu="1"), inits=(sidecar(cpu="500m"),), resources={"limits": {"cpu": "4"}}),
        {"cpu": "1500m"},
        {"cpu": "4"},
    ),
    "a pod-level request follows from container limits as well": Example(
        pod(app(limits={"cpu": "1"}), resources={"limits": {"cpu": "4"}}), {"cpu": "1"}, {"cpu": "4"}
    ),
    "a pod-level request of one resource makes the other one pod-level": Example(
        pod(app(cpu="1", memory="1Gi"), resources={"requests": {"cpu": "2"}}), {"cpu": "2", "memory": "1Gi"}, {}
    ),
    "a pod-level request that is written down stays": Example(
        pod(app(cpu="1"), resources={"requests": {"cpu": "3"}, "limits": {"cpu": "4"}}), {"cpu": "3"}, {"cpu": "4"}
    ),
    "a pod-level limit follows where every container has one": Example(
        pod(app("a", limits={"cpu": "1"}), app("b", limits={"cpu": "2"}), resources={"requests": {"cpu": "2"}}),
        {"cpu": "2"},
        {"cpu": "3"},
    ),
    "a pod-level limit is never below the pod-level request": Example(
        pod(app(limits={"cpu": "1"}), resources={"requests": {"cpu": "2"}}), {"cpu": "2"}, {"cpu": "2"}
    ),
    "no pod-level limit follows where one container has none": Example(
        pod(app("a", limits={"cpu": "1"}), app("b"), resources={"requests": {"cpu": "2"}}), {"cpu": "2"}, {"cpu": "1"}
    ),
    "nor where one init container has none": Example(
        pod(app(limits={"cpu": "1"}), inits=(app("a"),), resources={"requests": {"cpu": "2"}}),
        {"cpu": "2"},
        {"cpu": "1"},
    ),
    "a pod-level limit follows for a resource that only containers ask for": Example(
        pod(app(limits={"cpu": "1", "memory": "1Gi"}), resources={"requests": {"cpu": "2"}}),
        {"cpu": "2", "memory": "1Gi"},
        {"cpu": "2", "memory": "1Gi"},
    ),
    "pod-level hugepages follow from the containers' limits": Example(
        pod(
            app(limits={"hugepages-2Mi": "4Mi"}),
            app("b", limits={"hugepages-2Mi": "2Mi"}),
            resources={"limits": {"cpu": "1"}},
        ),
        {"cpu": "1", "hugepages-2Mi": "6Mi"},
        {"cpu": "1"},
    ),
    "pod-level hugepages that are asked for get no limit from fewer": Example(
        pod(app(limits={"hugepages-2Mi": "4Mi"}), app("b"), resources={"requests": {"hugepages-2Mi": "8Mi"}}),
        {"hugepages-2Mi": "8Mi"},
        {},
    ),
    "pod-level hugepages follow from limits, whatever the containers request": Example(
        pod(app("app", {"hugepages-2Mi": "2Mi"}, limits={"hugepages-2Mi": "4Mi"}), resources={"limits": {"cpu": "1"}}),
        {"cpu": "1", "hugepages-2Mi": "4Mi"},
        {"cpu": "1"},
    ),
    "overhead comes on top of what was filled in": Example(
        pod(app(limits={"cpu": "1"}), resources={"limits": {"memory": "1Gi"}}, overhead={"cpu": "1", "memory": "1Gi"}),
        {"cpu": "2", "memory": "2Gi"},
        {"cpu": "2", "memory": "2Gi"},
    ),
    "an empty pod-level list fills in nothing": Example(
        pod(app(limits={"cpu": "1"}), app("b"), resources={"requests": {}, "limits": {}}), {"cpu": "1"}, {"cpu": "1"}
    ),
    "a pod-level resource of a kind that cannot be one fills in the others": Example(
        pod(app(limits={"cpu": "1"}), resources={"limits": {"ephemeral-storage": "1Gi"}}), {"cpu": "1"}, {"cpu": "1"}
    ),
    "an infeasible resize still fills in the pod-level request": Example(
        pod(app(cpu="5"), resources={"limits": {"cpu": "9"}}, status=resized(allocated="1", why="Infeasible")),
        {"cpu": "5"},
        {"cpu": "9"},
    ),
}
