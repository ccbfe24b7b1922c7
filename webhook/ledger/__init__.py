"""
The ledger's protocol: what is reserved for requests in flight, how replicas share it, and when a reservation ends.

Six types, from what is stored to what answers a request:

* `protocol.Ledger`: one version of the ledger's content.
* `ledger_object.LedgerObject`: the port of the object that holds it as text. Its adapter is `kube.ledger_config_map`.
* `stored_ledger.StoredLedger`: reads and swaps versions, begins a new ledger after a loss.
* `replica_view.ReplicaView`: counts a version in the usage index of this replica.
* `promise_order.PromiseOrder`: which edits of what is promised a replica has to wait for.
* `shared.SharedLedger`: decides requests in batches, each stored by one swap.

The words:

* *base*: the resource version on which an update is based; 0 for a create.
* *attempt*: one write, told apart by key, uid, base and account. A repeated call for it is the same attempt.
* *token*: the name of one reservation in the ledger. If an attempt is held again, its reservation gets a new token.
* *settled*: the watch has shown the object of a reservation above its base.
* *merged*: one reservation without a uid, for several creates of one name by one account.
* *series*: the creates of one owner in one namespace whose names differ only after the last hyphen.
* *epoch*: the life of one ledger, until it is lost.
* *turn*: the next swap, which a replica requests after it has lost several.

Everything here works on ports.
"""
