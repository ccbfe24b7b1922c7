"""
The ledger's protocol: what is reserved for requests in flight, how replicas share it, and when a reservation ends.

Six types, from what is stored to what answers a request:

* `protocol.Ledger`: one version of the ledger's content.
* `ledger_object.LedgerObject`: the port of the object that holds it as text. Its adapter is `kube.ledger_config_map`.
* `stored_ledger.StoredLedger`: reads and swaps versions, begins a new ledger after a loss.
* `replica_view.ReplicaView`: counts a version in the usage index of this replica.
* `promise_order.PromiseOrder`: which edits of what is promised a replica has to wait for.
* `shared.SharedLedger`: decides requests in batches, each stored by one swap.

The words: an *attempt* is a request of one account for one name. A *token* names one reservation in the ledger. *base*
is the version of an object on which a request builds, and a reservation is *settled* once the watch has shown its
object at a later one. A *series* is the creates of one name by one account. An *epoch* is the life of one ledger, until
it is lost. A *turn* is what a replica asks for whose swaps keep losing.

Everything here works on ports.
"""
