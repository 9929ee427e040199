// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";
import { Watch } from "./Watch.sol";

/// @dev A campaign for all invariants: each move is followed by all of them.
abstract contract Campaign is Test {
    Watch internal watch;

    function _begin(bool audited) internal {
        watch = new Watch(audited);
        watch.setUp();
        bytes4[] memory selectors = new bytes4[](29);
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
        selectors[22] = watch.drawAudits.selector;
        selectors[23] = watch.proceedAudit.selector;
        selectors[24] = watch.finishAudit.selector;
        selectors[25] = watch.meddle.selector;
        selectors[26] = watch.fundAudits.selector;
        selectors[27] = watch.trespass.selector;
        selectors[28] = watch.register.selector;
        targetContract(address(watch));
        targetSelector(FuzzSelector({ addr: address(watch), selectors: selectors }));
    }

    function _hold() internal view {
        watch.conservation();
        watch.supply();
        watch.paidOnce();
        watch.vesting();
        watch.frozen();
        watch.seatCounts();
        watch.pastStays(false);
        watch.registered();
    }

    /// @dev Ends every dispute and every audit.
    function _end() internal {
        watch.finishAll();
        watch.finishAudits();
        _hold();
        watch.nothingLeftOver();
        watch.pastStays(true);
    }
}

contract ProtocolInvariantTest is Campaign {
    /// @dev foundry.toml's `invariant.runs`.
    uint256 private constant RUNS = 64;

    string[] private moves;

    function setUp() public {
        _begin(true);
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
            "equivocation came late",
            "draw audits",
            "no audit drawn",
            "audits not funded",
            "open audit",
            "convict silent",
            "silent and convicted already",
            "draw validators",
            "validate",
            "validators agree",
            "validators differ",
            "validators' time is up",
            "audit passed",
            "audit convicts",
            "audit void",
            "redemption settled",
            "pay validator",
            "fine validator",
            "slash validator",
            "pay an audit's juror",
            "fine an audit's juror",
            "finish audit",
            "fund audits",
            "an honest server pays for its audits",
            "meddle",
            "trespass",
            "create",
            "create refused",
            "submit",
            "submit refused",
            "deploy"
        ];
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
        _hold();
    }

    /// @dev Counts over all runs which moves succeeded: none may be out of reach.
    function afterInvariant() public {
        _end();
        uint256 runs = vm.envUint("ASSAY_INVARIANT_RUNS") + 1;
        vm.setEnv("ASSAY_INVARIANT_RUNS", vm.toString(runs));
        for (uint256 i; i < moves.length; ++i) {
            uint256 total = vm.envUint(_variable(i)) + watch.count(moves[i]);
            vm.setEnv(_variable(i), vm.toString(total));
            if (runs == RUNS) assertGt(total, 0, string.concat("no run reached: ", moves[i]));
        }
    }
}

/// @dev The same in a pool without audits, where rewards vest at once.
contract UnauditedInvariantTest is Campaign {
    function setUp() public {
        _begin(false);
    }

    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 128
    function invariant_MoneyVerdictsAndTablesHoldWithoutAudits() public view {
        _hold();
    }

    function afterInvariant() public {
        _end();
    }
}
