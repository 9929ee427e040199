// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Evidence, Voucher } from "../../src/types/Messages.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev Disputes over one response in any order of openings, publications, verdicts, convictions elsewhere and endings, with
/// redemptions, new keys, unbonding and attempts to take stake and rewards away in between: every one ends, money is conserved, nothing waits for nobody, and nobody who was right is convicted.
contract DisputesOrdersTest is CaseTest {
    struct Dispute {
        uint256 id;
        IDisputes.Record r;
        bool over;
    }

    Dispute[] private _all;
    Evidence private _first;
    Evidence private _second;
    Evidence private _elsewhere;
    bytes32 private _response;
    bool private _liar;
    bool private _secondLiar;
    bool private _elsewhereDone;
    uint256 private _dismissed;
    uint256 private _rejected;
    uint64[2] private _redeemed;

    /// forge-config: default.fuzz.runs = 192
    function testFuzz_EveryOrderEndsAndConserves(uint256 seed, bool liar, bool secondLiar) public {
        (_liar, _secondLiar) = (liar, secondLiar);
        (Evidence memory a, Evidence memory b) =
            drawnTwice(0, liar ? WRONG : RIGHT, RIGHT, secondLiar ? keccak256("second") : RIGHT);
        (_first, _second, _elsewhere) = (a, b, answered(0, 9, 77, 100, WRONG));
        _response = recordOf(a, user).response;
        for (uint256 i; i < 16; ++i) {
            _step(seed & 0xf, seed >> 4 & 0xf);
            seed = seed >> 8 | uint256(keccak256(abi.encode(seed))) << 248;
            conserved();
        }
        _finish();
        _judge();
    }

    function _step(uint256 move, uint256 pick) private {
        if (move < 2) {
            _open(_first, user, false);
        } else if (move < 4) {
            _open(_second, pick & 1 == 0 ? user : servers[serverOfSeat(_second.answer.seat)], false);
        } else if (move < 6) {
            _open(_first, stranger, true);
        } else if (move == 6) {
            _open(_first, servers[0], true);
        } else if (move == 7) {
            skip(pick);
        } else if (move < 10) {
            _publish(pick);
        } else if (move == 10) {
            _decide();
        } else if (move == 11 && pick < 4) {
            _convictElsewhere();
        } else if (move == 11) {
            _live(pick);
        } else {
            _end(pick);
        }
    }

    /// @dev What goes on besides: of the accused server, and of another.
    function _live(uint256 pick) private {
        IStaking.Server memory s = staking.serverOf(pool, servers[0]);
        bool held = s.freezes != 0 || s.convicted;
        if (pick < 7) {
            uint256 server = pick & 1;
            uint64 n = ++_redeemed[server];
            (Voucher[] memory vouchers, bytes[] memory signatures) =
                batchOf(voucher(server, 5, n, n, n * 100));
            vm.prank(servers[server]);
            try lanes.redeem(pool, servers[server], vouchers, signatures) { }
            catch {
                assertTrue(server == 0 && s.convicted, "only a convicted server earns nothing");
            }
        } else if (pick == 7) {
            vm.prank(servers[0]);
            staking.setKey(pool, makeAddr("another key"));
        } else if (pick < 10) {
            vm.prank(servers[0]);
            try staking.unbond(pool, 1) { } catch { }
        } else if (pick < 12) {
            vm.prank(servers[0]);
            try staking.withdraw(pool, 1) {
                assertFalse(held, "6: stake left that an open dispute may take");
            } catch { }
        } else if (pick < 14) {
            uint32[] memory epochs = new uint32[](1);
            epochs[0] = params.epochOf(block.timestamp) - 1;
            try lanes.release(pool, servers[0], epochs) {
                assertFalse(held, "6: rewards left that an open dispute may forfeit");
            } catch { }
        } else {
            skip(params.windows.epoch);
        }
    }

    function _open(Evidence memory e, address opener, bool alone) private {
        if (alone) {
            vm.prank(opener);
            try disputes.accuse(e.request, e.response, e.responseSignature) returns (uint256 id) {
                _all.push(Dispute(id, accusationOf(e, opener), false));
            } catch { }
        } else {
            vm.prank(opener);
            try disputes.open(e) returns (uint256 id) {
                _all.push(Dispute(id, recordOf(e, opener), false));
            } catch { }
        }
        if (disputedResponses.length == 0) disputedResponses.push(_response);
    }

    function _publish(uint256 pick) private {
        if (_all.length == 0) return;
        Dispute memory d = _all[pick % _all.length];
        try disputes.publish(d.id, d.r, INPUT) { } catch { }
    }

    function _outcome() private view returns (IArbiter.Outcome outcome) {
        (outcome,,) = arbiter.outcomeOf(address(disputes), disputes.subjectOf(_response));
    }

    /// @dev The verdict, or none where too little of the commit window is left.
    function _decide() private {
        if (_outcome() != IArbiter.Outcome.Pending) return;
        bytes32 subject = disputes.subjectOf(_response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        uint256 commitEnd = arbiter.ballotOf(address(disputes), subject, ballot).commitEnd;
        if (block.timestamp <= commitEnd - params.windows.commit / 2) return verdict(_response, RIGHT);
        vm.warp(commitEnd + 1);
        arbiter.advance(address(disputes), subject);
    }

    function _convictElsewhere() private {
        if (_elsewhereDone) return;
        Evidence memory e = _elsewhere;
        vm.prank(servers[4]);
        try disputes.accuse(e.request, e.response, e.responseSignature) returns (uint256 id) {
            IDisputes.Record memory r = accusationOf(e, servers[4]);
            judge(id, r, RIGHT);
            disputes.resolve(id, r);
            settleAllJurors(r.response, 1);
            _elsewhereDone = true;
        } catch { }
    }

    function _end(uint256 pick) private {
        if (_all.length == 0) return;
        Dispute storage d = _all[pick % _all.length];
        if (d.over) return;
        try disputes.resolve(d.id, d.r) { } catch { }
        if (!_over(d)) try disputes.close(d.id, d.r) { } catch { }
        if (!_over(d)) try disputes.dismiss(d.id, d.r) { } catch { }
        d.over = _over(d);
    }

    function _over(Dispute storage d) private returns (bool over) {
        if (d.over) return true;
        IDisputes.State state = disputes.stateOf(d.id);
        over = state != IDisputes.State.Opened && state != IDisputes.State.Published;
        if (state == IDisputes.State.Dismissed) ++_dismissed;
        if (state == IDisputes.State.Rejected) ++_rejected;
        d.over = over;
    }

    /// @dev Whatever happened so far, everything ends when the calls that are due are sent.
    function _finish() private {
        for (uint256 round; round < 6; ++round) {
            _decide();
            bool all = true;
            for (uint256 i; i < _all.length; ++i) {
                _end(i);
                if (!_all[i].over) all = false;
                conserved();
            }
            if (all) break;
            skip(params.windows.publish + 1);
        }
        for (uint256 i; i < _all.length; ++i) {
            assertTrue(_all[i].over, "every dispute ends");
        }
        if (disputedResponses.length > 0) assertEq(disputes.caseOf(pool, _response).open, 0);
    }

    function _judge() private {
        IArbiter.Outcome outcome = _outcome();
        if (outcome != IArbiter.Outcome.None) _settle(outcome);
        nothingWaits();
        bool decided = outcome == IArbiter.Outcome.Decided;
        assertFalse(isConvicted(_first.answer.seat), "the first validator was right");
        assertEq(isConvicted(1), _elsewhereDone || decided && _liar, "the server");
        bool judged_;
        for (uint256 i; i < _all.length; ++i) {
            if (_all[i].r.validatorSeat == _second.answer.seat) judged_ = true;
            if (disputes.stateOf(_all[i].id) == IDisputes.State.Convicted) assertTrue(decided);
        }
        if (decided) {
            bool convicted_ = isConvicted(_second.answer.seat);
            assertTrue(!convicted_ || _secondLiar && judged_, "the second validator");
        }
        // Who accuses a liar, and has the input published in time, loses nothing.
        bool void_ = outcome == IArbiter.Outcome.Void;
        if (_liar && _dismissed == 0 && !void_) {
            assertGe(free(stranger), 1_000_000);
            assertGe(free(user), 2_000_000);
        }
        if (_dismissed == 0 && !void_) {
            // A first ballot that ran out had no jury; the second one's is the larger.
            uint256 jury = uint256(params.limits.secondJury) * params.prices.jurorPay;
            uint256 loss = jury + _rejected * params.prices.freezePrice;
            assertGe(free(stranger) + loss, 1_000_000, "at most the jury and the freezes");
            assertGe(free(user) + loss, 2_000_000);
        }
    }

    function _settle(IArbiter.Outcome outcome) private {
        bytes32 subject = disputes.subjectOf(_response);
        uint8 ballots = arbiter.currentBallot(address(disputes), subject);
        uint256[] memory one = new uint256[](1);
        for (uint8 ballot = 1; ballot <= ballots; ++ballot) {
            uint256 size = arbiter.ballotOf(address(disputes), subject, ballot).size;
            for (one[0] = 0; one[0] < size; ++one[0]) {
                (, IArbiter.Standing standing) =
                    arbiter.standingOf(address(disputes), subject, ballot, one[0]);
                if (standing != IArbiter.Standing.None) disputes.settleJurors(pool, _response, ballot, one);
            }
        }
        assertTrue(outcome != IArbiter.Outcome.Pending, "a case that is published ends");
    }
}
