//! The simulator against closed forms, and agents against honesty.

#![allow(clippy::panic, reason = "clippy sees tests, but not their helpers")]

use alloy_primitives::Address;
use assay_economics::{
    conditions::first_broken,
    design::{self, with_rate, with_stake},
    risks::{self, verdicts},
    simulate::{Policy, Setup, SetupError, UserPolicy, best_response, replicator, run},
};
use assay_protocol::{B256, Basis, Limits, PoolParams, Prices, Rates, Windows};
use num_traits::ToPrimitive;

const PERIOD: u64 = 3;

#[derive(serde::Deserialize)]
struct File {
    prices: Prices,
    rates: Rates,
    limits: Limits,
    windows: Windows,
}

fn load(text: &str) -> PoolParams {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let [token, beacon, arbiter] = [1, 2, 3].map(Address::repeat_byte);
    let basis = Basis { token, beacon, arbiter, modelRoot: B256::repeat_byte(4) };
    PoolParams { basis, prices: file.prices, rates: file.rates, limits: file.limits, windows: file.windows }
}

/// The pool of Sepolia: one response in some dozens is challenged.
fn pool() -> PoolParams {
    let p = load(include_str!("../../../pools/sepolia.toml"));
    assert_eq!(first_broken(&p, PERIOD), None);
    p
}

fn setup(requests: u64) -> Setup {
    Setup { requests, ..Setup::honest(pool(), PERIOD) }
}

/// Within three standard errors.
fn near(seen: f64, expected: f64, error: f64) {
    assert!((seen - expected).abs() <= 3.0 * error, "{seen} is not within 3 · {error} of {expected}");
}

/// The mean of `f(m)` over the sizes that the simulator draws: `m = 1 + floor(x²(M − 1))`, x uniform.
fn mean_over_sizes(p: &PoolParams, f: impl Fn(u64) -> f64) -> f64 {
    let most = f64::from(p.limits.maxUnits - 1);
    let below = |k: f64| (k / most).min(1.0).sqrt();
    (0..p.limits.maxUnits)
        .map(|k| (below(f64::from(k) + 1.0) - below(f64::from(k))) * f(u64::from(k) + 1))
        .sum()
}

fn number(n: assay_protocol::U256) -> f64 {
    n.to::<u128>() as f64
}

fn rate(p: &PoolParams, m: u64) -> f64 {
    number(p.challenge_rate(m)) / 2f64.powi(64)
}

#[test]
fn an_honest_pool_earns_what_the_closed_form_says() {
    let s = setup(200_000);
    let p = &s.params;
    let out = run(&s).unwrap_or_else(|error| panic!("{error}"));
    assert!(out.is_conserved);
    let g = &out.groups[0];
    assert_eq!((g.answers, g.convictions, g.disputes, g.void), (200_000, 0, 0, 0));
    let chance = mean_over_sizes(p, |m| rate(p, m));
    near(g.challenged as f64, 200_000.0 * chance, (200_000.0 * chance * (1.0 - chance)).sqrt());
    assert_eq!(g.checks, g.challenged);
    // pay − C·m, and as a validator check pay − C·m where drawn.
    let cost = p.prices.costUnit.to::<u128>() as f64;
    let profit = mean_over_sizes(p, |m| {
        let work = cost * m as f64;
        number(p.pay(m)) - work + rate(p, m) * (number(p.check_pay(m)) - work)
    });
    let seen = g.profit_a_request();
    near(seen.mean, profit, seen.error.max(profit * 0.004));
    // Base fees, less what checks gave back.
    assert!(out.burnt > 0);
}

#[test]
fn a_colluding_share_is_convicted_as_often_as_the_draws_say() {
    // Small tables, where drawing without replacement shows; every response is checked.
    let mut p = pool();
    (p.limits.firstJury, p.limits.secondJury) = (5, 9);
    let p = with_rate(&p, 1 << 64);
    let colluding = Policy::of("colluding").unwrap_or(Policy::HONEST);
    // So slowly that each case ends before the next: a conviction ends a seat's other cases.
    let mut s = Setup { requests: 40_000, requests_a_second: 1e-6, ..Setup::honest(p, PERIOD) };
    s.groups[0].servers = 20;
    let s = s.with("colluding", 0.3, colluding);
    let out = run(&s).unwrap_or_else(|error| panic!("{error}"));
    assert!(out.is_conserved);
    let g = &out.groups[1];
    assert_eq!(s.groups[1].servers, 6);
    // Of 19 others, 14 are honest and dispute.
    let lies = g.lies as f64;
    let disputed = 14.0 / 19.0;
    near(g.disputes as f64, lies * disputed, (lies * disputed * (1.0 - disputed)).sqrt());
    let of = |size| verdicts(20, 6, 0, size).unwrap_or_else(|| panic!("{size}"));
    let (first, second) = (of(5), of(9));
    let share = |x: &num_rational::BigRational| x.to_f64().unwrap_or(f64::NAN);
    let convicted = share(&first.right) + share(&first.none) * share(&second.right);
    let void = share(&first.none) * share(&second.none);
    let disputes = g.disputes as f64;
    near(g.void as f64, disputes * void, (disputes * void * (1.0 - void)).sqrt());
    // The group's seats also lose where they helped as validators: only where one of them is the server is counted here, as
    // honest servers are never disputed by those who copy.
    near(g.convictions as f64, disputes * convicted, (disputes * convicted * (1.0 - convicted)).sqrt());
    // Framed validators.
    let framed = disputes - (g.void + g.convictions + g.closed) as f64;
    assert_eq!(out.groups[0].convictions as f64, framed);
}

#[test]
fn the_same_seed_is_the_same_outcome_and_another_is_not() {
    let s = setup(5_000).with("lying", 0.1, Policy { lie: 0.5, ..Policy::HONEST });
    let first = run(&s);
    assert_eq!(first, run(&s));
    assert_ne!(first, run(&Setup { seed: 2, ..s }));
}

#[test]
fn every_agent_conserves_and_none_but_the_honest_gains() {
    for (name, policy) in Policy::named() {
        let out =
            run(&setup(60_000).among(name, 0.1, &policy)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(out.is_conserved, "{name}");
        let advantage = out.advantage(1);
        let profits = advantage.is_above_zero(3.0);
        // Users who take bribes are what no condition covers.
        assert_eq!(profits, policy.bribe > 0.0, "{name}: {advantage:?}");
        if policy.bribe == 0.0 && name != "honest" {
            assert!(advantage.mean < 0.0, "{name}: {advantage:?}");
        }
    }
}

/// Nobody but its own users asks the last server.
fn by_itself(name: &str, requests: u64) -> Setup {
    let mut s = setup(requests).with(name, 0.01, Policy::of(name).unwrap_or(Policy::HONEST));
    s.params.prices.outsideGain = alloy_primitives::aliases::U96::ZERO;
    s.users = vec![UserPolicy::OwnedBy(99)];
    s
}

#[test]
fn serving_oneself_loses_the_burn() {
    let s = by_itself("self-dealing", 50_000);
    let out = run(&s).unwrap_or_else(|error| panic!("{error}"));
    assert!(out.is_conserved);
    let g = &out.groups[1];
    assert_eq!((g.challenged, g.answers), (0, 50_000));
    // E-money is burnt in the end as well, since nothing of it is used.
    let m = u64::from(s.params.limits.maxUnits);
    assert_eq!(-g.profit as f64, number(s.params.base_fee(m)) * 50_000.0);
    assert!(risks::self_dealing_loss(&s.params, m).to_f64() > Some(0.0));
}

#[test]
fn convicting_oneself_loses_too() {
    let out = run(&by_itself("self-convicting", 20_000)).unwrap_or_else(|error| panic!("{error}"));
    assert!(out.is_conserved);
    assert!(out.groups[1].convictions > 0);
    assert!(out.groups[1].profit < 0);
}

/// Who lies, leaves and comes back under another name is still slashed for what it signed.
#[test]
fn hit_and_run_loses_too() {
    let policy = Policy::of("burst-cheating").unwrap_or(Policy::HONEST);
    let mut s = setup(100_000).with("hit and run", 0.1, policy);
    let stays = run(&s).unwrap_or_else(|error| panic!("{error}"));
    s.churn = 0.05;
    let leaves = run(&s).unwrap_or_else(|error| panic!("{error}"));
    assert!(leaves.is_conserved && leaves.groups[1].lies > stays.groups[1].lies);
    assert!(leaves.advantage(1).mean < -3.0 * leaves.advantage(1).error);
}

#[test]
fn grinding_tickets_pays_only_who_can_foresee_them() {
    let policy = Policy::of("ticket-grinding").unwrap_or(Policy::HONEST);
    let mut s = setup(50_000).with("grinding", 0.1, policy);
    let advantage = |s: &Setup| run(s).map(|out| out.advantage(1)).unwrap_or_else(|error| panic!("{error}"));
    assert!(advantage(&s).mean < 0.0);
    s.foreseen = true;
    assert!(advantage(&s).is_above_zero(3.0));
}

/// Each broken on its own, the attack that it guards against earns.
#[test]
fn with_a_condition_broken_its_attack_earns() {
    let advantage = |s: Setup, share: f64, policy: Policy| {
        let out = run(&s.with("attack", share, policy)).unwrap_or_else(|error| panic!("{error}"));
        assert!(out.is_conserved);
        out.advantage(1)
    };
    let always = Policy { lie: 1.0, inflate: true, ..Policy::HONEST };

    // Deterrence: a tenth of the smallest safe rate.
    let safe = design::least_rate(&pool(), PERIOD).unwrap_or_else(|error| panic!("{error}"));
    let s = Setup { params: with_rate(&pool(), safe / 10), ..setup(100_000) };
    let gain = advantage(s, 0.01, always.clone());
    assert!(gain.is_above_zero(3.0), "Deterrence: {gain:?}");

    // Coverage: a stake that does not pay the jury makes whoever shows a lie pay for it.
    let shown = |stake| {
        let s = Setup { params: with_stake(&pool(), stake), requests_a_second: 1e-3, ..setup(100_000) };
        let out = run(&s.with("attack", 0.1, always.clone())).unwrap_or_else(|error| panic!("{error}"));
        assert!(out.is_conserved && out.groups[1].convictions > 100);
        out.to_openers
    };
    assert!(shown(pool().prices.seatStake.to()) > 0);
    assert!(shown(10_000_000_000_000_000) < 0);

    // Forfeiture: many lies at once share one stake, where rewards are kept.
    let burst = Policy { lie: 1.0, inflate: true, burst: 5_000, ..Policy::HONEST };
    let edge = with_rate(&pool(), safe / 100 * 105);
    let mut kept = Setup { forfeiture: false, requests_a_second: 200.0, params: edge, ..setup(400_000) };
    kept.groups[0].servers = 50;
    let with = advantage(Setup { forfeiture: true, ..kept.clone() }, 0.02, burst.clone());
    let without = advantage(kept.clone(), 0.02, burst.clone());
    assert!(without.is_above_zero(3.0), "Forfeiture: {without:?}");
    assert!(!with.is_above_zero(0.0), "Forfeiture: {with:?}");

    // Windows: pay that is free before the last moment for a dispute is not forfeited.
    (kept.forfeiture, kept.hesitation) = (true, u64::from(kept.params.windows.dispute));
    let late = advantage(kept.clone(), 0.02, burst.clone());
    (kept.params.windows.vesting, kept.params.windows.epoch, kept.params.windows.lag) = (1, 3, 0);
    let early = advantage(kept, 0.02, burst);
    assert!(early.is_above_zero(3.0) && !late.is_above_zero(0.0), "Windows: {early:?} {late:?}");

    // Positive burn: base fees that come back as e-money for checks by friends.
    let mut p = pool();
    (p.prices.feeUnit, p.prices.feeFixed) = Default::default();
    assert!(risks::self_dealing_loss(&p, 1_000).to_f64() <= Some(0.0));
}

#[test]
fn learning_agents_find_nothing_in_a_safe_pool_and_the_lie_in_an_unsafe_one() {
    let mut s = setup(20_000);
    s.groups[0].servers = 60;
    let safe = best_response(&s, 0.1, false, 150).unwrap_or_else(|error| panic!("{error}"));
    assert!(!safe.advantage.is_above_zero(3.0), "{safe:?}");
    let least = design::least_rate(&pool(), PERIOD).unwrap_or_else(|error| panic!("{error}"));
    s.params = with_rate(&pool(), least / 20);
    let unsafe_ = best_response(&s, 0.1, false, 150).unwrap_or_else(|error| panic!("{error}"));
    assert!(unsafe_.advantage.is_above_zero(3.0), "{unsafe_:?}");
    assert!(unsafe_.policy.lie > 0.5, "{unsafe_:?}");
}

#[test]
fn a_population_learns_to_be_honest() {
    let mut s = setup(10_000);
    s.groups[0].servers = 60;
    let policies: Vec<_> = Policy::named()
        .into_iter()
        .filter(|(name, _)| ["honest", "lying", "downgrading", "lazy validator"].contains(name))
        .collect();
    let history = replicator(&s, &policies, 25, 0.5).unwrap_or_else(|error| panic!("{error}"));
    let last = &history[24];
    assert!(last.shares[0] > 0.9, "{last:?}");
    for generation in &history {
        let sum: f64 = generation.shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}

#[test]
fn nonsense_is_refused() {
    let refuse = |change: &dyn Fn(&mut Setup)| {
        let mut s = setup(10);
        change(&mut s);
        run(&s).err()
    };
    assert_eq!(refuse(&|s| s.params.limits.maxUnits = 0), Some(SetupError::Domain));
    assert_eq!(
        refuse(&|s| s.groups[0].servers = 15),
        Some(SetupError::TooFewServers { servers: 15, jury: pool().limits.secondJury })
    );
    assert_eq!(refuse(&|s| s.requests_a_second = 1e-300), Some(SetupError::Nothing));
    assert_eq!(refuse(&|s| s.latency = f64::INFINITY), Some(SetupError::Nothing));
    // No honest server can be spared.
    for servers in [0, 1, 2] {
        let mut s = setup(10);
        s.groups[0].servers = servers;
        let s = s.among("silent juror", 0.9, &Policy::of("silent juror").unwrap_or(Policy::HONEST));
        assert!(matches!(run(&s), Err(SetupError::TooFewServers { .. })), "{servers}");
    }
    assert_eq!(refuse(&|s| s.churn = 2.0), Some(SetupError::NotAShare("churn".to_owned())));
    assert_eq!(refuse(&|s| s.users.clear()), Some(SetupError::Nothing));
    assert_eq!(refuse(&|s| s.requests = 0), Some(SetupError::Nothing));
    assert_eq!(refuse(&|s| s.shards = 0), Some(SetupError::Nothing));
    assert_eq!(refuse(&|s| s.requests_a_second = f64::NAN), Some(SetupError::Nothing));
    assert_eq!(refuse(&|s| s.users[0] = UserPolicy::OwnedBy(100)), Some(SetupError::OwnerUnknown(100)));
    assert_eq!(refuse(&|s| s.groups[0].policy.lie = 1.5), Some(SetupError::NotAShare("honest".to_owned())));
    assert_eq!(run(&Setup { requests: 3, ..setup(3) }).map(|out| out.is_conserved), Ok(true));
}
