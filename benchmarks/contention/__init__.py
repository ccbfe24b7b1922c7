"""
Many creates against the same limits at once, on real API servers: what exactness costs, beside ResourceQuota, a webhook
that only allows, and no webhook. Reviews without Kubernetes around them: see the modules one folder up.
"""
