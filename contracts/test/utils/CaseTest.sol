// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence } from "../../src/types/Messages.sol";
import { AssayTest } from "./AssayTest.sol";

/// @dev What tests of money in disputes share: accusations, two validators over one response, and the sum of all accounts.
abstract contract CaseTest is AssayTest {
    address internal stranger;
    /// @dev Parties beside the servers and the user.
    address[] internal others;
    /// @dev Responses with disputes over them.
    bytes32[] internal disputedResponses;

    function setUp() public virtual override {
        super.setUp();
        stranger = rich("stranger");
    }

    /// @dev Somebody with Free money.
    function rich(string memory name) internal returns (address who) {
        who = makeAddr(name);
        ledger.deposit(pool, who, 1_000_000);
        others.push(who);
    }

    function free(address who) internal view returns (uint256) {
        return balanceOf(AccountKind.Free, who);
    }

    /// @dev What a dispute takes from its opener.
    function bondOf() internal view returns (uint256) {
        return params.juryBudget() + params.prices.freezePrice;
    }

    /// @dev What a jury that agrees costs.
    function juryCost() internal view returns (uint256) {
        return uint256(params.limits.firstJury) * params.prices.jurorPay;
    }

    function third() internal view returns (uint256) {
        return uint256(params.prices.seatStake) / 3;
    }

    function isState(uint256 id, IDisputes.State state) internal view {
        assertEq(uint8(disputes.stateOf(id)), uint8(state), "state");
    }

    // --------------------------------------------------------------------------------------------------- disputes

    function accuse(Evidence memory e, address opener)
        internal
        returns (uint256 id, IDisputes.Record memory r)
    {
        vm.prank(opener);
        id = disputes.accuse(e.request, e.response, e.responseSignature);
        r = accusationOf(e, opener);
        _watch(r.response);
    }

    function accusationOf(Evidence memory e, address opener)
        internal
        view
        returns (IDisputes.Record memory r)
    {
        r = recordOf(e, opener);
        (r.validator, r.validatorSeat, r.validatorCommitment) = (address(0), 0, 0);
    }

    function dispute(Evidence memory e, address opener)
        internal
        returns (uint256 id, IDisputes.Record memory r)
    {
        (id, r) = disputed(e, opener);
        _watch(r.response);
    }

    function _watch(bytes32 response) private {
        for (uint256 i; i < disputedResponses.length; ++i) {
            if (disputedResponses[i] == response) return;
        }
        disputedResponses.push(response);
    }

    /// @dev Has seat 0 of a server convicted of a wrong answer, by a dispute of the user's, and its jury settled.
    function convict(uint256 server, uint64 sequence) internal {
        (uint256 id, IDisputes.Record memory r) = dispute(drawn(server, sequence, WRONG, RIGHT), user);
        judge(id, r, RIGHT);
        disputes.resolve(id, r);
        settleAllJurors(r.response, 1);
    }

    /// @dev From an open dispute to the arbiter's verdict, all jurors agreeing.
    function judge(uint256 id, IDisputes.Record memory r, bytes32 digest) internal {
        disputes.publish(id, r, INPUT);
        verdict(r.response, digest);
    }

    /// @dev A verdict of all jurors over a response whose input is published.
    function verdict(bytes32 response, bytes32 digest) internal {
        drawActiveJury(response);
        commitJurors(response, 0, jurySize(response), digest);
        arbiter.propose(address(disputes), disputes.subjectOf(response), digest);
    }

    /// @dev Finds a value for the ballot's round with which every juror can vote: seats of convicted servers can't.
    function drawActiveJury(bytes32 response) internal {
        bytes32 subject = disputes.subjectOf(response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        uint64 round = arbiter.ballotOf(address(disputes), subject, ballot).round;
        if (block.timestamp < beacon.timeOf(round)) vm.warp(beacon.timeOf(round));
        for (uint256 i;; ++i) {
            uint256 snapshot = vm.snapshotState();
            beacon.set(round, keccak256(abi.encode("jury", round, i)));
            arbiter.draw(address(disputes), subject);
            if (_allActive(subject, ballot, jurySize(response))) return;
            vm.revertToState(snapshot);
        }
    }

    function _allActive(bytes32 subject, uint8 ballot, uint256 size) private view returns (bool) {
        for (uint256 i; i < size; ++i) {
            uint64 seat = arbiter.seatOfJuror(address(disputes), subject, ballot, i);
            if (!staking.isActive(pool, seat)) return false;
        }
        return true;
    }

    /// @dev Both ballots run out without a jury.
    function voided(bytes32 response) internal {
        bytes32 subject = disputes.subjectOf(response);
        for (uint8 ballot = 1; ballot <= 2; ++ballot) {
            vm.warp(uint256(arbiter.ballotOf(address(disputes), subject, ballot).commitEnd) + 1);
            arbiter.advance(address(disputes), subject);
        }
    }

    /// @dev One response that drew two validators of two other servers.
    function drawnTwice(uint256 server, bytes32 digest, bytes32 first, bytes32 second)
        internal
        returns (Evidence memory a, Evidence memory b)
    {
        uint64 seat;
        for (uint64 sequence = 1000; seat == 0; ++sequence) {
            a = drawn(server, sequence, digest, first);
            seat = seatDrawn(a, 1);
            uint256 other = serverOfSeat(seat);
            if (other == server || other == serverOfSeat(a.answer.seat)) seat = 0;
        }
        b = copied(a);
        challenge(b, a.challenge.ticketNonce, 1, seat, second);
    }

    function seatDrawn(Evidence memory e, uint8 counter) internal view returns (uint64) {
        uint64 round = params.ticketRound(e.response.round);
        uint32 epoch = params.epochOf(beacon.timeOf(round));
        bytes32 randomness = beacon.randomness(round);
        bytes32 ticket = Hashes.ticket(randomness, Hashes.response(e.response), e.challenge.ticketNonce);
        uint256 count = staking.seatCount(pool, epoch);
        uint256 place = Hashes.draw(Hashes.DRAW_VALIDATOR, randomness, pool, ticket, counter, count);
        return staking.seatAt(pool, epoch, place);
    }

    function copied(Evidence memory e) internal pure returns (Evidence memory) {
        return abi.decode(abi.encode(e), (Evidence));
    }

    // ------------------------------------------------------------------------------------------------------ money

    /// @dev All accounts that a test can have touched add up to what the ledger holds.
    function conserved() internal view {
        uint256 sum = burnBalance() + ledger.balanceOf(pool, AccountKind.Claim, 0)
            + ledger.balanceOf(pool, AccountKind.Audit, 0) + _accountsOf(user);
        for (uint256 i; i < servers.length; ++i) {
            sum += _accountsOf(servers[i]);
        }
        for (uint256 i; i < others.length; ++i) {
            sum += _accountsOf(others[i]);
        }
        for (uint64 seat = 1; staking.seatOf(pool, seat).owner != address(0); ++seat) {
            sum += seatBalance(seat) + reserveBalance(seat);
        }
        for (uint256 id = 1; disputes.stateOf(id) != IDisputes.State.None; ++id) {
            sum += caseBalance(id);
        }
        for (uint256 i; i < disputedResponses.length; ++i) {
            sum += juryBalance(disputedResponses[i]);
        }
        assertEq(sum, ledger.totalOf(address(token)), "accounts add up to the total");
        assertEq(token.balanceOf(address(ledger)), sum, "and that is what the ledger holds");
    }

    function _accountsOf(address owner) private view returns (uint256) {
        return balanceOf(AccountKind.Free, owner) + balanceOf(AccountKind.Balance, owner)
            + balanceOf(AccountKind.Bond, owner) + balanceOf(AccountKind.Check, owner)
            + balanceOf(AccountKind.Vesting, owner);
    }

    /// @dev Once every dispute has ended and every juror is settled, no money waits for either.
    function nothingWaits() internal view {
        for (uint256 id = 1; disputes.stateOf(id) != IDisputes.State.None; ++id) {
            assertEq(caseBalance(id), 0, "a dispute's money");
        }
        for (uint256 i; i < disputedResponses.length; ++i) {
            assertEq(juryBalance(disputedResponses[i]), 0, "a jury's money");
        }
        for (uint64 seat = 1; staking.seatOf(pool, seat).owner != address(0); ++seat) {
            assertEq(reserveBalance(seat), 0, "a reserve");
            assertEq(staking.seatOf(pool, seat).disputes, 0, "an open dispute");
        }
        for (uint256 i; i < servers.length; ++i) {
            assertEq(staking.serverOf(pool, servers[i]).freezes, 0, "a freeze");
        }
        conserved();
    }
}
