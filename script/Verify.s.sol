// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { console } from "forge-std/console.sol";
import { Deployer } from "../contracts/src/Deployer.sol";
import { ChainScript } from "./ChainScript.sol";

/// @title Compares what a deployment's file names with what these sources compile to. Needs no explorer and no key.
/// @dev An address made by CREATE3 says who deployed there, not what. So this deploys the same contracts as the same account on
/// the script's own empty chain, which gives the same addresses and the same immutables, and asks ASSAY_RPC_URL for its code and for
/// the hashes of init code that the deployer has kept.
contract Verify is ChainScript {
    error ChainNotEmpty(string remedy);
    error AddressDiffers(string name, address inFile, address derived);
    error CodeDiffers(string name, address where);
    /// @notice The code is of these sources, but it was deployed by another constructor, which may have written any storage.
    error InitCodeDiffers(string name, address where);

    string private _rpc;

    function run() external {
        _rpc = vm.envString(_set("ASSAY_RPC_URL", "JSON-RPC of the chain to look at"));
        // The tokens' signing domain, the file's name and the presets depend on it.
        vm.chainId(vm.parseUint(vm.toString(vm.rpc(_rpc, "eth_chainId", "[]"))));
        string memory file = _readDeployment();
        Drand memory d = drand();
        address account = vm.parseJsonAddress(file, ".account");

        require(_deployerAddress().code.length == 0, ChainNotEmpty("leave --rpc-url out"));
        vm.startPrank(account);
        _deployDeployer();
        Contracts memory c = _addresses(account, d, address(0));
        _deployMissing(c, d);
        vm.stopPrank();

        _same("deployer", _deployerAddress());
        _same(file, "pools", c.modules.pools);
        _same(file, "ledger", c.modules.ledger);
        _same(file, "staking", c.modules.staking);
        _same(file, "lanes", c.modules.lanes);
        _same(file, "checks", c.modules.checks);
        _same(file, "disputes", c.modules.disputes);
        _same(file, "audits", c.modules.audits);
        _same(file, "sampling", c.sampling);
        _same(file, "arbiter", c.arbiter);
        _same(file, "beacon", c.beacon);
        address token = vm.parseJsonAddress(file, ".token");
        if (token == c.token) _deployed("token", token);
        else console.log("token", token, "is not of this deployment: look at it yourself");
    }

    function _same(string memory file, string memory name, address derived) private {
        address inFile = vm.parseJsonAddress(file, string.concat(".", name));
        require(inFile == derived, AddressDiffers(name, inFile, derived));
        _deployed(name, derived);
    }

    function _deployed(string memory name, address where) private {
        _same(name, where);
        bytes memory call = abi.encodeCall(Deployer(_deployerAddress()).initCodeHashOf, (where));
        string memory request = string.concat(
            '[{"to":"', vm.toString(_deployerAddress()), '","data":"', vm.toString(call), '"},"latest"]'
        );
        bytes memory there = vm.rpc(_rpc, "eth_call", request);
        bytes32 here = Deployer(_deployerAddress()).initCodeHashOf(where);
        require(keccak256(there) == keccak256(abi.encode(here)), InitCodeDiffers(name, where));
    }

    function _same(string memory name, address where) private {
        bytes memory code =
            vm.rpc(_rpc, "eth_getCode", string.concat('["', vm.toString(where), '","latest"]'));
        require(keccak256(code) == where.codehash, CodeDiffers(name, where));
        console.log(name, where, "is of these sources");
    }
}
