// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { CreatePool } from "../../../script/CreatePool.s.sol";
import { Deploy } from "../../../script/Deploy.s.sol";

/// @dev The script, with a file for each test.
contract DeployTo is Deploy {
    string private _file;

    constructor(string memory file) {
        _file = file;
    }

    function deploymentFile() public view override returns (string memory) {
        return _file;
    }
}

/// @dev As `DeployTo`.
contract CreatePoolOf is CreatePool {
    string private _file;

    constructor(string memory file) {
        _file = file;
    }

    function deploymentFile() public view override returns (string memory) {
        return _file;
    }
}
