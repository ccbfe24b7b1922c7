"""Everything that speaks to the Kubernetes API, through the one client in `kube.api`."""
