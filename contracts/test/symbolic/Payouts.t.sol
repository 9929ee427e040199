// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Disputes } from "../../src/Disputes.sol";
import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Conditions } from "../../src/libraries/Conditions.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { InferenceRequest, InferenceResponse } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { SymbolicTest } from "./SymbolicTest.sol";

/// @dev What a dispute asks of others: checks that find any response valid, an arbiter with any verdict, seats with an intact
/// stake, and a ledger that keeps the balances of Case accounts and adds up the rest.
contract Court {
    uint256 private constant STAKE = 500_000;

    uint256 public units;
    uint256 public payees;
    bool public paid;
    uint256 public bonds;
    uint256 public slashed;
    uint256 public burnt;
    uint256 public returned; // to Bond accounts
    uint256 public out; // to Free and Balance accounts
    bool private _convicted;
    uint24 private _disputes;
    mapping(bytes32 key => uint256) private _cases;

    function decide(uint256 units_, uint256 payees_, bool paid_) external {
        (units, payees, paid) = (units_, payees_, paid_);
    }

    function verifyResponse(InferenceRequest calldata, InferenceResponse calldata, bytes calldata)
        external
        view
        returns (IChecks.Checked memory c)
    {
        (c.responseHash, c.units, c.ticketTime) = (bytes32(uint256(2)), units, block.timestamp);
    }

    function replace(bytes32, address, bytes32) external pure returns (bool) {
        return true;
    }

    function open(bytes32, bytes32) external { }

    function outcomeOf(address, bytes32) external view returns (IArbiter.Outcome, bytes32, uint256) {
        return (IArbiter.Outcome.Decided, bytes32(uint256(3)), payees);
    }

    function seatOf(bytes32, uint64) external view returns (IStaking.Seat memory s) {
        (s.owner, s.disputes) = (address(this), _disputes);
        s.status = _convicted ? IStaking.SeatStatus.Convicted : IStaking.SeatStatus.Active;
    }

    function accuse(bytes32, uint64, bool opened) external {
        if (opened) ++_disputes;
        else --_disputes;
    }

    function slash(bytes32, uint64, bytes32 key) external returns (uint256) {
        _convicted = true;
        slashed += STAKE;
        _cases[key] += STAKE;
        return STAKE;
    }

    function forfeit(bytes32, address) external returns (uint256) { }

    function laneOf(bytes32, address, address, uint64) external view returns (ILanes.Lane memory lane) {
        lane.sequence = paid ? 1 : 0;
    }

    function balanceOf(bytes32, AccountKind, bytes32 key) external view returns (uint256) {
        return _cases[key];
    }

    function move(bytes32, AccountKind from, bytes32 fromKey, AccountKind to, bytes32 toKey, uint256 amount)
        external
    {
        if (from == AccountKind.Case) {
            require(_cases[fromKey] >= amount);
            _cases[fromKey] -= amount;
        } else {
            bonds += amount;
        }
        if (to == AccountKind.Case) _cases[toKey] += amount;
        else if (to == AccountKind.Burn) burnt += amount;
        else if (to == AccountKind.Bond) returned += amount;
        else out += amount;
    }

    function heldFor(bytes32 key) external view returns (uint256) {
        return _cases[key];
    }
}

/// @dev A conviction pays out less than the stake and burns some of it.
contract PayoutsSymbolicTest is SymbolicTest {
    Court private court;
    Disputes private disputes;
    PoolParams private params;

    function setUp() public {
        court = new Court();
        params = poolParams(address(court));
        disputes = new Disputes(world(address(court), params));
    }

    /// @dev The server is accused alone and convicted with an intact stake, by its user or by somebody else.
    function _convict(uint256 units, uint256 payees, bool paid, address user) private {
        vm.assume(units <= params.limits.maxUnits);
        vm.assume(payees <= uint256(params.limits.firstJury) + params.limits.secondJury);
        court.decide(units, payees, paid);
        bytes memory input = "input";
        InferenceRequest memory request;
        (request.pool, request.user, request.server) = (POOL, user, address(0x5e));
        (request.seat, request.sequence, request.inputHash) = (9, 1, keccak256(input));
        InferenceResponse memory response;
        uint256 id = disputes.accuse(request, response, "");
        IDisputes.Record memory r = IDisputes.Record({
            pool: POOL,
            response: bytes32(uint256(2)),
            inputHash: request.inputHash,
            opener: address(this),
            user: user,
            server: request.server,
            serverSeat: 9,
            serverSubject: Hashes.responseSubject(response),
            serverCommitment: 0,
            validator: address(0),
            validatorSeat: 0,
            validatorCommitment: 0,
            lane: 0,
            sequence: 1,
            units: uint32(units),
            outputTokens: 0
        });
        disputes.publish(id, r, input);
        disputes.resolve(id, r);

        assert(disputes.stateOf(id) == IDisputes.State.Convicted);
        uint256 jurors = payees * params.prices.jurorPay;
        // Jurors' pay waits in the response's account; nothing else is left behind.
        assert(court.heldFor(r.response) == jurors);
        assert(court.heldFor(bytes32(id)) == 0);
        assert(court.slashed() == params.prices.seatStake);
        // What went in came out, and of the stake some was burnt.
        assert(court.bonds() + court.slashed() == court.burnt() + court.returned() + court.out() + jurors);
        assert(court.burnt() > 0);
        assert(court.burnt() >= 2 * params.juryBudget());
        assert(court.returned() + court.out() + jurors < court.bonds() + court.slashed());
    }

    function check_AConvictionByTheUserBurnsSomeOfTheStake(uint256 units, uint256 payees, bool paid) public {
        _convict(units, payees, paid, address(this));
    }

    function check_AConvictionByAnotherBurnsSomeOfTheStake(uint256 units, uint256 payees, bool paid) public {
        _convict(units, payees, paid, address(0xa11ce));
    }

    /// @dev Where the largest response leaves a net stake, every one does. Prices a unit and units are below 16 for the
    /// solver, other widths as declared: products of two unknowns.
    function check_TheLargestResponseIsTheWorst(
        uint8 rewardUnit,
        uint8 feeUnit,
        uint16 rewardFixed,
        uint16 feeFixed,
        uint16 checkFixed,
        uint24 stake,
        uint8 most,
        uint8 units
    ) public view {
        vm.assume(units <= most && most < 16 && rewardUnit < 16 && feeUnit < 16);
        PoolParams memory p = params;
        (p.prices.rewardUnit, p.prices.feeUnit, p.prices.rewardFixed) = (rewardUnit, feeUnit, rewardFixed);
        (p.prices.feeFixed, p.prices.checkFixed, p.prices.seatStake) = (feeFixed, checkFixed, stake);
        p.limits.maxUnits = most;
        (bool covered, uint256 net) = Conditions.netStake(p);
        if (!covered) return;
        uint256 payouts = uint256(stake) / 3 + p.fee(units) + p.baseFee(units) + p.checkPay(units)
            + p.juryBudget() + p.prices.gasAllowance;
        assert(payouts + net <= stake);
    }
}
