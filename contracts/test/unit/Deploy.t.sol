// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Test } from "forge-std/Test.sol";
import { VmSafe } from "forge-std/Vm.sol";
import { ChainScript } from "../../../script/ChainScript.sol";
import { Deploy } from "../../../script/Deploy.s.sol";
import { IDrandBeacon } from "../../src/interfaces/IDrandBeacon.sol";
import { DeployTo } from "../shipped/Scripts.sol";
import { DrandVectors } from "../utils/DrandVectors.sol";
import { Shipped } from "../utils/Shipped.sol";

contract DeployTest is Test {
    string private constant FOLDER = "target/deploy-tests/";
    uint256 private constant SEPOLIA = 11_155_111;
    uint256 private constant OP_SEPOLIA = 11_155_420;

    /// @dev A fresh script whose file is not there.
    function script(string memory name) private returns (DeployTo) {
        string memory file = string.concat(FOLDER, name, ".json");
        vm.createDir(FOLDER, true);
        if (vm.exists(file)) vm.removeFile(file);
        return DeployTo(Shipped.deploy("Scripts", "DeployTo", abi.encode(file)));
    }

    function codes(ChainScript.Contracts memory c) private view returns (address[11] memory) {
        address[11] memory all = [
            c.modules.pools,
            c.modules.ledger,
            c.modules.staking,
            c.modules.lanes,
            c.modules.checks,
            c.modules.disputes,
            c.modules.audits,
            c.sampling,
            c.arbiter,
            c.beacon,
            c.token
        ];
        for (uint256 i; i < all.length; ++i) {
            assertGt(all[i].code.length, 0, vm.toString(i));
        }
        return all;
    }

    function test_PresetsAreQuicknet() public {
        DrandVectors.Chain memory quicknet = DrandVectors.read("drand-quicknet.json", 1);
        DeployTo deploy = script("presets");
        uint256[2] memory chains = [SEPOLIA, OP_SEPOLIA];
        for (uint256 i; i < chains.length; ++i) {
            vm.chainId(chains[i]);
            ChainScript.Drand memory d = deploy.drand();
            assertEq(d.publicKey, quicknet.publicKey);
            assertEq(d.genesis, quicknet.genesis);
            assertEq(d.period, quicknet.period);
        }
    }

    function test_RevertWhen_NothingNamesTheChainOfRounds() public {
        DeployTo deploy = script("no-preset");
        vm.chainId(5);
        vm.expectRevert(
            abi.encodeWithSelector(
                ChainScript.VariableMissing.selector,
                "DRAND_PUBLIC_KEY",
                "set it, or write script/presets/5.toml"
            )
        );
        deploy.drand();
    }

    function test_AddressesAreTheSameOnEveryChain() public {
        uint256 empty = vm.snapshotState();
        vm.chainId(SEPOLIA);
        DeployTo first = script("sepolia");
        ChainScript.Contracts memory a = first.deploy(first.drand(), address(0));
        codes(a);
        bytes32 domain = IERC20Permit(a.token).DOMAIN_SEPARATOR();

        vm.revertToState(empty);
        assertEq(a.modules.ledger.code.length, 0);
        vm.chainId(OP_SEPOLIA);
        vm.roll(12_345);
        vm.setNonce(a.account, vm.getNonce(a.account) + 7);
        DeployTo second = script("op-sepolia");
        ChainScript.Contracts memory b = second.deploy(second.drand(), address(0));
        assertEq(abi.encode(codes(a)), abi.encode(codes(b)));
        assertNotEq(IERC20Permit(b.token).DOMAIN_SEPARATOR(), domain);

        string memory json = vm.readFile(second.deploymentFile());
        assertEq(vm.parseJsonUint(json, ".chainId"), OP_SEPOLIA);
        assertEq(vm.parseJsonUint(json, ".startBlock"), 12_345);
        assertEq(vm.parseJsonAddress(json, ".account"), b.account);
        assertEq(vm.parseJsonAddress(json, ".ledger"), b.modules.ledger);
        assertEq(vm.parseJsonAddress(json, ".beacon"), b.beacon);
        assertEq(IERC20(b.token).balanceOf(b.account), 1_000_000_000 ether);
    }

    function test_ASecondRunDeploysNothing() public {
        vm.chainId(SEPOLIA);
        DeployTo deploy = script("twice");
        ChainScript.Drand memory d = deploy.drand();
        address account = deploy.deploy(d, address(0)).account;
        string memory file = vm.readFile(deploy.deploymentFile());

        vm.roll(block.number + 100);
        vm.startStateDiffRecording();
        deploy.deploy(d, address(0));
        assertEq(creations(), 0);
        assertEq(vm.readFile(deploy.deploymentFile()), file);

        // Another chain of rounds is another beacon, and nothing else is new.
        d.period = 30;
        vm.startStateDiffRecording();
        ChainScript.Contracts memory c = deploy.deploy(d, address(0));
        // The proxy of CREATE3 and the beacon.
        assertEq(creations(), 2);
        assertEq(IDrandBeacon(c.beacon).period(), 30);
        assertEq(c.account, account);
        assertEq(vm.parseJsonUint(vm.readFile(deploy.deploymentFile()), ".startBlock"), block.number - 100);
    }

    function creations() private returns (uint256 count) {
        VmSafe.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        for (uint256 i; i < accesses.length; ++i) {
            if (accesses[i].kind == VmSafe.AccountAccessKind.Create) ++count;
        }
    }

    function test_ATokenThatExistsIsKept() public {
        vm.chainId(SEPOLIA);
        DeployTo deploy = script("token");
        ChainScript.Drand memory d = deploy.drand();
        address token = Shipped.deploy("AssayToken", abi.encode(address(this), 1));
        assertEq(deploy.deploy(d, token).token, token);
        assertEq(deploy.deploy(d, address(0)).token, token);
    }

    function test_RevertWhen_TheTokenIsNotThere() public {
        vm.chainId(SEPOLIA);
        DeployTo deploy = script("no-token");
        ChainScript.Drand memory d = deploy.drand();
        vm.expectRevert(abi.encodeWithSelector(Deploy.TokenMissing.selector, address(1234)));
        deploy.deploy(d, address(1234));
    }

    function test_RevertWhen_TheFileNamesAnotherDeployment() public {
        vm.chainId(SEPOLIA);
        DeployTo deploy = script("other");
        ChainScript.Drand memory d = deploy.drand();
        ChainScript.Contracts memory c = deploy.deploy(d, address(0));
        string memory file = deploy.deploymentFile();
        // Any contract at all in the ledger's place.
        vm.writeJson(string.concat('"', vm.toString(c.token), '"'), file, ".ledger");
        vm.expectRevert(
            abi.encodeWithSelector(Deploy.FileOfOtherDeployment.selector, file, c.token, c.modules.ledger)
        );
        deploy.deploy(d, address(0));
    }
}
