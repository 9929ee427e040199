//! Typed calls and transactions.

use std::sync::Arc;
use std::time::Duration;

use alloy::network::{EthereumWallet, TransactionBuilder};
use alloy::providers::{DynProvider, PendingTransactionError, Provider, ProviderBuilder};
use alloy::rpc::client::ClientBuilder;
use alloy::rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Eip712Domain, SolCall, SolEvent};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::ChainError;
use crate::abi::Pools::PoolCreated;

/// How long a transaction may take to be included before the caller is told.
const INCLUSION: Duration = Duration::from_secs(60);
/// Room above the estimate: between the estimate and the inclusion other transactions may make this one dearer.
const GAS_MARGIN_PERCENT: u64 = 25;
/// Blocks that every node is expected to look through at once.
pub(crate) const PAGE: u64 = 1_000;

/// Addresses of one deployment, as `deployments/<chain id>.json` holds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// EIP-155 id.
    pub chain_id: u64,
    /// First block that can hold an event of these contracts.
    pub start_block: u64,
    /// Registry of pools.
    pub pools: Address,
    /// Holds every token; its address is part of the signing domain.
    pub ledger: Address,
    /// Seats and keys.
    pub staking: Address,
    /// Vouchers and vesting.
    pub lanes: Address,
    /// Claims.
    pub checks: Address,
    /// Disputes.
    pub disputes: Address,
    /// The jury arbiter that comes with the deployment.
    pub arbiter: Address,
    /// The drand beacon that comes with it.
    pub beacon: Address,
    /// The token that comes with it.
    pub token: Address,
}

impl Deployment {
    /// Reads a deployment file.
    pub fn load(path: &std::path::Path) -> Result<Self, ChainError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ChainError::Malformed(format!("can't read {}: {e}", path.display())))?;
        serde_json::from_str(&text).map_err(|e| ChainError::Malformed(format!("{}: {e}", path.display())))
    }

    /// The EIP-712 domain of everything signed for it.
    pub fn domain(&self) -> Eip712Domain {
        assay_protocol::domain(self.chain_id, self.ledger)
    }
}

/// A connection to one chain for one account.
#[derive(Clone)]
pub struct Chain {
    provider: DynProvider,
    account: Option<Address>,
    deployment: Arc<Deployment>,
    /// One transaction at a time gets its nonce.
    sending: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Chain {
    /// Connects to the node at `url` and checks its chain id. Without a signer the connection can only read.
    pub async fn connect(
        url: &str,
        deployment: Deployment,
        signer: Option<PrivateKeySigner>,
    ) -> Result<Self, ChainError> {
        let url = url.parse().map_err(|e| ChainError::Malformed(format!("chain URL {url}: {e}")))?;
        let client = ClientBuilder::default().http(url).with_poll_interval(Duration::from_millis(250));
        let account = signer.as_ref().map(PrivateKeySigner::address);
        let builder = ProviderBuilder::new().with_simple_nonce_management();
        let provider = match signer {
            Some(signer) => builder.wallet(EthereumWallet::from(signer)).connect_client(client).erased(),
            None => builder.connect_client(client).erased(),
        };
        let found = provider.get_chain_id().await?;
        if found != deployment.chain_id {
            return Err(ChainError::WrongChain { expected: deployment.chain_id, found });
        }
        Ok(Self { provider, account, deployment: Arc::new(deployment), sending: Arc::default() })
    }

    /// The contracts.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The account that transactions are sent from.
    pub fn account(&self) -> Option<Address> {
        self.account
    }

    /// Calls a view at the latest block.
    pub async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, ChainError> {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        let request = match self.account {
            Some(account) => request.with_from(account),
            None => request,
        };
        let bytes = self.provider.call(request).await?;
        C::abi_decode_returns(&bytes)
            .map_err(|e| ChainError::Malformed(format!("answer of {}: {e}", C::SIGNATURE)))
    }

    /// Sends a transaction and waits until it is included. What would revert is refused before it is sent.
    pub async fn send<C: SolCall>(&self, to: Address, call: C) -> Result<TransactionReceipt, ChainError> {
        let from = self.account.ok_or(ChainError::ReadOnly)?;
        let input = Bytes::from(call.abi_encode());
        let request = TransactionRequest::default().with_from(from).with_to(to).with_input(input);
        let pending = {
            let _one = self.sending.lock().await;
            let gas = self.provider.estimate_gas(request.clone()).await?;
            let request = request.with_gas_limit(gas + gas * GAS_MARGIN_PERCENT / 100);
            self.provider.send_transaction(request).await?
        };
        let hash = *pending.tx_hash();
        let receipt = match pending.with_timeout(Some(INCLUSION)).get_receipt().await {
            Ok(receipt) => receipt,
            Err(PendingTransactionError::TransportError(error)) => return Err(error.into()),
            Err(_) => return Err(ChainError::NotIncluded(hash)),
        };
        tracing::debug!(call = C::SIGNATURE, gas = receipt.gas_used, %hash, "included");
        if receipt.status() { Ok(receipt) } else { Err(ChainError::Failed(hash)) }
    }

    /// Logs of the deployment's contracts in a range of blocks, both ends included.
    pub(crate) async fn logs(&self, from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        let d = &self.deployment;
        let contracts =
            vec![d.pools, d.ledger, d.staking, d.lanes, d.checks, d.disputes, d.arbiter, d.beacon];
        Ok(self.provider.get_logs(&Filter::new().address(contracts).from_block(from).to_block(to)).await?)
    }

    /// The event of a pool's creation: where its model is and the file's sha256, neither of which the contract checks or
    /// keeps. `None` if this deployment has no such pool.
    ///
    /// # Errors
    /// The node can't be reached, or refuses even a range of a thousand blocks.
    pub async fn pool_created(&self, pool: B256) -> Result<Option<PoolCreated>, ChainError> {
        let filter = Filter::new()
            .address(self.deployment.pools)
            .event_signature(PoolCreated::SIGNATURE_HASH)
            .topic1(pool);
        let head = self.provider.get_block_number().await?;
        let mut from = self.deployment.start_block;
        let mut width = head.saturating_sub(from).saturating_add(1);
        while from <= head {
            let to = head.min(from.saturating_add(width - 1));
            let range = filter.clone().from_block(from).to_block(to);
            match self.provider.get_logs(&range).await.map_err(ChainError::from) {
                Ok(logs) => match logs.first() {
                    Some(log) => {
                        return PoolCreated::decode_log_data(log.data()).map(Some).map_err(malformed);
                    }
                    None => from = to + 1,
                },
                // Many nodes bound a range, each in words of its own: ask for less.
                Err(ChainError::Reverted { .. }) if width > PAGE => width = (width / 2).max(PAGE),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Number and time of the latest block.
    pub async fn head(&self) -> Result<(u64, u64), ChainError> {
        let block = self
            .provider
            .get_block_by_number(alloy::eips::BlockNumberOrTag::Latest)
            .await?
            .ok_or_else(|| ChainError::Unreachable("no latest block".into()))?;
        Ok((block.header.number, block.header.timestamp))
    }

    /// Hash of a block; `None` if the node does not have it.
    pub(crate) async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        Ok(self.provider.get_block_by_number(number.into()).await?.map(|b| b.header.hash))
    }

    /// Wei of an account.
    pub async fn native_balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.provider.get_balance(account).await?)
    }

    /// Sends native currency, for gas.
    pub async fn transfer(&self, to: Address, amount: U256) -> Result<(), ChainError> {
        let from = self.account.ok_or(ChainError::ReadOnly)?;
        let request = TransactionRequest::default().with_from(from).with_to(to).with_value(amount);
        let pending = {
            let _one = self.sending.lock().await;
            self.provider.send_transaction(request).await?
        };
        let hash = *pending.tx_hash();
        pending
            .with_timeout(Some(INCLUSION))
            .get_receipt()
            .await
            .map(|_| ())
            .map_err(|_| ChainError::NotIncluded(hash))
    }
}

fn malformed(error: alloy_sol_types::Error) -> ChainError {
    ChainError::Malformed(format!("event of a pool's creation: {error}"))
}

/// Signs a message for a deployment. The contracts and `assay_protocol::verify_signature` accept exactly this form.
pub fn sign<T: assay_protocol::SolStruct>(
    signer: &PrivateKeySigner,
    domain: &Eip712Domain,
    message: &T,
) -> Result<Bytes, ChainError> {
    use alloy::signers::SignerSync;
    let signature = signer
        .sign_hash_sync(&message.eip712_signing_hash(domain))
        .map_err(|e| ChainError::Malformed(format!("signing failed: {e}")))?;
    Ok(Bytes::from(signature.as_bytes()))
}

#[cfg(test)]
mod tests {
    use alloy::transports::mock::Asserter;

    use super::*;

    const START: u64 = 10;
    const POOL: B256 = B256::repeat_byte(7);

    /// A connection that gets the answers of `node` in their order.
    fn chain(node: &Asserter) -> Chain {
        let a = Address::ZERO;
        let deployment = Deployment {
            chain_id: 1,
            start_block: START,
            pools: a,
            ledger: a,
            staking: a,
            lanes: a,
            checks: a,
            disputes: a,
            arbiter: a,
            beacon: a,
            token: a,
        };
        let provider = ProviderBuilder::new().connect_mocked_client(node.clone()).erased();
        Chain { provider, account: None, deployment: Arc::new(deployment), sending: Arc::default() }
    }

    fn created() -> (PoolCreated, Log) {
        let params = assay_protocol::PoolParams::default();
        let event = PoolCreated {
            pool: POOL,
            params: crate::convert(&params),
            uri: "https://models.example/a.gguf".into(),
            sha256OfModel: B256::repeat_byte(8),
        };
        let inner = alloy_primitives::Log { address: Address::ZERO, data: event.encode_log_data() };
        (event, Log { inner, ..Log::default() })
    }

    #[tokio::test]
    async fn a_pools_creation_is_found_also_where_the_node_bounds_the_range() {
        let (event, log) = created();
        let node = Asserter::new();
        node.push_success(&(START + 3 * PAGE));
        // 3,001 blocks and 1,500 are refused; the event is in the second thousand.
        node.push_failure_msg("range is too large");
        node.push_failure_msg("range is too large");
        node.push_success::<[Log; 0]>(&[]);
        node.push_success(&[log]);
        let found = chain(&node).pool_created(POOL).await.unwrap();
        assert_eq!(found, Some(event));
        assert!(node.read_q().is_empty());
    }

    #[tokio::test]
    async fn no_pool_and_a_node_that_refuses_are_told_apart() {
        let node = Asserter::new();
        node.push_success(&START);
        node.push_success::<[Log; 0]>(&[]);
        assert_eq!(chain(&node).pool_created(POOL).await.unwrap(), None);
        // A chain that has not come to the deployment's first block.
        node.push_success(&(START - 1));
        assert_eq!(chain(&node).pool_created(POOL).await.unwrap(), None);
        node.push_success(&(START + PAGE - 1));
        node.push_failure_msg("no logs here");
        let refused = chain(&node).pool_created(POOL).await;
        assert!(matches!(refused, Err(ChainError::Reverted { .. })), "{refused:?}");
    }
}
