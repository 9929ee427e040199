// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Script } from "forge-std/Script.sol";
import { AssayToken } from "../contracts/src/AssayToken.sol";
import { Deployer } from "../contracts/src/Deployer.sol";
import { DrandBeacon } from "../contracts/src/DrandBeacon.sol";
import { Modules } from "../contracts/src/types/Modules.sol";
import { Deployment } from "./Deployment.sol";

/// @title Deploys Assay and writes `deployments/<chain id>.json`. Running it again deploys only what is missing.
/// ASSAY_DEPLOYMENT_FILE names another file.
/// @dev From the environment: DRAND_PUBLIC_KEY (192 bytes uncompressed), DRAND_GENESIS, DRAND_PERIOD (seconds); ASSAY_TOKEN
/// for a token that exists, else a new one whose supply goes to the sender.
contract Deploy is Script {
    bytes32 private constant DEPLOYER_SALT = "assay.deployer.v1";
    bytes32 private constant BEACON = "assay.beacon.drand.v1";
    bytes32 private constant TOKEN = "assay.token.v1";
    uint256 private constant SUPPLY = 1_000_000_000 ether;

    function run() external {
        bytes memory key = vm.envBytes("DRAND_PUBLIC_KEY");
        uint64 genesis = uint64(vm.envUint("DRAND_GENESIS"));
        uint64 period = uint64(vm.envUint("DRAND_PERIOD"));
        address token = vm.envOr("ASSAY_TOKEN", address(0));
        uint256 startBlock = _startBlock();

        vm.startBroadcast();
        address sender = msg.sender;
        address expected = vm.computeCreate2Address(DEPLOYER_SALT, keccak256(type(Deployer).creationCode));
        Deployer deployer =
            expected.code.length == 0 ? new Deployer{ salt: DEPLOYER_SALT }() : Deployer(expected);
        (Modules memory m, address sampling, address arbiter) = Deployment.run(deployer, sender);
        // One beacon a chain of rounds: its address depends on them.
        bytes32 beaconSalt = keccak256(abi.encode(BEACON, key, genesis, period));
        address beacon = deployer.addressOf(sender, beaconSalt);
        if (beacon.code.length == 0) {
            deployer.deploy(
                beaconSalt, bytes.concat(type(DrandBeacon).creationCode, abi.encode(key, genesis, period))
            );
        }
        if (token == address(0)) {
            token = deployer.addressOf(sender, TOKEN);
            if (token.code.length == 0) {
                deployer.deploy(
                    TOKEN, bytes.concat(type(AssayToken).creationCode, abi.encode(sender, SUPPLY))
                );
            }
        }
        vm.stopBroadcast();
        _write(m, arbiter, beacon, token, startBlock);
    }

    function _path() private view returns (string memory) {
        return vm.envOr(
            "ASSAY_DEPLOYMENT_FILE", string.concat("deployments/", vm.toString(block.chainid), ".json")
        );
    }

    /// @dev A deployment that is there already keeps its first block, or nodes would miss its earlier events.
    function _startBlock() private view returns (uint256) {
        if (!vm.exists(_path())) return block.number;
        string memory json = vm.readFile(_path());
        bool there = vm.parseJsonAddress(json, ".ledger").code.length != 0;
        return there ? vm.parseJsonUint(json, ".startBlock") : block.number;
    }

    function _write(Modules memory m, address arbiter, address beacon, address token, uint256 startBlock)
        private
    {
        string memory o = "deployment";
        vm.serializeUint(o, "chainId", block.chainid);
        vm.serializeUint(o, "startBlock", startBlock);
        vm.serializeAddress(o, "pools", m.pools);
        vm.serializeAddress(o, "ledger", m.ledger);
        vm.serializeAddress(o, "staking", m.staking);
        vm.serializeAddress(o, "lanes", m.lanes);
        vm.serializeAddress(o, "checks", m.checks);
        vm.serializeAddress(o, "disputes", m.disputes);
        vm.serializeAddress(o, "arbiter", arbiter);
        vm.serializeAddress(o, "beacon", beacon);
        vm.writeJson(vm.serializeAddress(o, "token", token), _path());
    }
}
