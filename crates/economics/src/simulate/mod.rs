//! Whole pools, simulated event by event with the contracts' payouts: what each kind of agent earns.
//!
//! A simulation is cut into shards, independent worlds of their own with seeds of their own, which run on as many threads as
//! there are: the same seed gives the same outcome on any machine. Amounts are whole units of the token and add up exactly.
//!
//! Against the contracts it simplifies in three places: each response is redeemed by itself, a convicted server buys its next
//! seat at once, and every server has one seat.

mod learn;
mod policy;
mod record;
mod world;

use assay_protocol::PoolParams;

use crate::conditions::{Condition, first_broken};

pub use learn::{BestResponse, Generation, best_response, replicator};
pub use policy::{Duty, OwnUsers, Policy, UserPolicy};
pub use record::{Ballot, Check, Digest, Exchange, Record};

/// Servers that behave alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What to call it.
    pub name: String,
    /// In each shard.
    pub servers: u32,
    /// What it does.
    pub policy: Policy,
}

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The pool's. Not checked against the conditions, so that broken ones can be shown.
    pub params: PoolParams,
    /// Seconds between two rounds of the beacon.
    pub period: u64,
    /// Servers of one shard.
    pub groups: Vec<Group>,
    /// Users of one shard. One `OwnedBy` a server counts servers in the order of the groups.
    pub users: Vec<UserPolicy>,
    /// In all shards together.
    pub requests: u64,
    /// In one shard.
    pub requests_a_second: f64,
    /// Mean seconds from a request to its answer.
    pub latency: f64,
    /// Seconds that users take to act on a ticket; the protocol allows them the dispute window.
    pub hesitation: u64,
    /// Chance that a server leaves after a request and another of its kind takes its place. What it signed and earned stays with
    /// it until its windows end.
    pub churn: f64,
    /// Whether a ticket can be known when an answer is signed; by the protocol it can't.
    pub foreseen: bool,
    /// Whether a conviction burns what is vesting; contracts always do.
    pub forfeiture: bool,
    /// Worlds of their own.
    pub shards: u32,
    /// Same seed, same outcome.
    pub seed: u64,
}

/// Why a simulation can't run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The parameters have no meaning.
    #[error("the pool's parameters break Domain; `assay economics check` says where")]
    Domain,
    /// A jury needs so many servers.
    #[error("{servers} servers can't fill a jury of {jury}: add servers, or take smaller juries")]
    TooFewServers {
        /// In one shard.
        servers: u32,
        /// The second jury.
        jury: u8,
    },
    /// Nobody asks.
    #[error("there are no users, requests or shards, or they come at no rate that ends")]
    Nothing,
    /// A user belongs to a server that is not there.
    #[error("a user belongs to server {0}, which is not there")]
    OwnerUnknown(u32),
    /// A share that is none.
    #[error("{0}: shares lie between 0 and 1")]
    NotAShare(String),
}

impl Setup {
    /// A hundred servers, all honest, a hundred users that challenge, one request a second and shard.
    pub fn honest(params: PoolParams, period: u64) -> Self {
        Self {
            params,
            period,
            groups: vec![Group { name: "honest".to_owned(), servers: 100, policy: Policy::HONEST }],
            users: vec![UserPolicy::Challenges; 100],
            requests: 100_000,
            requests_a_second: 1.0,
            latency: 1.0,
            hesitation: 0,
            churn: 0.0,
            foreseen: false,
            forfeiture: true,
            shards: 8,
            seed: 1,
        }
    }

    /// A share of the honest servers follows `policy` instead: at least one, and never all.
    #[must_use]
    pub fn with(mut self, name: &str, share: f64, policy: Policy) -> Self {
        if let Some(honest) = self.groups.first_mut() {
            let wanted = (f64::from(honest.servers) * share).round() as u32;
            let others = wanted.max(1).min(honest.servers.saturating_sub(1));
            honest.servers -= others;
            self.groups.push(Group { name: name.to_owned(), servers: others, policy });
        }
        self
    }

    /// As [`Setup::with`], in circumstances in which the policy can show: users that take bribes where it offers them, some
    /// liars for juries to judge where it votes otherwise.
    #[must_use]
    pub fn among(self, name: &str, share: f64, policy: &Policy) -> Self {
        let mut setup = self.with(name, share, policy.clone());
        if policy.bribe > 0.0 {
            setup.users.fill(UserPolicy::TakesBribes);
        }
        if policy.own_users != OwnUsers::None {
            let servers: u32 = setup.groups.iter().map(|g| g.servers).sum();
            let own = setup.groups.last().map_or(0, |g| g.servers);
            setup.users.extend((servers - own..servers).map(UserPolicy::OwnedBy));
        }
        if policy.vote != Duty::Work {
            setup = setup.with("lying", 0.1, Policy { lie: 1.0, ..Policy::HONEST });
        }
        setup
    }

    fn check(&self) -> Result<(), SetupError> {
        if first_broken(&self.params, self.period) == Some(Condition::Domain) {
            return Err(SetupError::Domain);
        }
        let servers: u32 = self.groups.iter().map(|g| g.servers).sum();
        let jury = self.params.limits.secondJury;
        if servers < u32::from(jury) + 1 {
            return Err(SetupError::TooFewServers { servers, jury });
        }
        // The clock counts microseconds in 64 bits.
        let seconds = self.requests as f64 / self.requests_a_second;
        let comes = self.requests_a_second > 0.0 && seconds < 1e12 && (0.0..1e9).contains(&self.latency);
        if self.users.is_empty() || self.requests == 0 || self.shards == 0 || !comes {
            return Err(SetupError::Nothing);
        }
        for user in &self.users {
            if let UserPolicy::OwnedBy(server) = user
                && *server >= servers
            {
                return Err(SetupError::OwnerUnknown(*server));
            }
        }
        if !(0.0..=1.0).contains(&self.churn) {
            return Err(SetupError::NotAShare("churn".to_owned()));
        }
        for g in &self.groups {
            let p = &g.policy;
            if ![p.lie, p.effort, p.silent, p.bribe].iter().all(|share| (0.0..=1.0).contains(share)) {
                return Err(SetupError::NotAShare(g.name.clone()));
            }
        }
        Ok(())
    }
}

/// What a group did and got. Profits are in the token's smallest unit, net of work and with what lies are worth to others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Answers given, wrong ones included.
    pub answers: u64,
    /// Wrong ones.
    pub lies: u64,
    /// Requests left without an answer.
    pub unanswered: u64,
    /// Answers that were drawn and challenged.
    pub challenged: u64,
    /// Of these, those for which no validator answered.
    pub unchecked: u64,
    /// Checks that it was paid for.
    pub checks: u64,
    /// Disputes over its answers.
    pub disputes: u64,
    /// Of these, those without a verdict.
    pub void: u64,
    /// Of these, those that another conviction of a seat in them ended.
    pub closed: u64,
    /// Seats slashed, as a server or as a validator.
    pub convictions: u64,
    /// Sum over its servers.
    pub profit: i128,
    servers: u64,
    // Sums of squares and products over its servers, for the standard error.
    profit_2: f64,
    answers_2: f64,
    product: f64,
}

impl Tally {
    fn add(&mut self, answers: u64, profit: i128) {
        let (a, b) = (answers as f64, profit as f64);
        self.servers += 1;
        self.answers += answers;
        self.profit += profit;
        self.profit_2 += b * b;
        self.answers_2 += a * a;
        self.product += a * b;
    }

    fn merge(&mut self, other: &Self) {
        self.answers += other.answers;
        self.lies += other.lies;
        self.unanswered += other.unanswered;
        self.challenged += other.challenged;
        self.unchecked += other.unchecked;
        self.checks += other.checks;
        self.disputes += other.disputes;
        self.void += other.void;
        self.closed += other.closed;
        self.convictions += other.convictions;
        self.profit += other.profit;
        self.servers += other.servers;
        self.profit_2 += other.profit_2;
        self.answers_2 += other.answers_2;
        self.product += other.product;
    }

    /// Mean profit of a request that reached it, and its standard error: the spread between servers of a ratio of sums.
    pub fn profit_a_request(&self) -> Estimate {
        let requests = (self.answers + self.unanswered) as f64;
        if requests == 0.0 {
            return Estimate { mean: 0.0, error: 0.0 };
        }
        let mean = self.profit as f64 / requests;
        let residuals = self.profit_2 - 2.0 * mean * self.product + mean * mean * self.answers_2;
        let n = self.servers as f64;
        let correction = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        Estimate { mean, error: (residuals.max(0.0) * correction).sqrt() / requests }
    }
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// In whatever it is of.
    pub mean: f64,
    /// One standard error.
    pub error: f64,
}

impl Estimate {
    /// `self − other`, with errors that are independent.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { mean: self.mean - other.mean, error: self.error.hypot(other.error) }
    }

    /// Whether it is above zero by more than `z` standard errors.
    pub fn is_above_zero(self, z: f64) -> bool {
        self.mean > z * self.error
    }
}

/// What came of a simulation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// In the order of [`Setup::groups`].
    pub groups: Vec<Tally>,
    /// In the token's smallest unit.
    pub burnt: i128,
    /// What disputes brought the users that opened them, beyond their bonds.
    pub to_openers: i128,
    /// Whether every unit that left one purse is in another or burnt.
    pub is_conserved: bool,
}

impl Outcome {
    /// What a request brings `group` beyond what it brings the first group.
    pub fn advantage(&self, group: usize) -> Estimate {
        self.groups[group].profit_a_request().minus(self.groups[0].profit_a_request())
    }
}

/// Simulates all shards of `setup`.
///
/// # Errors
/// [`SetupError`]: what makes no sense.
pub fn run(setup: &Setup) -> Result<Outcome, SetupError> {
    setup.check()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(setup.shards as usize);
    let next = std::sync::atomic::AtomicU32::new(0);
    let mut done: Vec<(u32, Outcome)> = std::thread::scope(|scope| {
        let worker = || {
            let mut own = Vec::new();
            loop {
                let shard = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if shard >= setup.shards {
                    return own;
                }
                own.push((shard, one_shard(setup, shard)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    // Sums of fractions depend on their order.
    done.sort_by_key(|(shard, _)| *shard);
    let mut all = nothing(setup);
    for (_, outcome) in &done {
        for (sum, tally) in all.groups.iter_mut().zip(&outcome.groups) {
            sum.merge(tally);
        }
        all.burnt += outcome.burnt;
        all.to_openers += outcome.to_openers;
        all.is_conserved &= outcome.is_conserved;
    }
    Ok(all)
}

/// One shard of `setup` with everything that happened in it; memory grows with the requests.
///
/// # Errors
/// [`SetupError`]: what makes no sense.
pub fn record(setup: &Setup) -> Result<Record, SetupError> {
    setup.check()?;
    Ok(world::World::new(setup, setup.seed, setup.requests).recorded())
}

fn nothing(setup: &Setup) -> Outcome {
    Outcome { groups: vec![Tally::default(); setup.groups.len()], is_conserved: true, ..Outcome::default() }
}

fn one_shard(setup: &Setup, shard: u32) -> Outcome {
    let shards = u64::from(setup.shards);
    let requests = setup.requests / shards + u64::from(u64::from(shard) < setup.requests % shards);
    if requests == 0 {
        return nothing(setup);
    }
    let seed = setup.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(shard);
    world::World::new(setup, seed, requests).run()
}
