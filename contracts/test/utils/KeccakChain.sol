// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ERC20Burnable } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import { IArbiter } from "../../src/interfaces/IArbiter.sol";
import { IBeacon } from "../../src/interfaces/IBeacon.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { Clocks } from "../../src/libraries/Clocks.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { Role } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";

/// @title A service over Sampling that has nothing to do with inference: `f(x)` is keccak256 applied `steps` times to `x`.
/// @notice Anybody asserts a value, with collateral of its own. The beacon samples some of the assertions; seats of a pool recompute
/// those. A right asserter gets its collateral back and pays for the check, a wrong one loses everything.
/// @dev The core returns facts and this contract does the money. It has no power over the pool's seats: a validator that was silent
/// or wrong is just not paid here. A service that needs more asks validators for a bond of its own.
contract KeccakChain {
    enum State {
        None,
        Asserted, // waits for its round
        Passed, // not sampled: its asserter reveals the value
        Sampled, // before the validators
        Accepted,
        Refuted,
        Undecided
    }

    struct Claim {
        address asserter;
        uint64 round; // decides whether the claim is sampled
        State state;
        bytes32 commitment; // hides the value from validators until they have committed
        bytes32 value; // f(x), once accepted or refuted
    }

    uint256 public constant COLLATERAL = 1_000_000;
    uint256 public constant VALIDATOR_PAY = 100;
    uint256 public constant JUROR_PAY = 50;
    /// @dev Chance of being sampled, in thousandths.
    uint256 public constant SAMPLED = 250;
    /// @dev Rounds until the one that samples: its value can't exist yet.
    uint64 private constant DELAY = 2;

    ISampling public immutable SAMPLING;
    IStaking public immutable STAKING;
    ERC20Burnable public immutable TOKEN;
    IBeacon public immutable BEACON;
    IArbiter public immutable ARBITER;
    bytes32 public immutable POOL;
    /// @notice What a check may cost; the asserter puts it up with the collateral.
    uint256 public immutable BUDGET;

    mapping(bytes32 id => Claim) public claims;
    mapping(bytes32 payee => bool) private _paid;

    event Asserted(bytes32 indexed id, address indexed asserter, bytes32 x, uint256 steps, uint64 round);
    event Ended(bytes32 indexed id, State state, bytes32 value, uint256 returned, uint256 burnt);

    error WrongState(bytes32 id, State state);
    error WrongValue(bytes32 value);
    error StillPending(bytes32 id);
    error NotDue(uint256 position);

    constructor(ISampling sampling, IStaking staking, bytes32 pool, PoolParams memory p) {
        (SAMPLING, STAKING, POOL) = (sampling, staking, pool);
        (TOKEN, BEACON, ARBITER) =
        (ERC20Burnable(p.basis.token), IBeacon(p.basis.beacon), IArbiter(p.basis.arbiter));
        BUDGET = VALIDATOR_PAY * p.limits.auditSize + JUROR_PAY
            * (uint256(p.limits.firstJury) + p.limits.secondJury);
    }

    /// @notice The function that the service is about. Off-chain everybody computes it by itself.
    function f(bytes32 x, uint256 steps) public pure returns (bytes32) {
        for (uint256 i; i < steps; ++i) {
            x = keccak256(abi.encode(x));
        }
        return x;
    }

    /// @notice Names a claim; also the subject of the asserter's commitment.
    function idOf(address asserter, bytes32 x, uint256 steps) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), asserter, x, steps));
    }

    /// @notice Asserts that the caller knows `f(x)`. Its `x` is public with this call.
    /// @param commitment `Hashes.commitment(Server, caller, id, value)`.
    function assertValue(bytes32 x, uint256 steps, bytes32 commitment) external returns (bytes32 id) {
        id = idOf(msg.sender, x, steps);
        Claim storage c = _in(id, State.None);
        uint64 round = Clocks.read(address(BEACON)).knowable(0) + DELAY;
        (c.asserter, c.round, c.state, c.commitment) = (msg.sender, round, State.Asserted, commitment);
        TOKEN.transferFrom(msg.sender, address(this), COLLATERAL + BUDGET);
        emit Asserted(id, msg.sender, x, steps, round);
    }

    /// @notice Samples a claim, or lets it pass, once its round is on-chain. Anyone may.
    function sample(bytes32 id) external {
        Claim storage c = _in(id, State.Asserted);
        bool sampled = uint256(keccak256(abi.encode(BEACON.randomness(c.round), id))) % 1000 < SAMPLED;
        c.state = sampled ? State.Sampled : State.Passed;
        if (sampled) SAMPLING.open(id, assertionOf(id));
    }

    /// @notice What Sampling is asked about.
    function assertionOf(bytes32 id) public view returns (ISampling.Assertion memory) {
        Claim storage c = claims[id];
        return ISampling.Assertion(POOL, c.asserter, id, c.commitment);
    }

    /// @notice Accepts the value of a claim that was not sampled.
    function reveal(bytes32 id, bytes32 value) external {
        Claim storage c = _in(id, State.Passed);
        require(_asserts(id, c, value), WrongValue(value));
        _end(id, c, State.Accepted, value, 0);
    }

    /// @notice Carries out what the validators or the arbiter found. Anyone may.
    function settle(bytes32 id) external {
        Claim storage c = _in(id, State.Sampled);
        (ISampling.Outcome outcome, bytes32 value, uint256 validators, uint256 jurors) =
            SAMPLING.outcomeOf(address(this), id);
        require(outcome > ISampling.Outcome.Pending, StillPending(id));
        State state = State.Undecided;
        if (outcome == ISampling.Outcome.Decided) {
            state = _asserts(id, c, value) ? State.Accepted : State.Refuted;
        }
        _end(id, c, state, value, validators * VALIDATOR_PAY + jurors * JUROR_PAY);
    }

    /// @notice Pays the validators whose commitments count. Anyone may.
    function payValidators(bytes32 id, uint256[] calldata positions) external {
        for (uint256 i; i < positions.length; ++i) {
            (uint64 seat, ISampling.Standing standing) = SAMPLING.standingOf(address(this), id, positions[i]);
            _pay(id, 0, positions[i], seat, standing == ISampling.Standing.Paid, VALIDATOR_PAY);
        }
    }

    /// @notice Pays jurors of an escalated claim. Anyone may.
    function payJurors(bytes32 id, uint8 ballot, uint256[] calldata positions) external {
        bytes32 subject = SAMPLING.subjectOf(address(this), id);
        for (uint256 i; i < positions.length; ++i) {
            (uint64 seat, IArbiter.Standing standing) =
                ARBITER.standingOf(address(SAMPLING), subject, ballot, positions[i]);
            _pay(id, ballot, positions[i], seat, standing == IArbiter.Standing.Paid, JUROR_PAY);
        }
    }

    function _asserts(bytes32 id, Claim storage c, bytes32 value) private view returns (bool) {
        return c.commitment == Hashes.commitment(Role.Server, c.asserter, id, value);
    }

    /// @dev What the check costs stays here for its payees; the rest goes back, or is burnt with the liar's collateral.
    function _end(bytes32 id, Claim storage c, State state, bytes32 value, uint256 due) private {
        (c.state, c.value) = (state, value);
        uint256 rest = COLLATERAL + BUDGET - due;
        bool lied = state == State.Refuted;
        if (lied) TOKEN.burn(rest);
        else TOKEN.transfer(c.asserter, rest);
        emit Ended(id, state, value, lied ? 0 : rest, lied ? rest : 0);
    }

    function _pay(bytes32 id, uint8 ballot, uint256 position, uint64 seat, bool due, uint256 amount) private {
        bytes32 payee = keccak256(abi.encode(id, ballot, position));
        require(due && claims[id].state > State.Sampled && !_paid[payee], NotDue(position));
        _paid[payee] = true;
        TOKEN.transfer(STAKING.seatOf(POOL, seat).owner, amount);
    }

    function _in(bytes32 id, State state) private view returns (Claim storage c) {
        c = claims[id];
        require(c.state == state, WrongState(id, c.state));
    }
}
