// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "./interfaces/IArbiter.sol";
import { ISampling } from "./interfaces/ISampling.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { Clocks } from "./libraries/Clocks.sol";
import { Hashes } from "./libraries/Hashes.sol";
import { Panel, PanelState, Panels } from "./libraries/Panels.sol";
import { PoolStore } from "./libraries/PoolStore.sol";
import { Role } from "./types/Messages.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Sampling: see ISampling.
contract Sampling is ISampling {
    address public immutable POOLS;
    IStaking public immutable STAKING;

    enum Stage {
        None,
        Validating,
        Agreed,
        Escalated
    }

    struct Case {
        bytes32 record; // hash of the assertion
        bytes32 digest;
        address arbiter;
        Stage stage;
        bytes32 pool;
        Panel panel;
    }

    mapping(bytes32 key => Case) private _cases;

    constructor(address pools, address staking) {
        POOLS = pools;
        STAKING = IStaking(staking);
    }

    // ---------------------------------------------------------------------------------------------------- course

    /// @inheritdoc ISampling
    function open(bytes32 id, Assertion calldata a) external {
        Case storage c = _cases[_key(msg.sender, id)];
        require(c.stage == Stage.None, AssertionExists(msg.sender, id));
        PoolParams memory p = PoolStore.load(POOLS, a.pool);
        (c.record, c.pool, c.arbiter, c.stage) =
        (keccak256(abi.encode(a)), a.pool, p.basis.arbiter, Stage.Validating);
        c.panel.open(p, Clocks.read(p.basis.beacon));
        emit AssertionOpened(msg.sender, id, a.pool, a, c.panel.state);
    }

    /// @inheritdoc ISampling
    function draw(address client, bytes32 id, Assertion calldata a) external {
        Case storage c = _validating(client, id, a);
        PoolParams memory p = PoolStore.load(POOLS, a.pool);
        uint64[] memory seats =
            c.panel.draw(p, STAKING, a.pool, Hashes.DRAW_PANEL, subjectOf(client, id), p.limits.auditSize);
        emit ValidatorsDrawn(client, id, seats);
    }

    /// @inheritdoc ISampling
    function commit(
        address client,
        bytes32 id,
        Assertion calldata a,
        uint256[] calldata positions,
        bytes32 commitment
    ) external {
        Case storage c = _validating(client, id, a);
        c.panel.commit(PoolStore.load(POOLS, a.pool), STAKING, a.pool, positions, commitment);
        emit Committed(client, id, positions, commitment);
    }

    /// @inheritdoc ISampling
    function propose(address client, bytes32 id, Assertion calldata a, bytes32 digest) external {
        Case storage c = _validating(client, id, a);
        c.panel.requireProposable();
        uint8 matching = c.panel.count(STAKING, a.pool, Role.Validator, subjectOf(client, id), digest);
        bool asserted = a.commitment == Hashes.commitment(Role.Server, a.asserter, a.subject, digest);
        // Else anyone could send every assertion to the arbiter.
        require(asserted || matching > 0, NothingMatches());
        if (!asserted || matching == 0 || matching != c.panel.state.committed) {
            return _escalate(c, client, id);
        }
        c.panel.state.matching = matching;
        (c.stage, c.digest) = (Stage.Agreed, digest);
        emit Agreed(client, id, digest, matching);
    }

    /// @inheritdoc ISampling
    function advance(address client, bytes32 id, Assertion calldata a) external {
        Case storage c = _validating(client, id, a);
        c.panel.requireOver();
        _escalate(c, client, id);
    }

    // ----------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ISampling
    function outcomeOf(address client, bytes32 id)
        external
        view
        returns (Outcome outcome, bytes32 digest, uint256 validators, uint256 jurors)
    {
        Case storage c = _cases[_key(client, id)];
        if (c.stage == Stage.None) return (Outcome.None, 0, 0, 0);
        if (c.stage == Stage.Validating) return (Outcome.Pending, 0, 0, 0);
        if (c.stage == Stage.Agreed) return (Outcome.Decided, c.digest, c.panel.state.matching, 0);
        (outcome, digest, jurors) = _verdict(c, client, id);
        if (outcome == Outcome.Decided) {
            validators = c.panel.count(STAKING, c.pool, Role.Validator, subjectOf(client, id), digest);
        } else if (outcome == Outcome.Void) {
            validators = c.panel.state.committed;
        }
    }

    /// @inheritdoc ISampling
    function standingOf(address client, bytes32 id, uint256 position)
        external
        view
        returns (uint64 seat, Standing standing)
    {
        Case storage c = _cases[_key(client, id)];
        if (position >= c.panel.state.size) return (0, Standing.None);
        seat = c.panel.seatAt(position);
        if (c.stage == Stage.Validating) return (seat, Standing.Pending);
        Outcome outcome = Outcome.Decided;
        bytes32 digest = c.digest;
        if (c.stage == Stage.Escalated) (outcome, digest,) = _verdict(c, client, id);
        if (outcome == Outcome.Pending) return (seat, Standing.Pending);
        if (c.panel.commitments[position] == 0) return (seat, Standing.Fined);
        bool right = outcome == Outcome.Void
            || c.panel.matches(STAKING, c.pool, Role.Validator, subjectOf(client, id), position, digest);
        standing = right ? Standing.Paid : Standing.Wrong;
    }

    /// @inheritdoc ISampling
    function panelOf(address client, bytes32 id) external view returns (PanelState memory) {
        return _cases[_key(client, id)].panel.state;
    }

    /// @inheritdoc ISampling
    function seatOfValidator(address client, bytes32 id, uint256 position) external view returns (uint64) {
        Panel storage panel = _cases[_key(client, id)].panel;
        require(position < panel.state.size, Panels.NotMember(position, msg.sender));
        return panel.seatAt(position);
    }

    /// @inheritdoc ISampling
    function subjectOf(address client, bytes32 id) public view returns (bytes32) {
        return Hashes.assertionSubject(block.chainid, address(this), client, id);
    }

    // -------------------------------------------------------------------------------------------------- internals

    function _escalate(Case storage c, address client, bytes32 id) private {
        c.stage = Stage.Escalated;
        bytes32 subject = subjectOf(client, id);
        emit Escalated(client, id, subject);
        IArbiter(c.arbiter).open(c.pool, subject);
    }

    function _verdict(Case storage c, address client, bytes32 id)
        private
        view
        returns (Outcome, bytes32, uint256)
    {
        (IArbiter.Outcome outcome, bytes32 digest, uint256 jurors) =
            IArbiter(c.arbiter).outcomeOf(address(this), subjectOf(client, id));
        if (outcome == IArbiter.Outcome.Decided) return (Outcome.Decided, digest, jurors);
        if (outcome == IArbiter.Outcome.Void) return (Outcome.Void, 0, jurors);
        return (Outcome.Pending, 0, 0);
    }

    function _validating(address client, bytes32 id, Assertion calldata a)
        private
        view
        returns (Case storage c)
    {
        c = _cases[_key(client, id)];
        require(c.stage == Stage.Validating, AssertionNotPending(client, id));
        require(c.record == keccak256(abi.encode(a)), WrongAssertion(client, id));
    }

    function _key(address client, bytes32 id) private pure returns (bytes32) {
        return keccak256(abi.encode(client, id));
    }
}
