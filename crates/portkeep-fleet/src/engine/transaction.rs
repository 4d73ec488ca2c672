use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use portkeep_fleet_core::data::Key;
use portkeep_fleet_core::engine::{Outcome, Revision, Transaction, Write};

use super::error::Failure;
use super::read::revision;
use super::{Engine, EngineError, Lease, MAX_MESSAGE, TRIES};

/// etcd takes this many compares and this many changes in a transaction.
pub const MAX_OPERATIONS: usize = 128;

impl Engine {
    /// Applies a transaction. If the answer is lost, the outcome is unknown.
    ///
    /// # Errors
    ///
    /// If it certainly did not happen, and why: etcd was not reached, or refuses it.
    pub async fn transact(&self, transaction: &Transaction) -> Result<Outcome, EngineError> {
        self.apply(transaction, |_| None).await
    }

    /// Applies a transaction whose keys go with a lease.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    pub async fn transact_with(
        &self,
        transaction: &Transaction,
        lease: &Lease,
    ) -> Result<Outcome, EngineError> {
        self.apply(transaction, |_| Some(lease.id())).await
    }

    /// Applies a transaction of which holds go with a lease, and all else stays.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    pub async fn transact_holding(
        &self,
        transaction: &Transaction,
        lease: &Lease,
    ) -> Result<Outcome, EngineError> {
        let of_hold = |key: &Key| matches!(key, Key::Hold(_)).then(|| lease.id());
        self.apply(transaction, of_hold).await
    }

    async fn apply(
        &self,
        transaction: &Transaction,
        lease: impl Fn(&Key) -> Option<i64>,
    ) -> Result<Outcome, EngineError> {
        let largest = transaction.compares.len().max(transaction.writes.len());
        if largest > MAX_OPERATIONS {
            let text = format!("a transaction of {largest} operations, more than {MAX_OPERATIONS}");
            return Err(EngineError::Refused(text));
        }
        let keys: Vec<Key> = transaction
            .compares
            .iter()
            .map(|compare| compare.key.clone())
            .collect();
        let txn = self.txn(transaction, lease);
        for tries in 1.. {
            self.reach().await?;
            let answer = self.once(|client| {
                let txn = txn.clone();
                async move {
                    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
                    kv.txn(txn).await
                }
            });
            match answer.await {
                Ok(answer) => {
                    self.heard(answer.header());
                    if !answer.succeeded() {
                        return Ok(Outcome::Differs(self.reads(&keys, &answer.op_responses())?));
                    }
                    let at = answer.header().map_or(0, |header| header.revision());
                    let written = transaction.writes.iter();
                    let written = written.map(|write| (write.key().clone(), revision(at)));
                    return Ok(Outcome::Done(written.collect()));
                }
                Err(Failure::Again(_)) if tries < TRIES => self.rest().await,
                Err(Failure::Unknown(_)) => return Ok(Outcome::Unknown),
                Err(failure) => return Err(failure.error()),
            }
        }
        Ok(Outcome::Unknown)
    }

    /// Makes sure of a connection by a read, so that a failure before it is no unknown outcome.
    async fn reach(&self) -> Result<(), EngineError> {
        if !self.inner.connection.get().await?.is_new {
            return Ok(());
        }
        self.connect().await
    }

    fn txn(&self, transaction: &Transaction, lease: impl Fn(&Key) -> Option<i64>) -> Txn {
        let compares: Vec<Compare> = transaction
            .compares
            .iter()
            .map(|compare| {
                // An absent key has modification revision 0.
                let Revision(expected) = compare.revision.unwrap_or(Revision(0));
                let expected = i64::try_from(expected).unwrap_or(i64::MAX);
                Compare::mod_revision(self.path(&compare.key), CompareOp::Equal, expected)
            })
            .collect();
        let reads: Vec<TxnOp> = transaction
            .compares
            .iter()
            .map(|compare| TxnOp::get(self.path(&compare.key), None))
            .collect();
        let writes: Vec<TxnOp> = transaction
            .writes
            .iter()
            .map(|write| match write {
                Write::Put(key, value) => {
                    let options = lease(key).map(|lease| PutOptions::new().with_lease(lease));
                    TxnOp::put(self.path(key), value.encode(), options)
                }
                Write::Delete(key) => TxnOp::delete(self.path(key), None),
            })
            .collect();
        Txn::new().when(compares).and_then(writes).or_else(reads)
    }
}
