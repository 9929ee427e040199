//! The inequalities of each condition, from the section of docs/ECONOMICS.md with its number.

use assay_protocol::PoolParams;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::{
    Condition, Inequality,
    Unit::{self, Number, Seconds, Share, Token},
    probability::{Rule, quorum},
    symbols::Symbols,
    whole,
};

/// Denominator of rates is `2^RATE_BITS`.
const RATE_BITS: u32 = 64;
/// No window is longer, in seconds.
const MAX_WINDOW: u32 = 366 * 24 * 60 * 60;

/// All inequalities of `condition`, with probabilities taken by `rule`. All but Domain expect that Domain is met.
pub(super) fn inequalities(condition: Condition, p: &PoolParams, period: u64, rule: Rule) -> Vec<Inequality> {
    let s = Symbols::from(p);
    match condition {
        Condition::Domain => domain(p, &s, period),
        Condition::Deterrence => vec![deterrence(p, &s, rule)],
        Condition::Forfeiture => forfeiture(&s),
        Condition::PositiveBurn => positive_burn(&s),
        Condition::Coverage => coverage(&s),
        Condition::Participation => participation(&s),
        Condition::Windows => windows(p, &s, period),
        Condition::Bond => bond(&s),
        Condition::Jury => jury(p, &s, rule),
        Condition::Audits => audits(&s),
    }
}

fn domain(p: &PoolParams, s: &Symbols, period: u64) -> Vec<Inequality> {
    let (limits, rates) = (&p.limits, &p.rates);
    let addresses = [p.basis.token, p.basis.beacon, p.basis.arbiter];
    let set = addresses.iter().filter(|address| !address.is_zero()).count();
    let epoch = whole(p.windows.epoch);
    let mut all = vec![
        at_least("token, beacon and arbiter are set", Number, whole(set), whole(addresses.len())),
        at_least("M ≥ 1", Number, whole(limits.maxUnits), whole(1)),
        at_least("2^24 ≥ M", Number, whole(1 << 24), whole(limits.maxUnits)),
        at_least("maxInputBytes ≥ 1", Number, whole(limits.maxInputBytes), whole(1)),
        at_least("65,536 ≥ maxInputBytes", Number, whole(65_536), whole(limits.maxInputBytes)),
        at_least("promptWeight ≥ 1", Number, whole(limits.promptWeight), whole(1)),
        at_least("2^16 ≥ promptWeight", Number, whole(1 << 16), whole(limits.promptWeight)),
        at_least("outputWeight ≥ 1", Number, whole(limits.outputWeight), whole(1)),
        at_least("2^16 ≥ outputWeight", Number, whole(1 << 16), whole(limits.outputWeight)),
        at_least("stride ≥ 1", Number, whole(limits.stride), whole(1)),
        at_least("k ≥ 1", Number, whole(limits.setSize), whole(1)),
        at_least("32 ≥ k", Number, whole(32), whole(limits.setSize)),
        at_least("firstJury ≥ 3", Number, whole(limits.firstJury), whole(3)),
        more("secondJury > firstJury", Number, whole(limits.secondJury), whole(limits.firstJury)),
        more("1/3 > r", Share, BigRational::new(1.into(), 3.into()), share(rates.collusion)),
        at_least("1 ≥ d", Share, whole(1), share(rates.discount)),
        more("p(1) > 0", Share, rate(s.challenge_rate(&BigInt::one())), whole(0)),
        at_least("1 ≥ p(M)", Share, whole(1), rate(s.challenge_rate(&s.max))),
        more("period > 0", Seconds, whole(period), whole(0)),
        at_least("epoch ≥ period", Seconds, epoch.clone(), whole(period)),
        at_least("epoch ≥ lag", Seconds, epoch, whole(p.windows.lag)),
    ];
    if s.is_audited() {
        let audit_rate = rate(&s.audit_fixed + &s.audit_unit * &s.max);
        all.extend([
            at_least("n ≥ 1", Number, whole(limits.auditSize), whole(1)),
            at_least("16 ≥ n", Number, whole(16), whole(limits.auditSize)),
            at_least("1 ≥ audit rate at M", Share, whole(1), audit_rate),
        ]);
    }
    all
}

fn coverage(s: &Symbols) -> Vec<Inequality> {
    let net = whole(s.net_stake());
    vec![
        more("S_net > 0", Token, net.clone(), whole(0)),
        at_least("S_net ≥ 2J", Token, net, whole(s.jury_budget() * 2)),
    ]
}

fn deterrence(p: &PoolParams, s: &Symbols, rule: Rule) -> Inequality {
    let juries = [p.limits.firstJury, p.limits.secondJury];
    let conviction = rule.conviction(juries, p.rates.collusion);
    let net = s.net_stake();
    let m = worst_size(s, &conviction, &net);
    let risked = s.challenge_rate(&m) * conviction.numer() * (s.pay(&m) + net);
    more(
        "p(m)(1−r)(1−v1·v2)(pay(m) + S_net) > pay(m) + g",
        Token,
        BigRational::new(risked, conviction.denom() << RATE_BITS),
        whole(s.pay(&m) + &s.gain),
    )
}

/// The size from 1 to M at which the margin of Deterrence is least: a parabola `a·m² + b·m + …` whose `a = p1·k·R` is not
/// negative, with `k` the chance of a conviction. Over the integers it is least beside its vertex, a line at one of its ends.
fn worst_size(s: &Symbols, conviction: &BigRational, net: &BigInt) -> BigInt {
    // All times 2^64 and the denominator of k.
    let (k, one) = (conviction.numer(), conviction.denom() << RATE_BITS);
    let margin = |m: &BigInt| s.challenge_rate(m) * k * (s.pay(m) + net) - (s.pay(m) + &s.gain) * &one;
    let a = &s.challenge_unit * k * &s.reward_unit;
    let b = k * (&s.challenge_fixed * &s.reward_unit + &s.challenge_unit * (&s.reward_fixed + net))
        - &s.reward_unit * &one;
    let (low, high) = if a.is_zero() {
        (BigInt::one(), s.max.clone())
    } else {
        let below = (-b).div_floor(&(a * 2));
        let inside = |m: BigInt| m.clamp(BigInt::one(), s.max.clone());
        (inside(below.clone()), inside(below + 1))
    };
    if margin(&low) <= margin(&high) { low } else { high }
}

fn forfeiture(s: &Symbols) -> Vec<Inequality> {
    let (earned, gained) = (&s.reward_unit + &s.reward_fixed, &s.gain + &s.cost);
    vec![at_least("R + R0 ≥ g + C", Token, whole(earned), whole(gained))]
}

fn positive_burn(s: &Symbols) -> Vec<Inequality> {
    let challenged = rate(s.challenge_rate(&s.max));
    let audits = &s.audit_size * &s.audit_pay;
    let unit = BigRational::new(&s.reward_unit * 1000 + &s.fee_unit * &s.discount, 1000.into());
    vec![
        more(
            "u > p(M)(R + d·u) + auditUnit·n·R_V",
            Token,
            whole(s.fee_unit.clone()),
            &challenged * unit + rate(&s.audit_unit * &audits),
        ),
        at_least(
            "u0 ≥ p(M)·c0 + auditFixed·n·R_V",
            Token,
            whole(s.fee_fixed.clone()),
            &challenged * &s.check_fixed + rate(&s.audit_fixed * &audits),
        ),
    ]
}

fn participation(s: &Symbols) -> Vec<Inequality> {
    // The reward of a response of one unit, beyond R ≥ C, is positive if R0 or R − C is.
    let profit = &s.reward_fixed + &s.reward_unit - &s.cost;
    let mut all = vec![
        at_least("R ≥ C", Token, whole(s.reward_unit.clone()), whole(s.cost.clone())),
        more("R0 + R − C > 0", Token, whole(profit), whole(0)),
        more("d > 0", Share, BigRational::new(s.discount.clone(), 1000.into()), whole(0)),
        more("u > 0", Token, whole(s.fee_unit.clone()), whole(0)),
        at_least("jurorPay ≥ C·M + G", Token, whole(s.juror_pay.clone()), whole(s.recomputation())),
        more("jurorPenalty > C·M", Token, whole(s.juror_penalty.clone()), whole(s.work())),
        at_least("F ≥ jurorPenalty", Token, whole(s.float.clone()), whole(s.juror_penalty.clone())),
    ];
    if s.is_audited() {
        all.push(at_least("R_V ≥ C·M + G", Token, whole(s.audit_pay.clone()), whole(s.recomputation())));
    }
    all
}

fn windows(p: &PoolParams, s: &Symbols, period: u64) -> Vec<Inequality> {
    let w = &p.windows;
    let big = |seconds: u32| BigInt::from(seconds);
    let ballots = if s.is_audited() { 3 } else { 2 };
    let margin = (BigInt::from(p.limits.stride) + 10) * period + big(w.lag) * 4;
    let dispute = big(w.dispute) + w.publish + (big(w.commit) + w.propose) * ballots + w.audit + margin;
    let checking = (BigInt::from(p.limits.redraws) + 1) * w.answer;
    let ticket = big(w.request) + w.lag + (BigInt::from(p.limits.stride) + 2) * period;
    let mut all = vec![
        at_least(
            "vesting ≥ dispute + publish + b(commit + propose) + audit + (stride + 10)·period + 4·lag",
            Seconds,
            whole(w.vesting),
            whole(dispute),
        ),
        at_least(
            "unbonding ≥ voucher + vesting",
            Seconds,
            whole(w.unbonding),
            whole(big(w.voucher) + w.vesting),
        ),
        at_least(
            "unbonding ≥ request + lag + (stride + 2)·period + dispute",
            Seconds,
            whole(w.unbonding),
            whole(&ticket + w.dispute),
        ),
        at_least(
            "exit ≥ lag + request + voucher",
            Seconds,
            whole(w.exit),
            whole(big(w.lag) + w.request + w.voucher),
        ),
        at_least(
            "exit ≥ lag + request + lag + (stride + 2)·period + claim",
            Seconds,
            whole(w.exit),
            whole(ticket + w.lag + w.claim),
        ),
        at_least("claim ≥ (redraws + 1)·answer", Seconds, whole(w.claim), whole(checking)),
        at_least("dispute ≥ claim + answer", Seconds, whole(w.dispute), whole(big(w.claim) + w.answer)),
        at_least("answer ≥ period", Seconds, whole(w.answer), whole(period)),
        at_least("publish ≥ period", Seconds, whole(w.publish), whole(period)),
        at_least("commit ≥ 2·period", Seconds, whole(w.commit), whole(BigInt::from(period) * 2)),
        at_least("propose ≥ period", Seconds, whole(w.propose), whole(period)),
        at_least("request ≥ period", Seconds, whole(w.request), whole(period)),
        at_least("voucher ≥ period", Seconds, whole(w.voucher), whole(period)),
        at_least("366 days ≥ unbonding", Seconds, whole(MAX_WINDOW), whole(w.unbonding)),
        at_least("366 days ≥ exit", Seconds, whole(MAX_WINDOW), whole(w.exit)),
        at_least("366 days ≥ epoch", Seconds, whole(MAX_WINDOW), whole(w.epoch)),
    ];
    if s.is_audited() {
        all.push(at_least("audit ≥ period", Seconds, whole(w.audit), whole(period)));
    }
    all
}

fn bond(s: &Symbols) -> Vec<Inequality> {
    let needed = s.fee(&s.max) + s.check(&s.max) * 20;
    vec![
        at_least("minBond ≥ fee(M) + 20·check(M)", Token, whole(s.bond.clone()), whole(needed)),
        at_least("checkCap ≥ 10·check(M)", Token, whole(s.check_cap.clone()), whole(s.check(&s.max) * 10)),
    ]
}

fn jury(p: &PoolParams, s: &Symbols, rule: Rule) -> Vec<Inequality> {
    let budget = s.jury_budget();
    let prize = whole(s.compensation() * 2 + &budget);
    let honest = (whole(1) - share(p.rates.collusion)) * budget;
    let of = |formula, size: u8| {
        let framed = rule.tail(size, quorum(size), p.rates.collusion);
        more(formula, Token, (whole(1) - &framed) * &honest, framed * &prize)
    };
    vec![
        of(
            "first jury: (1 − P_frame)(1 − r)·J > P_frame·(2(S/3 + fee(M) + base(M)) + J)",
            p.limits.firstJury,
        ),
        of(
            "second jury: (1 − P_frame)(1 − r)·J > P_frame·(2(S/3 + fee(M) + base(M)) + J)",
            p.limits.secondJury,
        ),
    ]
}

fn audits(s: &Symbols) -> Vec<Inequality> {
    let budget = &s.audit_size * &s.audit_pay + s.jury_budget();
    let of = |formula, reward: &BigInt, audited: &BigInt| {
        at_least(formula, Token, whole(reward.clone()), rate(audited * &budget))
    };
    vec![
        of("R0 ≥ auditFixed·(n·R_V + J)", &s.reward_fixed, &s.audit_fixed),
        of("R ≥ auditUnit·(n·R_V + J)", &s.reward_unit, &s.audit_unit),
    ]
}

fn more(formula: &'static str, unit: Unit, left: BigRational, right: BigRational) -> Inequality {
    Inequality { formula, unit, left, right, strict: true }
}

fn at_least(formula: &'static str, unit: Unit, left: BigRational, right: BigRational) -> Inequality {
    Inequality { formula, unit, left, right, strict: false }
}

fn share(thousandths: u16) -> BigRational {
    BigRational::new(thousandths.into(), 1000.into())
}

fn rate(numerator: BigInt) -> BigRational {
    BigRational::new(numerator, BigInt::one() << RATE_BITS)
}
