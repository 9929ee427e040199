// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { VmSafe } from "forge-std/Vm.sol";
import { console } from "forge-std/console.sol";
import { Modules } from "../contracts/src/types/Modules.sol";
import { ChainScript } from "./ChainScript.sol";

/// @title Deploys Assay and writes the deployment's file. Running it again deploys only what is missing.
/// @dev ASSAY_TOKEN names a token that exists; else a new one's supply goes to the sender. See ChainScript for the rest.
contract Deploy is ChainScript {
    /// @notice The file names another deployment on this chain, by another account or of other salts; it would be lost.
    error FileOfOtherDeployment(string path, address ledger, address expected);
    error TokenMissing(address token);

    function run() external {
        deploy(drand(), vm.envOr("ASSAY_TOKEN", address(0)));
    }

    /// @param token A token that exists; 0 for the one that the file names, or for a new one.
    function deploy(Drand memory d, address token) public returns (Contracts memory c) {
        require(token == address(0) || token.code.length != 0, TokenMissing(token));
        string memory path = deploymentFile();
        string memory json = vm.exists(path) ? vm.readFile(path) : "";
        bool there = bytes(json).length != 0 && vm.parseJsonAddress(json, ".ledger").code.length != 0;
        // A deployment that is there keeps its token, and its first block, or nodes would miss its earlier events.
        if (there && token == address(0)) token = vm.parseJsonAddress(json, ".token");
        uint256 startBlock = there ? vm.parseJsonUint(json, ".startBlock") : block.number;

        vm.startBroadcast();
        (, address account,) = vm.readCallers();
        _deployDeployer();
        c = _addresses(account, d, token);
        if (there) {
            address ledger = vm.parseJsonAddress(json, ".ledger");
            require(ledger == c.modules.ledger, FileOfOtherDeployment(path, ledger, c.modules.ledger));
        }
        _deployMissing(c, d);
        vm.stopBroadcast();
        _write(c, startBlock, path);
    }

    function _write(Contracts memory c, uint256 startBlock, string memory path) private {
        string memory o = "deployment";
        Modules memory m = c.modules;
        vm.serializeUint(o, "chainId", block.chainid);
        vm.serializeUint(o, "startBlock", startBlock);
        vm.serializeAddress(o, "account", c.account);
        vm.serializeAddress(o, "pools", m.pools);
        vm.serializeAddress(o, "ledger", m.ledger);
        vm.serializeAddress(o, "staking", m.staking);
        vm.serializeAddress(o, "lanes", m.lanes);
        vm.serializeAddress(o, "checks", m.checks);
        vm.serializeAddress(o, "disputes", m.disputes);
        vm.serializeAddress(o, "audits", m.audits);
        vm.serializeAddress(o, "sampling", c.sampling);
        vm.serializeAddress(o, "arbiter", c.arbiter);
        vm.serializeAddress(o, "beacon", c.beacon);
        string memory json = vm.serializeAddress(o, "token", c.token);
        console.log(json);
        // A dry run deploys nothing, so it must not leave a file that says so.
        if (vm.isContext(VmSafe.ForgeContext.ScriptDryRun)) return;
        vm.writeJson(json, path);
        console.log("written to", path);
    }
}
