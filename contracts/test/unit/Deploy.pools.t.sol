// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { ChainScript } from "../../../script/ChainScript.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { Basis, PoolParams } from "../../src/types/PoolParams.sol";
import { CreatePool } from "../../../script/CreatePool.s.sol";
import { CreatePoolOf, DeployTo } from "../shipped/Scripts.sol";
import { Shipped } from "../utils/Shipped.sol";

contract DeployPoolsTest is Test {
    string private constant FOLDER = "target/deploy-tests/";
    bytes32 private constant ROOT = keccak256("root");

    /// @dev Deploys on a chain and creates the pool of a file there, twice.
    function create(string memory name, uint256 chainId, ChainScript.Drand memory d) private {
        string memory file = string.concat(FOLDER, "pool-", name, ".json");
        string memory list = string.concat(FOLDER, "pool-", name, ".pools.json");
        vm.createDir(FOLDER, true);
        if (vm.exists(file)) vm.removeFile(file);
        if (vm.exists(list)) vm.removeFile(list);
        vm.chainId(chainId);
        DeployTo deploy = DeployTo(Shipped.deploy("Scripts", "DeployTo", abi.encode(file)));
        if (d.period == 0) d = deploy.drand();
        ChainScript.Contracts memory c = deploy.deploy(d, address(0));

        CreatePoolOf script = CreatePoolOf(Shipped.deploy("Scripts", "CreatePoolOf", abi.encode(file)));
        string memory params = string.concat("pools/", name, ".toml");
        bytes32 pool = script.create(params, ROOT, keccak256("file"), "", address(0));
        PoolParams memory p = IPools(c.modules.pools).get(pool);
        assertEq(keccak256(abi.encode(p)), pool);
        assertEq(abi.encode(p.basis), abi.encode(Basis(c.token, c.beacon, c.arbiter, ROOT)));
        _hasTheValuesOf(p, vm.readFile(params));

        string memory entered = vm.readFile(list);
        string memory entry = string.concat(".", vm.toString(pool));
        assertEq(vm.parseJsonString(entered, string.concat(entry, ".file")), params);
        assertEq(vm.parseJsonBytes32(entered, string.concat(entry, ".modelRoot")), ROOT);
        assertEq(script.create(params, ROOT, keccak256("file"), "", address(0)), pool);
        assertEq(vm.readFile(list), entered);

        // The same parameters for another model are another pool; the list holds both.
        assertNotEq(script.create(params, keccak256("other"), keccak256("file"), "", address(0)), pool);
        assertEq(vm.parseJsonKeys(vm.readFile(list), "$").length, 2);
    }

    /// @dev The first and last field of each table: one that was left out or added would move the last.
    function _hasTheValuesOf(PoolParams memory p, string memory toml) private pure {
        assertEq(p.prices.seatStake, vm.parseTomlUint(toml, ".prices.seatStake"));
        assertEq(p.prices.minBond, vm.parseTomlUint(toml, ".prices.minBond"));
        assertEq(p.rates.challengeFixed, vm.parseTomlUint(toml, ".rates.challengeFixed"));
        assertEq(p.rates.discount, vm.parseTomlUint(toml, ".rates.discount"));
        assertEq(p.limits.maxUnits, vm.parseTomlUint(toml, ".limits.maxUnits"));
        assertEq(p.limits.secondJury, vm.parseTomlUint(toml, ".limits.secondJury"));
        assertEq(p.windows.epoch, vm.parseTomlUint(toml, ".windows.epoch"));
        assertEq(p.windows.exit, vm.parseTomlUint(toml, ".windows.exit"));
    }

    function test_ThePoolOfSepoliaIsAccepted() public {
        create("sepolia", 11_155_111, ChainScript.Drand("", 0, 0));
    }

    function test_ThePoolOfOpSepoliaIsAccepted() public {
        create("op-sepolia", 11_155_420, ChainScript.Drand("", 0, 0));
    }

    function test_ThePoolOfTheDevnetIsAccepted() public {
        vm.chainId(11_155_111);
        ChainScript.Drand memory d = new CreatePoolOf("").drand();
        d.period = 1;
        create("devnet", 31_337, d);
    }

    function test_RevertWhen_AFieldIsUnknown() public {
        CreatePoolOf script = new CreatePoolOf("");
        string memory file = string.concat(FOLDER, "unknown-field.toml");
        vm.createDir(FOLDER, true);
        vm.writeFile(file, string.concat(vm.readFile("pools/sepolia.toml"), "exits = 1\n"));
        vm.expectRevert(abi.encodeWithSelector(CreatePool.TableMalformed.selector, file, ".windows"));
        script.read(file, Basis(address(1), address(2), address(3), ROOT));
    }

    function test_RevertWhen_AFieldIsMissing() public {
        CreatePoolOf script = new CreatePoolOf("");
        string memory file = string.concat(FOLDER, "missing-field.toml");
        vm.createDir(FOLDER, true);
        vm.writeFile(file, vm.replace(vm.readFile("pools/sepolia.toml"), "redraws = 3\n", ""));
        vm.expectRevert();
        script.read(file, Basis(address(1), address(2), address(3), ROOT));
    }

    function test_RevertWhen_NothingIsDeployed() public {
        CreatePoolOf script = new CreatePoolOf("target/deploy-tests/none.json");
        vm.expectRevert(
            abi.encodeWithSelector(
                ChainScript.FileMissing.selector,
                "target/deploy-tests/none.json",
                "run script/Deploy.s.sol first"
            )
        );
        script.create("pools/sepolia.toml", ROOT, 0, "", address(0));
    }

    function test_RevertWhen_TheFileIsOfAnotherChain() public {
        string memory file = "target/deploy-tests/other-chain.json";
        vm.createDir(FOLDER, true);
        vm.writeFile(file, '{"chainId": 10}');
        CreatePoolOf script = CreatePoolOf(Shipped.deploy("Scripts", "CreatePoolOf", abi.encode(file)));
        vm.expectRevert(abi.encodeWithSelector(ChainScript.FileOfOtherChain.selector, file, 10));
        script.create("pools/sepolia.toml", ROOT, 0, "", address(0));
    }
}
