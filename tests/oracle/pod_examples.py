"""
Pods and what Kubernetes 1.37.2 charges for them: tests compare both our own walk and Kubernetes with them.

manifest_examples has what the API server fills in first.
"""

from tests.oracle.building import Example, app, pod, resized, sidecar

GPU = {"nvidia.com/gpu": "1"}
HUGE = {"hugepages-1Gi": "1Gi"}
SEVERAL_CONDITIONS = [
    {"type": kind, "status": "True", "reason": why}
    for kind, why in (("Ready", "Infeasible"), ("PodResizePending", "Deferred"), ("PodResizePending", "Infeasible"))
]
OVERHEAD = {"cpu": "250m", "memory": "64Mi"}

EXAMPLES = {
    "app containers run together": Example(pod(app("a", cpu="500m"), app("b", cpu="250m")), {"cpu": "750m"}, {}),
    "a pod without requests is charged nothing": Example(pod(app()), {}, {}),
    "zero asked for is zero charged": Example(pod(app(cpu="0", limits={"cpu": "0"})), {"cpu": "0"}, {"cpu": "0"}),
    "init containers run one after another": Example(
        pod(app(cpu="1"), inits=(app("a", cpu="4"), app("b", cpu="2"))), {"cpu": "4"}, {}
    ),
    "an init container runs beside the sidecars before it": Example(
        pod(app(cpu="2"), inits=(sidecar(cpu="1"), app("a", cpu="3"))), {"cpu": "4"}, {}
    ),
    "an init container has ended when a later sidecar starts": Example(
        pod(app(cpu="2"), inits=(app("a", cpu="3"), sidecar(cpu="1"))), {"cpu": "3"}, {}
    ),
    "sidecars before and after an init container": Example(
        pod(app(cpu="1"), inits=(sidecar("s", cpu="1"), app("a", cpu="5"), sidecar("t", cpu="2"))), {"cpu": "6"}, {}
    ),
    "sidecars run beside the app containers": Example(
        pod(app(cpu="2"), inits=(sidecar("s", cpu="1"), app("a", cpu="1"), sidecar("t", cpu="2"))), {"cpu": "5"}, {}
    ),
    "each resource has its own peak": Example(
        pod(app(cpu="2", memory="1Gi"), inits=(app("a", cpu="1", memory="4Gi"),)), {"cpu": "2", "memory": "4Gi"}, {}
    ),
    "limits have a walk of their own": Example(
        pod(app(limits={"cpu": "1"}), inits=(sidecar(limits={"cpu": "1"}), app("a", cpu="1", limits={"cpu": "4"}))),
        {"cpu": "1"},
        {"cpu": "5"},
    ),
    "restartPolicy OnFailure makes no sidecar": Example(
        pod(app(cpu="2"), inits=(app("a", cpu="1") | {"restartPolicy": "OnFailure"},)), {"cpu": "2"}, {}
    ),
    "restartPolicy of an app container changes nothing": Example(
        pod(app(cpu="2") | {"restartPolicy": "Always"}), {"cpu": "2"}, {}
    ),
    "overhead comes on top of the peak": Example(
        pod(app(cpu="1", limits={"cpu": "2"}), inits=(app("a", cpu="4"),), overhead={"cpu": "250m"}),
        {"cpu": "4250m"},
        {"cpu": "2250m"},
    ),
    "overhead is a request of its own, but no limit": Example(
        pod(app(limits={"memory": "1Gi"}), overhead=OVERHEAD), {"cpu": "250m", "memory": "64Mi"}, {"memory": "1088Mi"}
    ),
    "overhead does not raise a limit of zero": Example(
        pod(app(limits={"cpu": "0"}), overhead={"cpu": "1"}), {"cpu": "1"}, {"cpu": "0"}
    ),
    "a pod-level request replaces the sum": Example(
        pod(app("app", GPU, cpu="500m"), resources={"requests": {"cpu": "2"}}), {"cpu": "2", "nvidia.com/gpu": "1"}, {}
    ),
    "a pod-level request replaces a larger sum too": Example(
        pod(app(cpu="4"), resources={"requests": {"cpu": "2"}}), {"cpu": "2"}, {}
    ),
    "overhead comes on top of a pod-level request and limit": Example(
        pod(app(), resources={"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}, overhead={"cpu": "100m"}),
        {"cpu": "2100m"},
        {"cpu": "3100m"},
    ),
    "pod-level hugepages replace the sum": Example(
        pod(app("app", {"hugepages-2Mi": "2Mi"}), resources={"requests": {"hugepages-2Mi": "8Mi"}}),
        {"hugepages-2Mi": "8Mi"},
        {},
    ),
    "pod-level ephemeral storage is not counted": Example(
        pod(
            app("app", {"ephemeral-storage": "1Gi"}),
            resources={"requests": {"ephemeral-storage": "5Gi", "nvidia.com/gpu": "9"}},
        ),
        {"ephemeral-storage": "1Gi"},
        {},
    ),
    "an extended resource of an init container and of an app container": Example(
        pod(app("app", GPU), inits=(app("a", {"nvidia.com/gpu": "4"}),)), {"nvidia.com/gpu": "4"}, {}
    ),
    "extended resources and hugepages have no charged limit": Example(
        pod(app("app", GPU | HUGE, limits=GPU | HUGE)),
        {"nvidia.com/gpu": "1", "hugepages-1Gi": "1Gi"},
        {},
    ),
    "ephemeral storage is charged like cpu and memory": Example(
        pod(app("app", {"ephemeral-storage": "1Gi"}, limits={"ephemeral-storage": "2Gi"})),
        {"ephemeral-storage": "1Gi"},
        {"ephemeral-storage": "2Gi"},
    ),
    "a device class asked for by name": Example(
        pod(app("app", {"deviceclass.resource.kubernetes.io/gpu.example.com": "2"})),
        {"deviceclass.resource.kubernetes.io/gpu.example.com": "2"},
        {},
    ),
    "native names are not charged": Example(
        pod(app("app", dict.fromkeys(["kubernetes.io/x", "vendor.kubernetes.io/x", "storage", "requests.cpu"], "1"))),
        {},
        {},
    ),
    "a sum keeps the format of its first part": Example(
        pod(app("a", memory="1Gi"), app("b", memory="1G"), limits={}), {"memory": "2073741824"}, {}
    ),
    "of two equal ones the format of the running containers": Example(
        pod(app(memory="1024Mi"), inits=(app("a", memory="1073741824"),)), {"memory": "1Gi"}, {}
    ),
    "null is as good as absent": Example(
        pod(
            {"name": "a", "resources": None, "restartPolicy": None},
            {"name": "b", "resources": {"requests": None, "limits": None}},
            {"name": "c", "resources": {"requests": {"cpu": None}}},
        )
        | {"status": {"phase": None, "conditions": None, "containerStatuses": None, "initContainerStatuses": None}},
        {"cpu": "0"},
        {},
    ),
    "numbers need no quotes": Example(
        pod(
            {"name": "a", "resources": {"requests": {"cpu": 1.5, "memory": 1024}, "limits": {"cpu": 2, "memory": 1e10}}}
        ),
        {"cpu": "1500m", "memory": "1024"},
        {"cpu": "2", "memory": "10G"},
    ),
    "spaces around a quantity are trimmed": Example(pod(app(cpu=" 1\u00a0")), {"cpu": "1"}, {}),
    # a resize that is under way: the largest of what is asked for, allocated and used
    "asked 4, allocated 2, used 2": Example(
        pod(app(cpu="4", limits={"cpu": "4"}), status=resized(allocated="2", actual="2")), {"cpu": "4"}, {"cpu": "4"}
    ),
    "asked 1, allocated 2, used 2": Example(
        pod(app(cpu="1", limits={"cpu": "1"}), status=resized(allocated="2", actual="2")), {"cpu": "2"}, {"cpu": "2"}
    ),
    "asked 1, allocated 1, used 2": Example(
        pod(app(cpu="1", limits={"cpu": "1"}), status=resized(allocated="1", actual="2")), {"cpu": "2"}, {"cpu": "2"}
    ),
    "asked 1, allocated 3, nothing said about use": Example(
        pod(app(cpu="1", limits={"cpu": "1"}), status=resized(allocated="3")), {"cpu": "3"}, {"cpu": "1"}
    ),
    "asked 1, nothing said about allocation, used 3": Example(
        pod(app(cpu="1", limits={"cpu": "1"}), status=resized(actual="3")), {"cpu": "3"}, {"cpu": "3"}
    ),
    "asked 64, which is infeasible, used 2": Example(
        pod(app(cpu="64", limits={"cpu": "64"}), status=resized(allocated="2", actual="2", why="Infeasible")),
        {"cpu": "2"},
        {"cpu": "2"},
    ),
    "asked 64, which is infeasible, allocated 1, used 2": Example(
        pod(app(cpu="64", limits={"cpu": "64"}), status=resized(allocated="1", actual="2", why="Infeasible")),
        {"cpu": "2"},
        {"cpu": "2"},
    ),
    "asked 64, which is infeasible, and nothing else is said": Example(
        pod(app(cpu="64", limits={"cpu": "64"}), status=resized(why="Infeasible")), {}, {}
    ),
    "asked 64, which is infeasible, allocated 3, nothing said about use": Example(
        pod(app(cpu="64", limits={"cpu": "64"}), status=resized(allocated="3", why="Infeasible")), {"cpu": "3"}, {}
    ),
    "asked 8, which is deferred, used 2": Example(
        pod(app(cpu="8", limits={"cpu": "8"}), status=resized(allocated="2", actual="2", why="Deferred")),
        {"cpu": "8"},
        {"cpu": "8"},
    ),
    "the first condition of that type decides": Example(
        pod(app(cpu="8"), status=resized(allocated="2", actual="2") | {"conditions": SEVERAL_CONDITIONS}),
        {"cpu": "8"},
        {"cpu": "2"},
    ),
    "a sidecar is resized like an app container": Example(
        pod(
            app(cpu="1"),
            inits=(sidecar(cpu="1"),),
            status=resized(name="sidecar", where="initContainerStatuses", allocated="3"),
        ),
        {"cpu": "4"},
        {},
    ),
    "the status of a plain init container counts too": Example(
        pod(
            app(cpu="1"),
            inits=(app("a", cpu="1"),),
            status=resized(name="a", where="initContainerStatuses", allocated="9", actual="9"),
        ),
        {"cpu": "9"},
        {"cpu": "9"},
    ),
    "the status of a container that is gone is ignored": Example(
        pod(app(cpu="1"), status=resized(name="gone", allocated="3", actual="3")), {"cpu": "1"}, {}
    ),
    "a status may stand in the wrong list": Example(
        pod(app(cpu="1"), status=resized(where="initContainerStatuses", allocated="3")), {"cpu": "3"}, {}
    ),
    "of two statuses of one name the first counts, app containers before init containers": Example(
        pod(
            app(cpu="1"),
            status={
                "initContainerStatuses": [{"name": "app", "allocatedResources": {"cpu": "9"}}],
                "containerStatuses": [
                    {"name": "app", "allocatedResources": {"cpu": "3"}},
                    {"name": "app", "allocatedResources": {"cpu": "5"}},
                ],
            },
        ),
        {"cpu": "3"},
        {},
    ),
    "one container's status does not hide another's request": Example(
        pod(app("a", cpu="1"), app("b", cpu="2"), status=resized(name="a", allocated="2", actual="2")),
        {"cpu": "4"},
        {"cpu": "2"},
    ),
    "what one container uses is added to what another asks for": Example(
        pod(
            app("a", cpu="1", limits={"cpu": "1"}),
            app("b", cpu="2", limits={"cpu": "2"}),
            status=resized(name="a", actual="3"),
        ),
        {"cpu": "5"},
        {"cpu": "5"},
    ),
    "an empty list of what is used counts as nothing": Example(
        pod(
            app("a", cpu="1", limits={"cpu": "1"}),
            app("b", cpu="1", limits={"cpu": "1"}),
            status={
                "containerStatuses": [
                    {"name": "a", "resources": {"requests": {}, "limits": {}}},
                    {"name": "b", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}},
                ]
            },
        ),
        {"cpu": "2"},
        {"cpu": "2"},
    ),
    "a list of what is used that is absent is taken from the spec": Example(
        pod(
            app("a", cpu="1", limits={"cpu": "1"}),
            app("b", cpu="1", limits={"cpu": "1"}),
            status={
                "containerStatuses": [
                    {"name": "a", "resources": {"requests": {"cpu": "1"}}},
                    {"name": "b", "resources": {"limits": {"cpu": "2"}}},
                ]
            },
        ),
        {"cpu": "2"},
        {"cpu": "3"},
    ),
    "of what is allocated an empty list counts as nothing": Example(
        pod(
            app("a", cpu="1"),
            app("b", cpu="1"),
            status={
                "containerStatuses": [
                    {"name": "a", "allocatedResources": {}, "resources": None},
                    {"name": "b", "allocatedResources": {"cpu": "2"}},
                ]
            },
        ),
        {"cpu": "2"},
        {},
    ),
    "a limit that is in use counts without a request": Example(
        pod(
            app(limits={"cpu": "1"}),
            status={"containerStatuses": [{"name": "app", "resources": {"limits": {"cpu": "2"}}}]},
        ),
        {},
        {"cpu": "2"},
    ),
    "what is used may have a resource that was not asked for": Example(
        pod(
            app(cpu="1"), status={"containerStatuses": [{"name": "app", "resources": {"requests": {"memory": "1Gi"}}}]}
        ),
        {"cpu": "1", "memory": "1Gi"},
        {},
    ),
    "the status of the pod as a whole is not read": Example(
        pod(app(cpu="1"), status=resized(resources={"requests": {"cpu": "9"}}, allocatedResources={"cpu": "9"})),
        {"cpu": "1"},
        {},
    ),
    "a pod-level request replaces what is allocated": Example(
        pod(app(cpu="1"), resources={"requests": {"cpu": "2"}}, status=resized(allocated="9")), {"cpu": "2"}, {}
    ),
    "an ephemeral container costs nothing": Example(
        pod(app(cpu="1"), ephemeralContainers=[app("debug", cpu="4")]),
        {"cpu": "1"},
        {},
    ),
    **{
        f"in phase {phase!r}": Example(pod(app(cpu="1"), status={"phase": phase}), {"cpu": "1"}, {})
        for phase in ("Pending", "Running", "Unknown", "")
    },
}
