// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev An inner call gets 63/64 of the gas: a caller that leaves it too little must get nothing, not half of what was due.
/// Each call is sent with rising gas; until it goes through, it has changed nothing.
contract StarvationTest is CaseTest {
    /// @dev Returns after the first amount of gas that is enough.
    function _starve(address target, bytes memory call, address sender) private {
        bytes32 before = _fingerprint();
        for (uint256 gas_ = 40_000;; gas_ += gas_ / 24) {
            vm.prank(sender);
            (bool ok,) = target.call{ gas: gas_ }(call);
            if (ok) break;
            assertEq(_fingerprint(), before, "a call that failed changed something");
            assertLt(gas_, 5_000_000, "no amount of gas is enough");
        }
        conserved();
    }

    /// @dev Money, freezes and states that a dispute touches.
    function _fingerprint() private view returns (bytes32) {
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
            all = abi.encode(all, disputes.caseOf(disputedResponses[i]), juryBalance(disputedResponses[i]));
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
        _starve(address(disputes), abi.encodeCall(disputes.open, (e)), user);
        IDisputes.Record memory r = recordOf(e, user);
        disputedResponses.push(r.response);
        _starve(
            address(disputes),
            abi.encodeCall(disputes.accuse, (e.request, e.response, e.responseSignature)),
            stranger
        );
        _starve(address(disputes), abi.encodeCall(disputes.publish, (1, r, INPUT)), stranger);
        drawActiveJury(r.response);
        commitJurors(r.response, 0, 5, RIGHT);
        bytes32 subject = disputes.subjectOf(r.response);
        _starve(
            address(arbiter), abi.encodeCall(arbiter.propose, (address(disputes), subject, RIGHT)), stranger
        );
        _starve(address(disputes), abi.encodeCall(disputes.resolve, (1, r)), stranger);
        isState(1, IDisputes.State.Convicted);
        assertEq(free(user), 2_000_000 + third() + params.baseFee(210) + params.prices.gasAllowance);
        _starve(address(disputes), abi.encodeCall(disputes.resolve, (2, accusationOf(e, stranger))), stranger);
        uint256[] memory positions = new uint256[](5);
        for (uint256 i; i < 5; ++i) {
            positions[i] = i;
        }
        _starve(
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
        _starve(address(disputes), abi.encodeCall(disputes.close, (id, r)), stranger);
        isState(id, IDisputes.State.Closed);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000);
        assertEq(juryBalance(r.response), 2 * uint256(params.prices.jurorPay));
    }

    function test_AProofOfEquivocation() public {
        redeem(0, voucher(0, 9, 1, 1, 100));
        Evidence memory a = answered(0, 7, 1, 100, RIGHT);
        Evidence memory b = copied(a);
        respond(b, 0, 101, RIGHT);
        _starve(
            address(disputes),
            abi.encodeCall(
                disputes.proveEquivocation,
                (a.request, a.response, a.responseSignature, b.response, b.responseSignature)
            ),
            stranger
        );
        isState(1, IDisputes.State.Proven);
        skip(60);
        _starve(
            address(disputes), abi.encodeCall(disputes.resolve, (1, accusationOf(a, stranger))), servers[0]
        );
        isState(1, IDisputes.State.Convicted);
        assertEq(free(stranger), 1_000_000 + third() / 2 + params.prices.gasAllowance);
        nothingWaits();
    }
}
