// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Voucher } from "../../src/types/Messages.sol";
import { Vm } from "forge-std/Vm.sol";
import { AuditTest } from "../utils/AuditTest.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev An inner call gets 63/64 of the gas: a caller that leaves it too little must get nothing, not half of what was due.
/// Each call is sent with rising gas; until it goes through, it has changed nothing.
abstract contract Starving {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev What a call may change.
    function fingerprint() internal view virtual returns (bytes32);

    /// @dev Accounts add up.
    function wholeness() internal view virtual;

    /// @dev Returns after the first amount of gas that is enough.
    function starve(address target, bytes memory call, address sender) internal {
        bytes32 before = fingerprint();
        for (uint256 gas_ = 40_000;; gas_ += gas_ / 24) {
            VM.prank(sender);
            (bool ok,) = target.call{ gas: gas_ }(call);
            if (ok) break;
            require(fingerprint() == before, "a call that failed changed something");
            require(gas_ < 5_000_000, "no amount of gas is enough");
        }
        wholeness();
    }
}

contract StarvationTest is CaseTest, Starving {
    function wholeness() internal view override {
        conserved();
    }

    /// @dev Money, freezes and states that a dispute touches.
    function fingerprint() internal view override returns (bytes32) {
        bytes memory all;
        for (uint256 i; i < servers.length; ++i) {
            all = abi.encode(
                all,
                staking.serverOf(pool, servers[i]),
                free(servers[i]),
                balanceOf(AccountKind.Vesting, servers[i])
            );
        }
        for (uint256 id = 1; id < 4; ++id) {
            all = abi.encode(all, disputes.stateOf(id), caseBalance(id));
        }
        for (uint256 i; i < disputedResponses.length; ++i) {
            all = abi.encode(
                all, disputes.caseOf(pool, disputedResponses[i]), juryBalance(disputedResponses[i])
            );
        }
        return keccak256(
            abi.encode(
                all,
                free(user),
                balanceOf(AccountKind.Bond, user),
                free(stranger),
                burnBalance(),
                seatBalance(1)
            )
        );
    }

    function test_ADisputeFromItsOpeningToItsVerdict() public {
        redeem(0, voucher(0, 7, 1, 1, 210));
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        starve(address(disputes), abi.encodeCall(disputes.open, (e)), user);
        IDisputes.Record memory r = recordOf(e, user);
        disputedResponses.push(r.response);
        starve(
            address(disputes),
            abi.encodeCall(disputes.accuse, (e.request, e.response, e.responseSignature)),
            stranger
        );
        starve(address(disputes), abi.encodeCall(disputes.publish, (1, r, INPUT)), stranger);
        drawActiveJury(r.response);
        commitJurors(r.response, 0, 5, RIGHT);
        bytes32 subject = disputes.subjectOf(r.response);
        starve(
            address(arbiter), abi.encodeCall(arbiter.propose, (address(disputes), subject, RIGHT)), stranger
        );
        starve(address(disputes), abi.encodeCall(disputes.resolve, (1, r)), stranger);
        isState(1, IDisputes.State.Convicted);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        starve(address(disputes), abi.encodeCall(disputes.resolve, (2, accusationOf(e, stranger))), stranger);
        uint256[] memory positions = new uint256[](5);
        for (uint256 i; i < 5; ++i) {
            positions[i] = i;
        }
        starve(
            address(disputes),
            abi.encodeCall(disputes.settleJurors, (pool, r.response, 1, positions)),
            stranger
        );
        nothingWaits();
    }

    function test_ADisputeThatCloses() public {
        Evidence memory x = drawn(0, 1, WRONG, RIGHT);
        (uint256 id, IDisputes.Record memory r) = dispute(x, user);
        disputes.publish(id, r, INPUT);
        drawActiveJury(r.response);
        commitJurors(r.response, 0, 2, RIGHT);
        convict(0, 2);
        uint256 held = free(user);
        starve(address(disputes), abi.encodeCall(disputes.close, (id, r)), stranger);
        isState(id, IDisputes.State.Closed);
        assertEq(free(user), held + bondOf());
        assertEq(juryBalance(r.response), 2 * uint256(params.prices.jurorPay));
    }

    function test_AProofOfEquivocation() public {
        redeem(0, voucher(0, 9, 1, 1, 100));
        Evidence memory a = answered(0, 7, 1, 100, RIGHT);
        Evidence memory b = copied(a);
        respond(b, 0, 101, RIGHT);
        starve(
            address(disputes),
            abi.encodeCall(
                disputes.proveEquivocation,
                (a.request, a.response, a.responseSignature, b.response, b.responseSignature)
            ),
            stranger
        );
        isState(1, IDisputes.State.Proven);
        skip(60);
        starve(
            address(disputes), abi.encodeCall(disputes.resolve, (1, accusationOf(a, stranger))), servers[0]
        );
        isState(1, IDisputes.State.Convicted);
        assertEq(free(stranger), 1_000_000 + third() / 2 + params.prices.gasAllowance);
        nothingWaits();
    }
}

/// @dev Of audits, and of what users and servers do with their own money.
contract AuditStarvationTest is AuditTest, Starving {
    /// @dev With the seats that a test buys.
    function wholeness() internal view override {
        uint256 all = poolMoney() + seatBalance(61) + seatBalance(62);
        assertEq(all, ledger.totalOf(address(token)), "money created or lost");
        assertEq(all, token.balanceOf(address(ledger)));
    }

    function fingerprint() internal view override returns (bytes32) {
        bytes memory all;
        for (uint256 i; i < servers.length; ++i) {
            all = abi.encode(
                all,
                staking.serverOf(pool, servers[i]),
                balanceOf(AccountKind.Free, servers[i]),
                balanceOf(AccountKind.Vesting, servers[i])
            );
        }
        for (uint256 id = 1; id <= 4; ++id) {
            bytes32 assertion = audits.assertionOf(id, 0);
            all = abi.encode(
                all,
                audits.progressOf(id),
                audits.auditStateOf(id, 0),
                sampling.panelOf(address(audits), assertion),
                reserveOf(id),
                dueOf(id, 0)
            );
        }
        all = abi.encode(
            all, lanes.laneOf(pool, user, servers[0], 7), lanes.exitOf(pool, user), seatBalance(1)
        );
        return keccak256(
            abi.encode(
                all,
                balanceOf(AccountKind.Free, user),
                balanceOf(AccountKind.Balance, user),
                balanceOf(AccountKind.Bond, user),
                balanceOf(AccountKind.Check, user),
                ledger.balanceOf(pool, AccountKind.Claim, 0),
                burnBalance(),
                stock(),
                token.totalSupply()
            )
        );
    }

    function test_AnAuditFromItsRedemptionToItsPay() public {
        fillStock();
        Part[] memory parts = partsOf(evenLane(0, 7, 10, WRONG), 0, 10);
        (Voucher[] memory vouchers, bytes[] memory signatures) = vouchersOf(0, parts);
        starve(
            address(lanes), abi.encodeCall(lanes.redeem, (pool, servers[0], vouchers, signatures)), servers[0]
        );
        Job memory job = jobOf(0, parts, vouchers);
        reach(job.r.round, randomnessFor(job, 1, 0, 6));
        starve(address(audits), abi.encodeCall(audits.draw, (job.id, job.r)), user);
        IAudits.Leaf memory leaf = leafOf(parts[0], 6);
        starve(
            address(audits),
            abi.encodeCall(audits.open, (job.id, 0, job.r, job.spans, leaf, 0, INPUT)),
            servers[0]
        );
        IAudits.Audit memory a = auditOf(job, leaf);
        bytes32 assertion = audits.assertionOf(job.id, 0);
        drawPanelWithout(address(audits), assertion, assertionOf(a), 0);
        commitAudit(job.id, 0, a, 0, N, RIGHT);
        starve(
            address(sampling),
            abi.encodeCall(sampling.propose, (address(audits), assertion, assertionOf(a), RIGHT)),
            user
        );
        judge(address(audits), assertion, RIGHT);
        starve(address(audits), abi.encodeCall(audits.settle, (job.id, 0, job.r, a)), user);
        assertTrue(staking.serverOf(pool, servers[0]).convicted);
        for (uint256 i; i < N; ++i) {
            starve(address(audits), abi.encodeCall(audits.settleValidators, (job.id, 0, a, one(i))), user);
        }
        bytes32 subject = sampling.subjectOf(address(audits), assertion);
        uint256 jurors = arbiter.ballotOf(address(sampling), subject, 1).size;
        for (uint256 i; i < jurors; ++i) {
            starve(address(audits), abi.encodeCall(audits.settleJurors, (job.id, 0, a, 1, one(i))), user);
        }
        assertEq(dueOf(job.id, 0), 0);
    }

    function test_ASilentServersConviction() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 1, 0, 6);
        skip(params.windows.audit + 1);
        starve(address(audits), abi.encodeCall(audits.convictSilent, (job.id, 0, job.r, 1)), user);
        assertTrue(isConvicted(1));
    }

    function test_AuditsThatTheirServerPaysFor() public {
        Job memory job = redeemEven(0, 7, 80, RIGHT);
        Job memory other = redeemEven(1, 7, 200, RIGHT);
        audit(other, 4, 0, 100);
        reach(job.r.round, randomnessFor(job, 1, 0, 40));
        uint256 lacking = audits.lackingOf(job.id, job.r);
        if (lacking == 0) lacking = 1;
        starve(address(lanes), abi.encodeCall(lanes.fundAudits, (job.id, job.r, lacking)), servers[0]);
    }

    function test_AClaimAndItsPay() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        starve(address(checks), abi.encodeCall(checks.claim, (e)), user);
        skip(params.windows.dispute + 1);
        starve(
            address(checks), abi.encodeCall(checks.settle, (pool, user, Hashes.response(e.response))), user
        );
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), 0);
    }

    function test_AUsersExit() public {
        starve(address(lanes), abi.encodeCall(lanes.requestExit, (pool)), user);
        skip(params.windows.exit);
        starve(address(lanes), abi.encodeCall(lanes.exit, (pool, user)), user);
        assertEq(balanceOf(AccountKind.Bond, user), 0);
        starve(address(ledger), abi.encodeCall(ledger.withdraw, (pool, user, 1_000)), user);
        starve(address(ledger), abi.encodeCall(ledger.deposit, (pool, user, 1_000)), address(this));
        starve(address(lanes), abi.encodeCall(lanes.fund, (pool, 100, 200)), user);
    }

    function test_AServersComingAndGoing() public {
        ledger.deposit(pool, servers[0], 2_000_000);
        starve(address(staking), abi.encodeCall(staking.join, (pool, 2)), servers[0]);
        starve(address(staking), abi.encodeCall(staking.unbond, (pool, 1)), servers[0]);
        vm.warp(staking.seatOf(pool, 1).exitAt);
        starve(address(staking), abi.encodeCall(staking.withdraw, (pool, 1)), servers[0]);
        assertEq(seatBalance(1), 0);
    }

    function test_WhatRedemptionsBurnAndRelease() public {
        fillStock();
        Job memory job = redeemEven(0, 7, 10, RIGHT);
        audit(job, 0, 0, 0);
        skip(params.windows.vesting + 2 * params.windows.epoch);
        uint32[] memory epochs = new uint32[](1);
        epochs[0] = job.r.epoch;
        starve(address(lanes), abi.encodeCall(lanes.release, (pool, servers[0], epochs)), servers[0]);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
        starve(address(ledger), abi.encodeCall(ledger.flush, (pool)), user);
        assertEq(burnBalance(), 0);
    }
}
