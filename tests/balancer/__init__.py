"""The Go program that stands where a Service stands in a cluster. Building it: see `tests.go_programs`."""
