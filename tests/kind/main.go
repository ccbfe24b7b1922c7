// kind itself, at the version that the documents name: the tests have it read manifests/kind/cluster.yaml.
package main

import "sigs.k8s.io/kind/cmd/kind/app"

func main() { app.Main() }
