// Command controllerruntime is what most admission webhooks in Go are: controller-runtime's server and its typed decoder.
// It only allows (/validate) or adds one annotation (/mutate); it decides nothing, keeps nothing and logs nothing.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"log"
	"net/http"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

var decoder = admission.NewDecoder(scheme.Scheme)

func allow(_ context.Context, request admission.Request) admission.Response {
	var pod corev1.Pod
	if err := decoder.Decode(request, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	return admission.Allowed("")
}

// annotate is the pattern of kubebuilder's book: decode, change, marshal, and let the library find the difference.
func annotate(_ context.Context, request admission.Request) admission.Response {
	var pod corev1.Pod
	if err := decoder.Decode(request, &pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations["benchmark.userquota.dev/owner"] = request.UserInfo.Username
	changed, err := json.Marshal(&pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	certificates := flag.String("certificates", "", "folder with tls.crt and tls.key")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	server := webhook.NewServer(webhook.Options{
		Host:    "127.0.0.1",
		Port:    *port,
		CertDir: *certificates,
		TLSOpts: []func(*tls.Config){func(config *tls.Config) { config.NextProtos = []string{"http/1.1"} }},
	})
	server.Register("/validate", &webhook.Admission{Handler: admission.HandlerFunc(allow)})
	server.Register("/mutate", &webhook.Admission{Handler: admission.HandlerFunc(annotate)})
	if err := server.Start(ctrl.SetupSignalHandler()); err != nil {
		log.Fatal(err)
	}
}
