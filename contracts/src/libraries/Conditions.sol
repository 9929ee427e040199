// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { PoolParams, THOUSAND, RATE_ONE } from "../types/PoolParams.sol";

/// @notice The conditions that a pool must meet; docs/ECONOMICS.md derives each.
enum Condition {
    Domain, // a parameter outside its range
    Deterrence, // a liar loses more than it gains, for every size
    Forfeiture, // many wrong answers at once gain nothing either
    PositiveBurn, // self-dealing loses money
    Coverage, // a conviction covers its payouts and burns 2J
    Participation, // honest servers, users and jurors earn
    Windows, // nothing leaves while it can still be claimed
    Bond, // a user's bond and check account pay its checks
    Jury, // colluders neither frame nor block often
    Audits // a redemption's reward carries its audits, so that none is too large to be audited
}

/// @title The enforced conditions, in integers, decided to the last unit.
library Conditions {
    /// @notice A pool was refused because its parameters break `condition`.
    error PoolRefused(Condition condition);

    /// @dev Bounds the loop over an audit's validators.
    uint256 private constant MAX_AUDITORS = 16;
    /// @dev No window is longer.
    uint256 private constant MAX_WINDOW = 366 days;
    /// @dev Fixed point of probabilities inside `tail`.
    uint256 private constant ONE = 1 << 192;

    /// @notice Reverts with the first condition that `p` breaks.
    /// @param period Seconds between two rounds of the pool's beacon.
    function enforce(PoolParams memory p, uint256 period) internal pure {
        require(_domain(p, period), PoolRefused(Condition.Domain));
        (bool covered, uint256 net) = netStake(p);
        require(covered && net >= 2 * p.juryBudget(), PoolRefused(Condition.Coverage));
        require(_deterrence(p, net), PoolRefused(Condition.Deterrence));
        require(_forfeiture(p), PoolRefused(Condition.Forfeiture));
        require(_positiveBurn(p), PoolRefused(Condition.PositiveBurn));
        require(_participation(p), PoolRefused(Condition.Participation));
        require(_windows(p, period), PoolRefused(Condition.Windows));
        require(_bond(p), PoolRefused(Condition.Bond));
        require(_jury(p, p.limits.firstJury) && _jury(p, p.limits.secondJury), PoolRefused(Condition.Jury));
        require(_audits(p), PoolRefused(Condition.Audits));
    }

    /// @notice S_net: what a conviction costs a server that is also the user, the other server and the jury.
    /// @return covered False if the payouts exceed the stake.
    /// @return net `S − (S/3 + fee + u0 + u·m + check pay + J + gas)` at the largest request.
    function netStake(PoolParams memory p) internal pure returns (bool covered, uint256 net) {
        uint256 m = p.limits.maxUnits;
        uint256 stake = p.prices.seatStake;
        uint256 payouts =
            stake / 3 + p.fee(m) + p.baseFee(m) + p.checkPay(m) + p.juryBudget() + p.prices.gasAllowance;
        return stake > payouts ? (true, stake - payouts) : (false, 0);
    }

    /// @notice Upper bound of P[Bin(n, collusion/1000) >= k], as a fraction of 2^64.
    /// @dev Terms by the recurrence `t(i+1) = t(i)·(n−i)·r / ((i+1)·(1−r))`, each rounded up at 192 bits.
    function tail(uint256 n, uint256 k, uint256 collusion) internal pure returns (uint256) {
        uint256 term = ONE;
        for (uint256 i; i < n; ++i) {
            term = _ceilDiv(term * (THOUSAND - collusion), THOUSAND);
        }
        uint256 sum = k == 0 ? term : 0;
        for (uint256 i; i < n; ++i) {
            term = _ceilDiv(term * (n - i) * collusion, (i + 1) * (THOUSAND - collusion));
            if (i + 1 >= k) sum += term;
        }
        uint256 bound = (sum >> 128) + 1;
        return bound < RATE_ONE ? bound : RATE_ONE;
    }

    /// @notice Seats that a verdict needs: two thirds of the jury, rounded up.
    function quorum(uint256 jurySize) internal pure returns (uint256) {
        return (2 * jurySize + 2) / 3;
    }

    function _domain(PoolParams memory p, uint256 period) private pure returns (bool) {
        return p.basis.token != address(0) && p.basis.beacon != address(0) && p.basis.arbiter != address(0)
            && p.limits.maxUnits > 0 && p.limits.maxUnits <= 1 << 24 && p.limits.maxInputBytes > 0
            && p.limits.maxInputBytes <= 64 * 1024 && p.limits.outputWeight > 0 && p.limits.promptWeight > 0
            && p.limits.promptWeight <= 1 << 16 && p.limits.outputWeight <= 1 << 16 && p.limits.stride > 0
            && p.limits.setSize > 0 && p.limits.setSize <= 32 && p.limits.firstJury >= 3
            && p.limits.secondJury > p.limits.firstJury && 3 * uint256(p.rates.collusion) < THOUSAND
            && p.rates.discount <= THOUSAND && period > 0 && p.windows.epoch >= period
            && p.windows.epoch >= p.windows.lag && _auditDomain(p)
            && p.challengeRate(p.limits.maxUnits) <= RATE_ONE && p.rates.challengeFixed <= RATE_ONE
            && p.rates.challengeUnit <= RATE_ONE && p.challengeRate(1) > 0;
    }

    function _auditDomain(PoolParams memory p) private pure returns (bool) {
        return !p.isAudited()
            || (p.rates.auditFixed <= RATE_ONE
                && p.rates.auditUnit <= RATE_ONE
                && p.auditRate(1, p.limits.maxUnits) <= RATE_ONE
                && p.limits.auditSize > 0
                && p.limits.auditSize <= MAX_AUDITORS);
    }

    /// @dev `p(m)·(1−r)·(1−v1·v2)·(pay(m)+S_net) > pay(m)+g`. The difference is convex in m, so its least value over the
    /// integers is where its slope changes sign; bisection finds that place exactly.
    function _deterrence(PoolParams memory p, uint256 net) private pure returns (bool) {
        uint256 v1 =
            tail(p.limits.firstJury, p.limits.firstJury - quorum(p.limits.firstJury) + 1, p.rates.collusion);
        uint256 v2 = tail(
            p.limits.secondJury, p.limits.secondJury - quorum(p.limits.secondJury) + 1, p.rates.collusion
        );
        // (1−r)(1−v1·v2), as a fraction of 2^32, rounded down.
        uint256 caught =
            (RATE_ONE - _ceilDiv(v1 * v2, RATE_ONE)) * (THOUSAND - p.rates.collusion) / THOUSAND >> 32;
        (uint256 low, uint256 high) = (1, p.limits.maxUnits);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_margin(p, net, caught, middle + 1) >= _margin(p, net, caught, middle)) high = middle;
            else low = middle + 1;
        }
        return _margin(p, net, caught, low) > 0;
    }

    /// @dev Deterrence at one size, times 2^96. Below 2^64·2^32·2^122 by the fields' widths, so it never wraps.
    function _margin(PoolParams memory p, uint256 net, uint256 caught, uint256 m)
        private
        pure
        returns (int256)
    {
        uint256 pay = p.pay(m);
        return int256(p.challengeRate(m) * caught * (pay + net)) - int256((pay + p.prices.outsideGain) << 96);
    }

    /// @dev Vesting outlasts every window, so a conviction takes the pay of all other wrong answers too. Where a wrong answer
    /// gains no more than an honest one earns, no number of them pays; the smallest response decides. A larger g would need a
    /// bound on the answers given before a conviction, which nothing enforces.
    function _forfeiture(PoolParams memory p) private pure returns (bool) {
        return uint256(p.prices.outsideGain) + p.prices.costUnit
            <= uint256(p.prices.rewardUnit) + p.prices.rewardFixed;
    }

    /// @dev Base fees exceed the e-money made of them and the expected pay of audits, coefficient by coefficient; that implies
    /// `u0 + u·m > p(m)·check(m) + a(m)·n·R_V` for every m, since p(m) <= p(maxUnits).
    function _positiveBurn(PoolParams memory p) private pure returns (bool) {
        uint256 rate = p.challengeRate(p.limits.maxUnits);
        uint256 unit = uint256(p.prices.rewardUnit) * THOUSAND + uint256(p.prices.feeUnit) * p.rates.discount;
        uint256 audit = p.isAudited() ? uint256(p.prices.auditPay) * p.limits.auditSize : 0;
        return rate * unit + p.rates.auditUnit * audit * THOUSAND
                < (uint256(p.prices.feeUnit) * THOUSAND) << 64
            && rate * p.prices.checkFixed + p.rates.auditFixed * audit <= uint256(p.prices.feeFixed) << 64;
    }

    function _participation(PoolParams memory p) private pure returns (bool) {
        uint256 work = uint256(p.prices.costUnit) * p.limits.maxUnits;
        return p.prices.rewardUnit >= p.prices.costUnit
            && (p.prices.rewardFixed > 0 || p.prices.rewardUnit > p.prices.costUnit) && p.rates.discount > 0
            && p.prices.feeUnit > 0 && p.prices.jurorPay >= work + p.prices.gasAllowance
            && p.prices.jurorPenalty > work && p.prices.seatFloat >= p.prices.jurorPenalty
            && (!p.isAudited() || p.prices.auditPay >= work + p.prices.gasAllowance);
    }

    function _windows(PoolParams memory p, uint256 period) private pure returns (bool) {
        // The margin: rounds between a response and its ticket, and before each of at most four draws: audits, validators, juries.
        uint256 margin = (uint256(p.limits.stride) + 10) * period + 4 * uint256(p.windows.lag);
        // Two juries, and before them the validators of an audit.
        uint256 ballots = p.isAudited() ? 3 : 2;
        uint256 dispute = uint256(p.windows.dispute) + p.windows.publish + ballots
            * (uint256(p.windows.commit) + p.windows.propose) + p.windows.audit + margin;
        uint256 checking = (uint256(p.limits.redraws) + 1) * p.windows.answer;
        // From an order to the ticket of its answer, also of one that is delivered at its deadline.
        uint256 ticket = uint256(p.windows.request) + p.windows.lag + (uint256(p.limits.stride) + 2) * period;
        uint256 bonded = _max(uint256(p.windows.voucher) + p.windows.vesting, ticket + p.windows.dispute);
        // Orders are taken until the block that asks for the exit is seen, up to `lag` late.
        uint256 owing =
            p.windows.lag + _max(uint256(p.windows.request) + p.windows.voucher, ticket + p.windows.claim);
        return p.windows.vesting >= dispute && p.windows.unbonding >= bonded && p.windows.exit >= owing
            && p.windows.claim >= checking && p.windows.dispute >= uint256(p.windows.claim) + p.windows.answer
            && _bounded(p, period);
    }

    /// @dev No window is shorter than a round of the beacon, by which its users see time pass. The others are bounded by these: `exit` and
    /// `unbonding` are longer than all but `epoch`.
    function _bounded(PoolParams memory p, uint256 period) private pure returns (bool) {
        return p.windows.answer >= period && p.windows.publish >= period && p.windows.commit >= 2 * period
            && p.windows.propose >= period && p.windows.request >= period && p.windows.voucher >= period
            && (!p.isAudited() || p.windows.audit >= period) && p.windows.unbonding <= MAX_WINDOW
            && p.windows.exit <= MAX_WINDOW && p.windows.epoch <= MAX_WINDOW;
    }

    /// @dev One answer, and what claims may take within any voucher's lifetime, which touches two of their periods.
    /// What they may take of a bond fits into the check account, too.
    function _bond(PoolParams memory p) private pure returns (bool) {
        uint256 m = p.limits.maxUnits;
        return p.prices.minBond >= p.fee(m) + 2 * p.checkReserve() && p.prices.checkCap >= p.checkReserve();
    }

    /// @dev `P_frame·(2(S/3 + fee + base fee) + J) < (1 − P_frame)(1 − r)·J`: opening a dispute in the hope of a colluding
    /// jury loses money.
    function _jury(PoolParams memory p, uint256 size) private pure returns (bool) {
        uint256 frame = tail(size, quorum(size), p.rates.collusion);
        uint256 m = p.limits.maxUnits;
        uint256 prize = 2 * (uint256(p.prices.seatStake) / 3 + p.fee(m) + p.baseFee(m)) + p.juryBudget();
        return frame * prize * THOUSAND < (RATE_ONE - frame) * (THOUSAND - p.rates.collusion) * p.juryBudget();
    }

    /// @dev `a0·B ≤ R0` and `a1·B ≤ R` with an audit's budget `B = n·R_V + J`: for every redemption the expected number of audits
    /// costs no more than its reward, so a stock of one budget covers what rounding that number up adds.
    function _audits(PoolParams memory p) private pure returns (bool) {
        uint256 budget = p.auditBudget();
        return p.rates.auditFixed * budget <= uint256(p.prices.rewardFixed) << 64
            && p.rates.auditUnit * budget <= uint256(p.prices.rewardUnit) << 64;
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    function _ceilDiv(uint256 a, uint256 b) private pure returns (uint256) {
        return a == 0 ? 0 : (a - 1) / b + 1;
    }
}
