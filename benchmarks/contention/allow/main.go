// Command allow is the least that an admission webhook can be: it says yes on both paths, changes nothing, knows nothing.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"path/filepath"
)

type review struct {
	Request struct {
		UID string `json:"uid"`
	} `json:"request"`
}

type response struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
}

type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

func allow(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	var asked review
	if err := json.Unmarshal(body, &asked); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	given, err := json.Marshal(answer{"admission.k8s.io/v1", "AdmissionReview", response{asked.Request.UID, true}})
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	writer.Header().Set("Content-Type", "application/json")
	_, _ = writer.Write(given)
}

func main() {
	listen := flag.String("listen", "", "where to listen, HOST:PORT")
	certificates := flag.String("certificates", "", "folder with tls.crt and tls.key")
	flag.Parse()
	http.HandleFunc("POST /mutate", allow)
	http.HandleFunc("POST /validate", allow)
	certificate := filepath.Join(*certificates, "tls.crt")
	log.Fatal(http.ListenAndServeTLS(*listen, certificate, filepath.Join(*certificates, "tls.key"), nil))
}
