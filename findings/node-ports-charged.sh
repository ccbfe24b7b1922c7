#!/usr/bin/env bash
# `services.nodeports` of ResourceQuota does not count the node ports that a Service takes, and they depend on its past.
#
# Kubernetes 1.37.2: its own evaluator, and the hooks of its API server that allocate node ports.
#
# ResourceQuota counts the entries of `spec.ports`. The API server hands out numbers of one range, that of
# `--service-node-port-range` (2768 of them by default):
#   * A Service that is created with TCP and UDP on the same port gets one number for both.
#   * If the second of the two is added later, or if the Service was a ClusterIP at first, each gets its own number.
#   * A LoadBalancer with `externalTrafficPolicy: Local` takes one number more, `healthCheckNodePort`, even if it wants
#     no node ports (`allocateLoadBalancerNodePorts: false`). `services.nodeports` does not count it.
# So the sum of all quotas is neither an upper nor a lower bound of what is taken of the range, and of two Services with
# the same spec one takes one number and the other takes two.
#
# Seen, charged and taken:
#   * NodePort, 53 TCP and UDP: 2 and 1; the same after UDP was added: 2 and 2; the same made of a ClusterIP: 2 and 2;
#   * LoadBalancer, 80 TCP: 1 and 1; with `Local`: 1 and 2; with `Local` and without node ports: 0 and 1.
#
# Issue 32138 asked in 2016 to count the health check ports; nothing was found on the shared numbers and quota.
#
# Exit code: 0 the behaviour is as told; else it has changed, and that is said, or Go could not build the program.
# Needs Go 1.26 or newer, and some minutes the first time.
set -euo pipefail

kubernetes=1.37.2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0

# Kubernetes names its parts by folder; outside its repository each needs the version that was published with it.
published=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
{
  printf 'module finding\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v%s\n\n' "$kubernetes"
  awk -v version="v0.${kubernetes#*.}" '$3 ~ /^\.\/staging/ { print "replace " $1 " => " $1 " " version }' "$published"
} >go.mod

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ranges "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	internal "k8s.io/kubernetes/pkg/apis/core"
	external "k8s.io/kubernetes/pkg/apis/core/v1"
	evaluators "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	"k8s.io/kubernetes/pkg/registry/core/service/ipallocator"
	"k8s.io/kubernetes/pkg/registry/core/service/portallocator"
	services "k8s.io/kubernetes/pkg/registry/core/service/storage"
)

var asTold = true

// nothingStored stands for etcd: the hooks that allocate need none.
func nothingStored(*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error),
	func() runtime.Object, func() runtime.Object, storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	return nil, func() {}, nil
}

// server returns the storage of Services, with all addresses and node ports free, and the node ports.
func server() (*services.REST, *portallocator.PortAllocator) {
	_, addresses, err := net.ParseCIDR("10.0.0.0/24")
	must(err)
	ips, err := ipallocator.NewInMemory(addresses)
	must(err)
	ports, err := portallocator.NewInMemory(*ranges.ParsePortRangeOrDie("30000-32767"))
	must(err)
	options := generic.RESTOptions{
		StorageConfig: &storagebackend.ConfigForResource{}, Decorator: nothingStored, ResourcePrefix: "services",
	}
	rest, _, _, err := services.NewREST(options, internal.IPv4Protocol,
		map[internal.IPFamily]ipallocator.Interface{internal.IPv4Protocol: ips}, ports, nil, nil, nil)
	must(err)
	return rest, ports
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func port(name string, number int32, protocol core.Protocol) core.ServicePort {
	return core.ServicePort{Name: name, Port: number, Protocol: protocol}
}

func service(kind core.ServiceType, ports ...core.ServicePort) *core.Service {
	built := &core.Service{ObjectMeta: meta.ObjectMeta{Namespace: "team", Name: "web"}}
	built.Spec = core.ServiceSpec{Type: kind, Ports: ports, Selector: map[string]string{"app": "web"}}
	return built
}

func local(built *core.Service, nodePorts bool) *core.Service {
	built.Spec.ExternalTrafficPolicy = core.ServiceExternalTrafficPolicyLocal
	built.Spec.AllocateLoadBalancerNodePorts = &nodePorts
	return built
}

func defaulted(built *core.Service) *internal.Service {
	external.SetObjectDefaults_Service(built)
	converted := &internal.Service{}
	must(external.Convert_v1_Service_To_core_Service(built, converted, nil))
	return converted
}

// show creates the first of the Services, and updates it to be the next ones.
func show(what string, charged int64, taken int, versions ...*core.Service) {
	rest, ports := server()
	ctx := context.Background()
	stored := defaulted(versions[0])
	finish, err := rest.BeginCreate(ctx, stored, &meta.CreateOptions{})
	finished(ctx, finish, err)
	for _, version := range versions[1:] {
		next := defaulted(version)
		finish, err := rest.BeginUpdate(ctx, next, stored, &meta.UpdateOptions{})
		finished(ctx, finish, err)
		stored = next
	}
	usage, err := evaluators.NewServiceEvaluator(nil).Usage(stored)
	must(err)
	quantity := usage[core.ResourceServicesNodePorts]
	numbers := ""
	for _, each := range stored.Spec.Ports {
		numbers += fmt.Sprintf(" %d/%s", each.Port, each.Protocol)
	}
	fmt.Printf("%-55s%-14s charged %s, taken %d\n", what, numbers, quantity.String(), ports.Used())
	asTold = asTold && quantity.Value() == charged && ports.Used() == taken
}

func finished(ctx context.Context, finish registry.FinishFunc, err error) {
	must(err)
	finish(ctx, true)
}

func main() {
	klog.SetLogger(klog.Logger{})
	tcp, udp := port("tcp", 53, core.ProtocolTCP), port("udp", 53, core.ProtocolUDP)
	web := port("web", 80, core.ProtocolTCP)
	show("NodePort, made at once", 2, 1, service(core.ServiceTypeNodePort, tcp, udp))
	show("NodePort, UDP added later", 2, 2,
		service(core.ServiceTypeNodePort, tcp), service(core.ServiceTypeNodePort, tcp, udp))
	show("NodePort, a ClusterIP at first", 2, 2,
		service(core.ServiceTypeClusterIP, tcp, udp), service(core.ServiceTypeNodePort, tcp, udp))
	show("LoadBalancer", 1, 1, service(core.ServiceTypeLoadBalancer, web))
	show("LoadBalancer, Local", 1, 2, local(service(core.ServiceTypeLoadBalancer, web), true))
	show("LoadBalancer, Local, without node ports", 0, 1, local(service(core.ServiceTypeLoadBalancer, web), false))
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
