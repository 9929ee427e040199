// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Audits } from "../contracts/src/Audits.sol";
import { Checks } from "../contracts/src/Checks.sol";
import { Deployer } from "../contracts/src/Deployer.sol";
import { Disputes } from "../contracts/src/Disputes.sol";
import { Lanes } from "../contracts/src/Lanes.sol";
import { Ledger } from "../contracts/src/Ledger.sol";
import { Pools } from "../contracts/src/Pools.sol";
import { Sampling } from "../contracts/src/Sampling.sol";
import { Staking } from "../contracts/src/Staking.sol";
import { JuryArbiter } from "../contracts/src/arbiters/JuryArbiter.sol";
import { Modules } from "../contracts/src/types/Modules.sol";

/// @title Deploys one set of modules; used by the deploy script and by every test, so tests run what is deployed.
library Deployment {
    bytes32 internal constant POOLS = "assay.pools.v1";
    bytes32 internal constant LEDGER = "assay.ledger.v1";
    bytes32 internal constant STAKING = "assay.staking.v1";
    bytes32 internal constant LANES = "assay.lanes.v1";
    bytes32 internal constant CHECKS = "assay.checks.v1";
    bytes32 internal constant DISPUTES = "assay.disputes.v1";
    bytes32 internal constant AUDITS = "assay.audits.v1";
    bytes32 internal constant SAMPLING = "assay.sampling.v1";
    bytes32 internal constant ARBITER = "assay.arbiter.jury.v1";

    /// @notice Where `sender` deploys the modules with `deployer`.
    function addresses(Deployer deployer, address sender) internal view returns (Modules memory m) {
        m.pools = deployer.addressOf(sender, POOLS);
        m.ledger = deployer.addressOf(sender, LEDGER);
        m.staking = deployer.addressOf(sender, STAKING);
        m.lanes = deployer.addressOf(sender, LANES);
        m.checks = deployer.addressOf(sender, CHECKS);
        m.disputes = deployer.addressOf(sender, DISPUTES);
        m.audits = deployer.addressOf(sender, AUDITS);
    }

    /// @notice Deploys what is not there yet.
    function run(Deployer deployer, address sender)
        internal
        returns (Modules memory m, address sampling, address arbiter)
    {
        m = addresses(deployer, sender);
        bytes memory args = abi.encode(m);
        _deploy(deployer, m.pools, POOLS, type(Pools).creationCode, "");
        _deploy(deployer, m.ledger, LEDGER, type(Ledger).creationCode, args);
        _deploy(deployer, m.staking, STAKING, type(Staking).creationCode, args);
        _deploy(deployer, m.lanes, LANES, type(Lanes).creationCode, args);
        _deploy(deployer, m.checks, CHECKS, type(Checks).creationCode, args);
        _deploy(deployer, m.disputes, DISPUTES, type(Disputes).creationCode, args);
        sampling = deployer.addressOf(sender, SAMPLING);
        _deploy(deployer, sampling, SAMPLING, type(Sampling).creationCode, abi.encode(m.pools, m.staking));
        _deploy(deployer, m.audits, AUDITS, type(Audits).creationCode, abi.encode(m, sampling));
        arbiter = deployer.addressOf(sender, ARBITER);
        _deploy(deployer, arbiter, ARBITER, type(JuryArbiter).creationCode, abi.encode(m.pools, m.staking));
    }

    function _deploy(Deployer deployer, address where, bytes32 salt, bytes memory code, bytes memory args)
        private
    {
        if (where.code.length == 0) deployer.deploy(salt, bytes.concat(code, args));
    }
}
