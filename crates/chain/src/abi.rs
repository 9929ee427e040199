//! The contracts' interfaces, generated from the exported artefacts.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]

macro_rules! contract {
    ($module:ident, $name:ident, $file:literal) => {
        pub mod $module {
            alloy_sol_types::sol!(
                #[derive(Debug, PartialEq, Eq)]
                $name,
                $file
            );
        }
        pub use $module::$name;
    };
}

contract!(token, AssayToken, "../../contracts/abi/AssayToken.json");
contract!(beacon, DrandBeacon, "../../contracts/abi/DrandBeacon.json");
contract!(pools, Pools, "../../contracts/abi/Pools.json");
contract!(ledger, Ledger, "../../contracts/abi/Ledger.json");
contract!(staking, Staking, "../../contracts/abi/Staking.json");
contract!(lanes, Lanes, "../../contracts/abi/Lanes.json");
contract!(checks, Checks, "../../contracts/abi/Checks.json");
contract!(disputes, Disputes, "../../contracts/abi/Disputes.json");
contract!(arbiter, JuryArbiter, "../../contracts/abi/JuryArbiter.json");
