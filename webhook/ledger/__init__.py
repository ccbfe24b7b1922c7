"""
The ledger's protocol: what is reserved for requests in flight, how replicas share it, and when a reservation ends.

Everything here works on ports; the ConfigMap that holds the shared text is `kube.ledger_config_map`.
"""
