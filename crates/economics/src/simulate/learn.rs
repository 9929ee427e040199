//! Agents that look for profitable deviations by themselves.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Duty, Estimate, OwnUsers, Policy, Setup, SetupError, run};

/// The best policy that a search found for some servers among honest ones.
#[derive(Debug, Clone, PartialEq)]
pub struct BestResponse {
    /// What it does.
    pub policy: Policy,
    /// What a request brings it beyond what honest servers get, on requests that the search did not see.
    pub advantage: Estimate,
    /// Policies tried.
    pub tried: u32,
}

/// Searches for what pays best for `share` of the servers while the others are honest: random policies first, then ever
/// smaller changes of the best. The winner is judged on fresh seeds, or the luckiest would look the best.
///
/// # Errors
/// [`SetupError`]
pub fn best_response(
    setup: &Setup,
    share: f64,
    colludes: bool,
    tries: u32,
) -> Result<BestResponse, SetupError> {
    let mut rng = StdRng::seed_from_u64(setup.seed ^ 0x1ea2);
    // The obvious ones first.
    let mut known: Vec<Policy> = Policy::named()
        .into_iter()
        .map(|(_, policy)| policy)
        .filter(|p| p.colludes == colludes && p.bribe == 0.0 && p.own_users == OwnUsers::None)
        .collect();
    let mut best: Option<(Policy, f64)> = None;
    for step in 0..tries {
        let policy = match &best {
            _ if !known.is_empty() => known.swap_remove(0),
            Some((policy, _)) if step > tries / 3 => {
                changed(policy, 1.0 - f64::from(step) / f64::from(tries), &mut rng)
            }
            _ => random(colludes, &mut rng),
        };
        let mut trial = setup.clone().with("learning", share, policy.clone());
        trial.seed = setup.seed.wrapping_add(u64::from(step));
        let advantage = run(&trial)?.advantage(1);
        // What is certain counts, not what was lucky.
        let worth = advantage.mean - advantage.error;
        if best.as_ref().is_none_or(|(_, known)| worth > *known) {
            best = Some((policy, worth));
        }
    }
    let policy = best.map_or(Policy::HONEST, |(policy, _)| policy);
    let mut judged = setup.clone().with("learning", share, policy.clone());
    (judged.seed, judged.requests) = (setup.seed ^ 0xf1e5_4000, setup.requests * 4);
    Ok(BestResponse { policy, advantage: run(&judged)?.advantage(1), tried: tries })
}

fn random(colludes: bool, rng: &mut StdRng) -> Policy {
    let duty = |rng: &mut StdRng| match rng.random_range(0..6) {
        0 => Duty::Guess,
        1 => Duty::Silent,
        2 if colludes => Duty::Frame,
        _ => Duty::Work,
    };
    Policy {
        // From always to once in ten thousand.
        lie: 10f64.powf(-4.0 * rng.random::<f64>()),
        lie_from: if rng.random_bool(0.5) { 0 } else { rng.random_range(0..1_000) },
        inflate: rng.random_bool(0.5),
        effort: if rng.random_bool(0.7) { 0.0 } else { rng.random() },
        burst: if rng.random_bool(0.7) { 0 } else { rng.random_range(1..200) },
        silent: if rng.random_bool(0.8) { 0.0 } else { rng.random::<f64>() * 0.5 },
        bribe: 0.0,
        grind: 1,
        own_users: OwnUsers::None,
        check: duty(rng),
        vote: duty(rng),
        colludes,
    }
}

fn changed(policy: &Policy, width: f64, rng: &mut StdRng) -> Policy {
    let mut p = policy.clone();
    let fresh = random(p.colludes, rng);
    match rng.random_range(0..8) {
        0 => p.lie = (p.lie * 10f64.powf((rng.random::<f64>() - 0.5) * 4.0 * width)).clamp(0.0, 1.0),
        1 => p.lie_from = fresh.lie_from,
        2 => p.inflate = !p.inflate,
        3 => p.effort = fresh.effort,
        4 => p.burst = fresh.burst,
        5 => p.silent = fresh.silent,
        6 => p.check = fresh.check,
        _ => p.vote = fresh.vote,
    }
    p
}

/// Shares of policies in a population, and what a request brought each.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// In the order of the policies given.
    pub shares: Vec<f64>,
    /// The same order; 0 where nobody is left.
    pub profits: Vec<f64>,
}

/// Replicator dynamics: from equal shares, each generation moves shares towards what earned more than the mean. `pace` is how
/// much of its share a policy may gain or lose in one generation.
///
/// # Errors
/// [`SetupError`]
pub fn replicator(
    setup: &Setup,
    policies: &[(&str, Policy)],
    generations: u32,
    pace: f64,
) -> Result<Vec<Generation>, SetupError> {
    let servers: u32 = setup.groups.iter().map(|g| g.servers).sum();
    let mut shares = vec![1.0 / policies.len() as f64; policies.len()];
    let mut history = Vec::new();
    for generation in 0..generations {
        let mut now = setup.clone();
        now.seed = setup.seed.wrapping_add(u64::from(generation));
        now.groups = policies
            .iter()
            .zip(counts(&shares, servers))
            .map(|((name, policy), servers)| super::Group {
                name: (*name).to_owned(),
                servers,
                policy: policy.clone(),
            })
            .collect();
        let outcome = run(&now)?;
        let profits: Vec<f64> = outcome.groups.iter().map(|g| g.profit_a_request().mean).collect();
        history.push(Generation { shares: shares.clone(), profits: profits.clone() });
        let mean: f64 = shares.iter().zip(&profits).map(|(share, profit)| share * profit).sum();
        let spread = profits.iter().map(|profit| (profit - mean).abs()).fold(f64::MIN_POSITIVE, f64::max);
        for (share, profit) in shares.iter_mut().zip(&profits) {
            *share *= 1.0 + pace * (profit - mean) / spread;
        }
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= sum);
    }
    Ok(history)
}

/// Whole servers by share, with none lost to rounding.
fn counts(shares: &[f64], servers: u32) -> Vec<u32> {
    let (mut counts, mut given, mut wanted) = (Vec::with_capacity(shares.len()), 0, 0.0);
    for share in shares {
        wanted += share * f64::from(servers);
        let count = (wanted.round() as u32).min(servers) - given;
        given += count;
        counts.push(count);
    }
    counts
}
