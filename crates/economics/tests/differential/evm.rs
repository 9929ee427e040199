//! `Pools.create` as it is deployed, in an EVM.

use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_sol_types::{SolCall, SolError, SolValue, sol};
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext, MainnetEvm,
    bytecode::Bytecode,
    context::{TxEnv, result::ExecutionResult},
    database::InMemoryDB,
    handler::MainnetContext,
    primitives::hardfork::SpecId,
    state::AccountInfo,
};

use super::set::Set;

sol!(
    #[allow(clippy::too_many_arguments, missing_docs, reason = "generated")]
    Pools,
    "../../contracts/abi/Pools.json"
);

/// Answers every call with the block's number, which stands for the beacon's period: NUMBER PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
const BEACON: [u8; 7] = [0x43, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The pool was created.
    Accepted,
    /// `PoolRefused` with this number.
    Refused(u8),
    /// Anything else: a panic, a bare revert, no gas left.
    Untyped(String),
}

/// The registry in a chain of its own. Nothing that a call changes stays.
pub(crate) struct Registry {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    pools: Address,
    /// Most gas that a call took.
    pub(crate) most_gas: u64,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let context = Context::mainnet().with_db(InMemoryDB::default()).modify_cfg_chained(|config| {
            config.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
            config.disable_nonce_check = true;
        });
        let mut evm = context.build_mainnet();
        let deployment = transaction(TxKind::Create, Pools::BYTECODE.clone());
        let pools = evm.transact_commit(deployment).unwrap().created_address().unwrap();
        Self { evm, pools, most_gas: 0 }
    }

    /// What `Pools.create` does with `set`. There is a beacon at the address that it names, the zero address too.
    pub(crate) fn create(&mut self, set: &Set) -> Verdict {
        let beacon = set.params().basis.beacon;
        let code = Bytecode::new_raw(Bytes::from_static(&BEACON));
        self.evm.ctx.modify_db(|db| db.insert_account_info(beacon, AccountInfo::from_bytecode(code)));
        self.evm.ctx.modify_block(|block| block.number = alloy_primitives::U256::from(set.period()));
        let data = [Pools::createCall::SELECTOR.to_vec(), (set.params(), "", B256::ZERO).abi_encode_params()]
            .concat();
        let result = self.evm.transact(transaction(TxKind::Call(self.pools), data.into())).unwrap().result;
        self.most_gas = self.most_gas.max(result.tx_gas_used());
        match result {
            ExecutionResult::Success { .. } => Verdict::Accepted,
            ExecutionResult::Revert { output, .. } => match Pools::PoolRefused::abi_decode(&output) {
                Ok(refused) => Verdict::Refused(refused.condition),
                Err(_) => Verdict::Untyped(format!("reverts with {output}")),
            },
            ExecutionResult::Halt { reason, .. } => Verdict::Untyped(format!("halts: {reason:?}")),
        }
    }
}

fn transaction(kind: TxKind, data: Bytes) -> TxEnv {
    // Not the zero address, where a beacon may be.
    let caller = Address::repeat_byte(1);
    TxEnv { caller, kind, data, gas_limit: 16_000_000, ..TxEnv::default() }
}
