//! Bringing beacon rounds on-chain.

use alloy_primitives::Address;
use alloy_sol_types::SolValue;
use assay_beacon::Client;

use crate::{Chain, ChainError, abi};

/// Most rounds verified in one transaction.
const BATCH: usize = 20;

/// Submits rounds to a beacon contract, several in one pairing check. Rounds that are there already cost little.
pub async fn submit_rounds(
    chain: &Chain,
    contract: Address,
    beacon: &Client,
    rounds: &[u64],
) -> Result<(), ChainError> {
    for batch in rounds.chunks(BATCH) {
        let mut signatures = Vec::with_capacity(batch.len());
        for round in batch {
            let round =
                beacon.wait(*round).await.map_err(|e| ChainError::Unreachable(format!("beacon: {e}")))?;
            signatures.push(round.signature_uncompressed().to_vec().into());
        }
        chain.send(contract, abi::DrandBeacon::submit_0Call { rounds: batch.to_vec(), signatures }).await?;
    }
    Ok(())
}

/// The same struct as another module's bindings name it. Both are generated from one Solidity struct, so one's encoding is
/// the other's.
///
/// # Panics
/// Never for two bindings of the same struct.
pub fn convert<A: SolValue, B: SolValue + From<<B::SolType as alloy_sol_types::SolType>::RustType>>(
    a: &A,
) -> B {
    match B::abi_decode(&a.abi_encode()) {
        Ok(b) => b,
        Err(error) => unreachable!("two bindings of one struct differ: {error}"),
    }
}
