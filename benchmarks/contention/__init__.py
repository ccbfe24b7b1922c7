"""
Many creates against the same limits at once, on real API servers: the cost of exact limits, beside ResourceQuota, a
webhook that only allows, and no webhook. For reviews without Kubernetes see the modules one folder up.
"""
