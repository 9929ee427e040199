// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { PoolStore } from "../../src/libraries/PoolStore.sol";
import { Evidence, Role, Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";

/// @dev Execution gas of the protocol's calls, without the transaction's base fee and calldata, from cold storage: the
/// test beacon's, not the drand beacon's reads. Juries of 5 and 31, in a pool of 100 seats.
contract GasTest is AssayTest {
    uint256[] private keys;

    function poolParams() internal view override returns (PoolParams memory p) {
        p = super.poolParams();
        p.limits.secondJury = 31;
    }

    function seatsEach() internal pure override returns (uint32) {
        return 20;
    }

    /// @dev Makes the next call pay for its accounts and slots as a transaction of its own.
    function _cool() private {
        vm.cool(address(ledger));
        vm.cool(address(staking));
        vm.cool(address(lanes));
        vm.cool(address(checks));
        vm.cool(address(disputes));
        vm.cool(address(arbiter));
        vm.cool(address(beacon));
        vm.cool(address(token));
        vm.cool(PoolStore.pointerOf(address(pools), pool));
    }

    // -------------------------------------------------------------------------------------------------------- seats

    function _join(uint32 count, string memory name) private returns (uint256 used) {
        ledger.deposit(pool, user, count * 502_000);
        _cool();
        vm.prank(user);
        staking.join(pool, count);
        used = vm.snapshotGasLastCall("Staking", name);
    }

    function test_ASeatCostsAtMost150_000() public {
        assertLe(_join(1, "join, 1 seat"), 150_000);
    }

    function test_TwelveSeatsCostAtMost100_000Each() public {
        assertLe(_join(12, "join, 12 seats") / 12, 100_000);
    }

    function test_Unbonding() public {
        _cool();
        vm.prank(servers[0]);
        staking.unbond(pool, 1);
        vm.snapshotGasLastCall("Staking", "unbond");
    }

    // -------------------------------------------------------------------------------------------------------- lanes

    /// @dev In rising order of their addresses, as a batch wants them.
    function _users(uint256 count) private {
        for (uint256 i; i < count; ++i) {
            (address one, uint256 key) = makeAddrAndKey(string.concat("user", vm.toString(i)));
            keys.push(key);
            for (uint256 j = i; j > 0 && vm.addr(keys[j - 1]) > one; --j) {
                (keys[j - 1], keys[j]) = (keys[j], keys[j - 1]);
            }
            ledger.deposit(pool, one, 1_000_000);
            vm.prank(one);
            lanes.fund(pool, 500_000, 500_000);
        }
    }

    /// @dev One voucher of each user, each in a lane of its own.
    function _redeem(uint64 lane, uint64 sequence, string memory name) private returns (uint256 each) {
        uint256 count = keys.length;
        Voucher[] memory vouchers = new Voucher[](count);
        bytes[] memory signatures = new bytes[](count);
        for (uint256 i; i < count; ++i) {
            vouchers[i] = voucher(0, lane, sequence, sequence, sequence * 200);
            vouchers[i].user = vm.addr(keys[i]);
            signatures[i] = signed(keys[i], Hashes.voucher(vouchers[i]));
        }
        _cool();
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        each = vm.snapshotGasLastCall("Lanes", name) / count;
    }

    function test_RedeemingOneLane() public {
        _users(1);
        _redeem(7, 1, "redeem, 1 new lane of new user");
        _redeem(7, 2, "redeem, 1 known lane");
        _redeem(8, 1, "redeem, 1 new lane");
    }

    function test_RedeemingTenLanes() public {
        _users(10);
        _redeem(7, 1, "redeem, 10 new lanes of new users");
        _redeem(7, 2, "redeem, 10 known lanes");
        _redeem(8, 1, "redeem, 10 new lanes");
    }

    function test_RedeemingFiftyLanes() public {
        _users(50);
        _redeem(7, 1, "redeem, 50 new lanes of new users");
        _redeem(7, 2, "redeem, 50 known lanes");
        _redeem(8, 1, "redeem, 50 new lanes");
    }

    function test_Releasing() public {
        redeem(0, voucher(0, 7, 1, 1, 200));
        uint32[] memory epochs = new uint32[](1);
        epochs[0] = params.epochOf(block.timestamp);
        skip(110);
        _cool();
        lanes.release(pool, servers[0], epochs);
        vm.snapshotGasLastCall("Lanes", "release, 1 epoch");
    }

    // ------------------------------------------------------------------------------------------------------- checks

    function test_ClaimingAndSettling() public {
        redeem(0, voucher(0, 9, 1, 1, 1_000));
        // In use, other claims are pending, so that the account is not empty.
        checks.claim(drawn(0, 1, RIGHT, RIGHT));
        Evidence memory e = drawn(0, 2, RIGHT, RIGHT);
        bytes32 response = Hashes.response(e.response);
        _cool();
        checks.claim(e);
        vm.snapshotGasLastCall("Checks", "claim");
        skip(params.windows.dispute + 1);
        _cool();
        checks.settle(pool, user, response);
        vm.snapshotGasLastCall("Checks", "settle");
    }

    // ----------------------------------------------------------------------------------------------------- disputes

    function _commitOne(bytes32 response, uint256 position, string memory name) private {
        bytes32 subject = disputes.subjectOf(response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        address owner =
            servers[serverOfSeat(arbiter.seatOfJuror(address(disputes), subject, ballot, position))];
        uint256[] memory positions = new uint256[](1);
        positions[0] = position;
        bytes32 commitment =
            Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), RIGHT);
        _cool();
        vm.prank(owner);
        arbiter.commit(address(disputes), subject, positions, commitment);
        vm.snapshotGasLastCall("JuryArbiter", name);
    }

    function _drawNow(bytes32 response, string memory name) private {
        bytes32 subject = disputes.subjectOf(response);
        uint64 round =
            arbiter.ballotOf(address(disputes), subject, arbiter.currentBallot(address(disputes), subject))
        .round;
        beacon.set(round, keccak256(abi.encode("jury", round)));
        vm.warp(beacon.timeOf(round));
        _cool();
        arbiter.draw(address(disputes), subject);
        vm.snapshotGasLastCall("JuryArbiter", name);
    }

    /// @dev Draw, votes, proposal and verdict of the current ballot.
    function _vote(uint256 id, IDisputes.Record memory r, uint256 size, string memory jury) private {
        bytes32 subject = disputes.subjectOf(r.response);
        _drawNow(r.response, string.concat("draw, jury of ", jury));
        assertEq(jurySize(r.response), size);
        _commitOne(r.response, 0, string.concat("commit, first of ", jury));
        _commitOne(r.response, 1, string.concat("commit, next of ", jury));
        commitJurors(r.response, 2, size, RIGHT);
        _cool();
        arbiter.propose(address(disputes), subject, RIGHT);
        vm.snapshotGasLastCall("JuryArbiter", string.concat("propose, jury of ", jury));
        _cool();
        disputes.resolve(id, r);
        vm.snapshotGasLastCall("Disputes", string.concat("resolve to a conviction, jury of ", jury));
        uint256[] memory positions = new uint256[](size);
        for (uint256 i; i < size; ++i) {
            positions[i] = i;
        }
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        _cool();
        disputes.settleJurors(pool, r.response, ballot, positions);
        vm.snapshotGasLastCall("Disputes", string.concat("settleJurors, jury of ", jury));
    }

    function _published() private returns (uint256 id, IDisputes.Record memory r) {
        redeem(0, voucher(0, 7, 1, 1, 210));
        Evidence memory e = drawn(0, 1, WRONG, RIGHT);
        // The helper opens it again to learn the id; state goes back in between.
        uint256 state = vm.snapshotState();
        _cool();
        vm.prank(user);
        disputes.open(e);
        vm.snapshotGasLastCall("Disputes", "open");
        vm.revertToState(state);
        (id, r) = disputed(e, user);
        _cool();
        disputes.publish(id, r, INPUT);
        vm.snapshotGasLastCall("Disputes", "publish, 19 bytes");
    }

    function test_ADisputeBeforeAJuryOf5() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        _vote(id, r, 5, "5");
    }

    function test_ADisputeBeforeAJuryOf31() public {
        (uint256 id, IDisputes.Record memory r) = _published();
        skipBallot();
        _cool();
        arbiter.advance(address(disputes), disputes.subjectOf(r.response));
        vm.snapshotGasLastCall("JuryArbiter", "advance to the second ballot");
        _vote(id, r, 31, "31");
    }
}
