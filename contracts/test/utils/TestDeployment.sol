// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Deployment } from "../../../script/Deployment.sol";
import { Deployer } from "../../src/Deployer.sol";
import { Modules } from "../../src/types/Modules.sol";

/// @dev Deploys the modules as the deploy script does. Tests load its artefact, so that the modules' code is compiled into
/// one contract and not into every test.
contract TestDeployment {
    function run() external returns (Modules memory m, address sampling, address arbiter) {
        return Deployment.run(new Deployer(), address(this));
    }
}
