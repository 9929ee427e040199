// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { Watch } from "./Watch.sol";

/// @dev One campaign for all invariants: each move is followed by all of them.
contract ProtocolInvariantTest is Test {
    /// @dev foundry.toml's `invariant.runs`.
    uint256 private constant RUNS = 64;

    Watch private watch;
    string[] private moves;

    function setUp() public {
        watch = new Watch();
        watch.setUp();
        moves = [
            "deposit",
            "exit",
            "cancelExit",
            "flush",
            "pass",
            "join",
            "unbond",
            "evict",
            "withdraw",
            "withdraw refused",
            "redeem",
            "release",
            "release refused",
            "claim",
            "settle",
            "void claim",
            "dispute",
            "finish",
            "publish",
            "dismiss",
            "draw",
            "commit",
            "propose",
            "advance",
            "convict server",
            "convict validator",
            "reject",
            "void",
            "close",
            "pay juror",
            "fine juror",
            "permit",
            "rotate key",
            "top up",
            "user equivocates",
            "expel",
            "deliver",
            "accuse",
            "join",
            "accuse refused",
            "verdict over a convicted seat",
            "server equivocates",
            "slash equivocation",
            "equivocation came late"
        ];
        bytes4[] memory selectors = new bytes4[](22);
        selectors[0] = watch.deposit.selector;
        selectors[1] = watch.depart.selector;
        selectors[2] = watch.flush.selector;
        selectors[3] = watch.pass.selector;
        selectors[4] = watch.join.selector;
        selectors[5] = watch.unbond.selector;
        selectors[6] = watch.evict.selector;
        selectors[7] = watch.withdraw.selector;
        selectors[8] = watch.redeem.selector;
        selectors[9] = watch.release.selector;
        selectors[10] = watch.check.selector;
        selectors[11] = watch.settle.selector;
        selectors[12] = watch.proceed.selector;
        selectors[13] = watch.finish.selector;
        selectors[14] = watch.depositWithPermit.selector;
        selectors[15] = watch.rotateKey.selector;
        selectors[16] = watch.topUp.selector;
        selectors[17] = watch.equivocate.selector;
        selectors[18] = watch.deliver.selector;
        selectors[19] = watch.accuse.selector;
        selectors[20] = watch.accuseToo.selector;
        selectors[21] = watch.signTwice.selector;
        targetContract(address(watch));
        targetSelector(FuzzSelector({ addr: address(watch), selectors: selectors }));
        vm.setEnv("ASSAY_INVARIANT_RUNS", "0");
        for (uint256 i; i < moves.length; ++i) {
            vm.setEnv(_variable(i), "0");
        }
    }

    function _variable(uint256 move) private pure returns (string memory) {
        return string.concat("ASSAY_INVARIANT_MOVE_", vm.toString(move));
    }

    /// forge-config: default.invariant.runs = 64
    /// forge-config: default.invariant.depth = 128
    function invariant_MoneyVerdictsAndTablesHold() public view {
        watch.conservation();
        watch.supply();
        watch.paidOnce();
        watch.frozen();
        watch.seatCounts();
        watch.pastStays(false);
    }

    /// @dev Ends every dispute, and counts over all runs which moves succeeded: none may be out of reach.
    function afterInvariant() public {
        watch.finishAll();
        watch.conservation();
        watch.nothingLeftOver();
        watch.pastStays(true);
        uint256 runs = vm.envUint("ASSAY_INVARIANT_RUNS") + 1;
        vm.setEnv("ASSAY_INVARIANT_RUNS", vm.toString(runs));
        for (uint256 i; i < moves.length; ++i) {
            uint256 total = vm.envUint(_variable(i)) + watch.count(moves[i]);
            vm.setEnv(_variable(i), vm.toString(total));
            if (runs == RUNS) assertGt(total, 0, string.concat("no run reached: ", moves[i]));
        }
    }
}
