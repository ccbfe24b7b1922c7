"""
LIQUID, the protocol in which the quota broker Limes talks to a service: what is told to it, and what it asks.

Values alone, without paths and without a cluster. The protocol is that of the Go
module `github.com/sapcc/go-api-declarations`, package `liquid`.
"""
