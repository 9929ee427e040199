// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Deployment } from "../../../script/Deployment.sol";
import { Deployer } from "../../src/Deployer.sol";
import { Modules } from "../../src/types/Modules.sol";

interface ILocalDeployment {
    function run() external returns (Modules memory m, address sampling, address arbiter);
}

/// @dev Deploys the modules as the deploy script does.
contract LocalDeployment is ILocalDeployment {
    function run() external returns (Modules memory m, address sampling, address arbiter) {
        return Deployment.run(new Deployer(), address(this));
    }
}
