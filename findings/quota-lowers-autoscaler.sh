#!/usr/bin/env bash
# A HorizontalPodAutoscaler whose pods a quota refuses asks for fewer pods under more load, and calls that low load.
#
# Kubernetes 1.37.2: its own controller, with a Deployment of 10 replicas of which 4 exist, because the rest is refused.
#
# The formula of the documentation multiplies the current replicas by load / target: 10 replicas with 15 % too much load
# should become 12. They do if all 10 pods exist. Otherwise the controller reckons with other numbers:
#   * Within the tolerance (10 % by default) it keeps what the Deployment asks for, 10.
#   * Outside the tolerance it multiplies the pods that exist and are ready, 4, and forgets the 10.
#   * With `averageValue` of an external or object metric it keeps the pods that exist, 4, within the tolerance.
# A pending pod is not treated like a refused one. For cpu it counts as idle, which may not turn growth into shrinking.
# For a metric with `value` it does not count, as if it had been refused.
#
# So the replicas of a Deployment do not tell what was wanted: a quota that is raised to 10 pods later gives 5 at first.
# By default the autoscaler shrinks 5 minutes late (`scaleDown.stabilizationWindowSeconds`), here it does so at once.
#
# Seen, with 4 pods of 10, for a load of 105, 115 and 200 % of what these 4 should have:
#   * cpu utilization: 10, 5 and 8 replicas; `value` of an external metric likewise; `averageValue`: 4, 5 and 8;
#   * the event for each of those that are less than 10: "All metrics below target";
#   * `status.currentReplicas` of the autoscaler, where `kubectl get hpa` says REPLICAS: 10.
# With 10 pods of which 6 are pending, at 200 %: 10 replicas for cpu, 8 for `value`. With 10 ready pods, at 115 %: 12.
#
# Issue 130130 reported that unready pods do not count for external metrics; nothing on refused pods was found.
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
	"os"
	"time"

	apps "k8s.io/api/apps/v1"
	scaling1 "k8s.io/api/autoscaling/v1"
	scaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scales "k8s.io/client-go/scale/fake"
	"k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const wanted, request, target = 10, 1000, 50

var asTold = true

// measured answers with what the pods use, and with one external metric, both in thousandths.
type measured struct {
	metrics.MetricsClient
	running  int
	perPod   int64
	external int64
}

func (m measured) GetResourceMetric(
	context.Context, core.ResourceName, string, labels.Selector, string,
) (metrics.PodMetricsInfo, time.Time, error) {
	used := metrics.PodMetricsInfo{}
	for number := range m.running {
		used[podName(number)] = metrics.PodMetric{Timestamp: time.Now(), Window: time.Minute, Value: m.perPod}
	}
	return used, time.Now(), nil
}

func (m measured) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	return []int64{m.external}, time.Now(), nil
}

func podName(number int) string { return fmt.Sprint("web-", number) }

func pod(number int, running bool) *core.Pod {
	started := metav1.NewTime(time.Now().Add(-time.Hour))
	built := &core.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: podName(number)}}
	built.Labels = map[string]string{"app": "web"}
	requests := core.ResourceList{core.ResourceCPU: *resource.NewMilliQuantity(request, resource.DecimalSI)}
	built.Spec.Containers = []core.Container{{Name: "web", Resources: core.ResourceRequirements{Requests: requests}}}
	built.Status.Phase = core.PodPending
	if running {
		built.Status.Phase, built.Status.StartTime = core.PodRunning, &started
		built.Status.Conditions = []core.PodCondition{
			{Type: core.PodReady, Status: core.ConditionTrue, LastTransitionTime: started},
		}
	}
	return built
}

func autoscaler(metric scaling.MetricSpec) *scaling.HorizontalPodAutoscaler {
	least, atOnce := int32(1), int32(0)
	built := &scaling.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web"}}
	built.Spec = scaling.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: scaling.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		MinReplicas:    &least,
		MaxReplicas:    20,
		Metrics:        []scaling.MetricSpec{metric},
		Behavior: &scaling.HorizontalPodAutoscalerBehavior{
			ScaleDown: &scaling.HPAScalingRules{StabilizationWindowSeconds: &atOnce},
		},
	}
	defaults.SetObjectDefaults_HorizontalPodAutoscaler(built)
	return built
}

func cpu() scaling.MetricSpec {
	utilization := int32(target)
	wished := scaling.MetricTarget{Type: scaling.UtilizationMetricType, AverageUtilization: &utilization}
	return scaling.MetricSpec{
		Type:     scaling.ResourceMetricSourceType,
		Resource: &scaling.ResourceMetricSource{Name: core.ResourceCPU, Target: wished},
	}
}

func external(wished scaling.MetricTarget) scaling.MetricSpec {
	source := &scaling.ExternalMetricSource{Metric: scaling.MetricIdentifier{Name: "load"}, Target: wished}
	return scaling.MetricSpec{Type: scaling.ExternalMetricSourceType, External: source}
}

// show runs the controller until it has judged once. Of the pods the first ones are running and ready, the rest is
// pending; load is in percent of the target.
func show(what string, metric scaling.MetricSpec, load int64, pods, running int, told int32) {
	ctx, stop := context.WithCancel(klog.NewContext(context.Background(), klog.New(nil)))
	defer stop()
	objects := []runtime.Object{autoscaler(metric)}
	for number := range pods {
		objects = append(objects, pod(number, number < running))
	}
	client := fake.NewSimpleClientset(objects...)

	replicas, scaleClient := int32(wanted), &scales.FakeScaleClient{}
	scaleClient.AddReactor("get", "*", func(testing.Action) (bool, runtime.Object, error) {
		return true, &scaling1.Scale{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web"},
			Spec:       scaling1.ScaleSpec{Replicas: wanted},
			Status:     scaling1.ScaleStatus{Replicas: int32(pods), Selector: "app=web"},
		}, nil
	})
	scaleClient.AddReactor("update", "*", func(action testing.Action) (bool, runtime.Object, error) {
		scale := action.(testing.UpdateAction).GetObject().(*scaling1.Scale)
		replicas = scale.Spec.Replicas
		return true, scale, nil
	})
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{apps.SchemeGroupVersion})
	mapper.Add(apps.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)

	values := measured{running: running, perPod: request * target / 100 * load / 100, external: 1000 * load / 100}
	if metric.External != nil && metric.External.Target.AverageValue != nil {
		values.external *= int64(pods)
	}
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	controller := podautoscaler.NewHorizontalController(ctx, client.CoreV1(), scaleClient, client.AutoscalingV2(), mapper,
		values, factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
		time.Minute, 5*time.Minute, 0.1, 5*time.Minute, 30*time.Second)
	factory.Start(ctx.Done())
	go controller.Run(ctx, 1)

	status, message := judged(ctx, client)
	fmt.Printf("%-14s load %d%%: replicas %d, currentReplicas %d, event %q\n",
		what, load, status.DesiredReplicas, status.CurrentReplicas, message)
	event := ""
	if told > wanted {
		event = fmt.Sprintf("New size: %d; reason: cpu resource utilization (percentage of request) above target", told)
	} else if told < wanted {
		event = fmt.Sprintf("New size: %d; reason: All metrics below target", told)
	}
	asTold = asTold && status.DesiredReplicas == told && status.CurrentReplicas == wanted && message == event
	asTold = asTold && replicas == told
}

// judged waits for the status that the controller writes, and for its event where it has changed the replicas.
func judged(ctx context.Context, client *fake.Clientset) (scaling.HorizontalPodAutoscalerStatus, string) {
	for range 300 {
		time.Sleep(100 * time.Millisecond)
		found, err := client.AutoscalingV2().HorizontalPodAutoscalers("team").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			panic(err)
		}
		if len(found.Status.CurrentMetrics) == 0 {
			continue
		}
		if found.Status.DesiredReplicas == wanted {
			return found.Status, ""
		}
		events, err := client.CoreV1().Events("team").List(ctx, metav1.ListOptions{})
		if err != nil {
			panic(err)
		}
		if len(events.Items) > 0 {
			return found.Status, events.Items[0].Message
		}
	}
	panic("the controller has not judged within 30 seconds")
}

func main() {
	one := resource.MustParse("1")
	value := external(scaling.MetricTarget{Type: scaling.ValueMetricType, Value: &one})
	average := external(scaling.MetricTarget{Type: scaling.AverageValueMetricType, AverageValue: &one})

	fmt.Println("10 replicas, 10 pods:")
	show("cpu", cpu(), 115, 10, 10, 12)
	fmt.Println("10 replicas, 4 pods:")
	for _, seen := range []struct {
		load                int64
		cpu, value, average int32
	}{{105, 10, 10, 4}, {115, 5, 5, 5}, {200, 8, 8, 8}} {
		show("cpu", cpu(), seen.load, 4, 4, seen.cpu)
		show("value", value, seen.load, 4, 4, seen.value)
		show("averageValue", average, seen.load, 4, 4, seen.average)
	}
	fmt.Println("10 replicas, 10 pods, 6 of them pending:")
	show("cpu", cpu(), 200, 10, 4, 10)
	show("value", value, 200, 10, 4, 8)
	if !asTold {
		fmt.Println("The behaviour has changed.")
		os.Exit(1)
	}
}
GO
go run .
