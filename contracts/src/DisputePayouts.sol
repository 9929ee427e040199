// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IArbiter } from "./interfaces/IArbiter.sol";
import { IDisputes } from "./interfaces/IDisputes.sol";
import { ILanes } from "./interfaces/ILanes.sol";
import { ILedger } from "./interfaces/ILedger.sol";
import { IStaking } from "./interfaces/IStaking.sol";
import { AccountKind, keyOf } from "./types/Accounts.sol";
import { PoolParams } from "./types/PoolParams.sol";

/// @title Who is paid, and from what, when disputes end.
/// @dev Money in Case accounts: a dispute's bond and slash under its id; what a response's jury is paid from under the
/// response's hash; what a conviction set aside for a seat's other disputes under that seat.
abstract contract DisputePayouts is IDisputes {
    ILedger public immutable LEDGER;
    IStaking public immutable STAKING;
    ILanes public immutable LANES;

    /// @dev By pool too: what a response's jury owes in one pool must not be taken from the seats of another.
    mapping(bytes32 pool => mapping(bytes32 response => Case)) internal _cases;

    constructor(address ledger, address staking, address lanes) {
        LEDGER = ILedger(ledger);
        STAKING = IStaking(staking);
        LANES = ILanes(lanes);
    }

    /// @dev Keeps of the jury's budget what its jurors are due, once, and gives the payer the rest; after a void ballot it is
    /// spent.
    function _settleCase(PoolParams memory p, Record calldata r, IArbiter.Outcome outcome, uint256 payees)
        internal
    {
        Case storage c = _cases[r.pool][r.response];
        if (c.settled) return;
        c.settled = true;
        uint256 rest = p.juryBudget() - payees * p.prices.jurorPay;
        if (outcome == IArbiter.Outcome.Void) {
            _move(r.pool, r.response, AccountKind.Burn, 0, rest);
        } else {
            _move(r.pool, r.response, AccountKind.Free, keyOf(c.payer), rest);
        }
    }

    /// @dev Gives the payer back what its jury costs, out of a convicted stake, once.
    function _repay(Record calldata r, uint256 id, uint256 jurors, uint256 left) internal returns (uint256) {
        Case storage c = _cases[r.pool][r.response];
        if (c.repaid || left == 0) return 0;
        c.repaid = true;
        return _pay(r.pool, id, AccountKind.Free, c.payer, jurors, left);
    }

    /// @dev The same out of what convictions of its seats elsewhere have set aside. The rest of it is for other cases.
    function _repayFromReserve(Record calldata r, uint256 id, uint256 jurors) internal {
        if (_cases[r.pool][r.response].repaid) return;
        uint256 reserve = _takeReserve(r.pool, r.serverSeat, id, jurors);
        reserve += _takeReserve(r.pool, r.validatorSeat, id, jurors - reserve);
        _repay(r, id, jurors, reserve);
    }

    function _takeReserve(bytes32 pool, uint64 seat, uint256 id, uint256 most)
        private
        returns (uint256 taken)
    {
        bytes32 key = _seatKey(pool, seat);
        taken = _min(LEDGER.balanceOf(pool, AccountKind.Case, key), most);
        _move(pool, key, AccountKind.Case, bytes32(id), taken);
    }

    /// @dev A jury budget for each open dispute over a convicted seat but `but`, as far as `left` goes. Who is convicted may have
    /// opened them all, and sit on their juries, so a conviction gives them no more than the conditions count as lost to it.
    function _setAside(
        PoolParams memory p,
        bytes32 pool,
        uint64 seat,
        bytes32 from,
        uint256 left,
        uint256 but
    ) internal returns (uint256 amount) {
        amount = _min((STAKING.seatOf(pool, seat).disputes - but) * p.juryBudget(), left);
        _move(pool, from, AccountKind.Case, _seatKey(pool, seat), amount);
    }

    /// @dev What is left of the bond goes back to the opener. Comes before a slash brings other money to the account.
    function _returnBond(uint256 id, Record calldata r) internal {
        uint256 rest = LEDGER.balanceOf(r.pool, AccountKind.Case, bytes32(id));
        _move(r.pool, bytes32(id), AccountKind.Free, keyOf(r.opener), rest);
    }

    /// @dev The freeze price goes to the accused who did not open the dispute, in equal parts.
    function _payFrozen(PoolParams memory p, uint256 id, Record calldata r) internal {
        uint256 price = p.prices.freezePrice;
        uint256 toServer = r.validator == address(0) || r.opener == r.validator ? price : price / 2;
        if (r.opener == r.server && r.validator != address(0)) toServer = 0;
        _pay(r.pool, id, AccountKind.Free, r.server, toServer, price);
        _pay(r.pool, id, AccountKind.Free, r.validator, price - toServer, price);
    }

    /// @dev A third of the stake to the user, half of it to who found the lie, and what the user paid for a wrong answer.
    function _compensate(
        PoolParams memory p,
        uint256 id,
        Record calldata r,
        address finder,
        bool byServer,
        uint256 left
    ) internal returns (uint256) {
        uint256 compensation = p.prices.seatStake / 3;
        uint256 share = finder == r.user ? 0 : compensation / 2;
        if (byServer) {
            bool paid = LANES.laneOf(r.pool, r.user, r.server, r.lane).sequence >= r.sequence;
            if (paid) left -= _pay(r.pool, id, AccountKind.Balance, r.user, p.fee(r.units), left);
            compensation += p.baseFee(r.units);
        }
        left -= _pay(r.pool, id, AccountKind.Free, r.user, compensation - share, left);
        return left - _pay(r.pool, id, AccountKind.Free, finder, share, left);
    }

    function _slash(uint256 id, bytes32 pool, uint64 seat, address owner) internal returns (uint256) {
        LANES.forfeit(pool, owner);
        return STAKING.slash(pool, seat, bytes32(id));
    }

    /// @dev Burns what a conviction set aside once no dispute is left that it could pay for.
    function _sweep(bytes32 pool, uint64 seat) internal {
        IStaking.Seat memory s = STAKING.seatOf(pool, seat);
        if (s.status != IStaking.SeatStatus.Convicted || s.disputes != 0) return;
        bytes32 key = _seatKey(pool, seat);
        uint256 rest = LEDGER.balanceOf(pool, AccountKind.Case, key);
        _move(pool, key, AccountKind.Burn, 0, rest);
    }

    function _burnRest(bytes32 pool, uint256 id) internal returns (uint256 rest) {
        rest = LEDGER.balanceOf(pool, AccountKind.Case, bytes32(id));
        _move(pool, bytes32(id), AccountKind.Burn, 0, rest);
    }

    /// @dev A dispute's bond: what the jury may cost, and the price of a freeze. It is the opener's Free money: a user's Bond
    /// guarantees what it owes, and a dispute could move that into the pockets of friends, or hold it while others' rights expire.
    function _bond(PoolParams memory p) internal pure returns (uint256) {
        return p.juryBudget() + p.prices.freezePrice;
    }

    /// @dev Pays out of a dispute's account what `left` allows.
    function _pay(bytes32 pool, uint256 id, AccountKind kind, address to, uint256 amount, uint256 left)
        internal
        returns (uint256 paid)
    {
        paid = _min(amount, left);
        _move(pool, bytes32(id), kind, keyOf(to), paid);
    }

    function _seatKey(bytes32 pool, uint64 seat) internal pure returns (bytes32) {
        return keccak256(abi.encode(pool, seat));
    }

    /// @dev Out of a Case account.
    function _move(bytes32 pool, bytes32 from, AccountKind kind, bytes32 to, uint256 amount) internal {
        LEDGER.move(pool, AccountKind.Case, from, kind, to, amount);
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
