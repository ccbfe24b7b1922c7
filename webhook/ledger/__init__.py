"""
The ledger's protocol: what is reserved for requests in flight, how replicas share it, and when a reservation ends.

Eight types, from what is stored to what answers a request:

* `protocol.Ledger`: one version of the ledger's content.
* `ledger_object.LedgerObject`: the port of the object that holds it as text. Its adapter is `kube.ledger_config_map`.
* `stored_ledger.StoredLedger`: reads and swaps versions, begins a new ledger after a loss.
* `replica_view.ReplicaView`: counts a version in the usage index of this replica.
* `promise_order.PromiseOrder`: which edits of what is promised a replica has to wait for.
* `grants.Grants`: what this replica may allow without a swap, and what others may.
* `expirations.Expirations`: has the next swap let go of what is too old.
* `shared.SharedLedger`: decides requests in batches, each stored by one swap, or in memory under a grant.

The words:

* *base*: the resource version on which an update is based; 0 for a create.
* *attempt*: one write, told apart by key, uid, base and account. A repeated call for it is the same attempt.
* *token*: the name of one reservation in the ledger. If an attempt is held again, its reservation gets a new token.
* *settled*: the watch has shown the object of a reservation above its base.
* *merged*: one reservation without a uid, for several creates of one name by one account.
* *series*: the creates of one owner in one namespace whose names differ only after the last hyphen.
* *limit key*: a subject and a resource: what the limits of one sum have in common.
* *grant*: an amount for each limit key that a replica may allow in its memory. All others count it in full.
* *flow*: requests that are charged to the same limit keys.
* *recall*: what has all replicas give back their grants of some limit keys.
* *epoch*: the life of one ledger, until it is lost.
* *turn*: the next swap, which a replica requests after it has lost several.

Everything here works on ports.
"""
