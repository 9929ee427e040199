//! One independent world: its servers, users and clock, by the contracts' payouts in whole units of the token.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use assay_protocol::{PoolParams, U256, quorum};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index::sample};

use super::{
    Duty, Outcome, OwnUsers, Policy, Setup, Tally, UserPolicy,
    record::{Ballot, Check, Digest, Exchange, Record},
};

/// Microseconds, in which the clock counts.
const SECOND: u64 = 1_000_000;

/// Amounts that every step needs, as integers that can be negative.
struct Prices {
    pay: Linear,
    base: Linear,
    check_pay: Linear,
    stake: i128,
    gas: i128,
    gain: i128,
    cost: i128,
    juror_pay: i128,
    juror_penalty: i128,
    check_cap: i128,
    juries: [u8; 2],
    max_units: u32,
}

/// `fixed + unit·m`.
#[derive(Clone, Copy)]
struct Linear {
    fixed: i128,
    unit: i128,
}

impl Linear {
    fn at(self, m: u32) -> i128 {
        self.fixed + self.unit * i128::from(m)
    }
}

struct Server {
    group: usize,
    /// What the ledger gave it, less what it took.
    purse: i128,
    /// What the ledger does not see: work, and what lies are worth to others.
    outside: i128,
    answers: u64,
    /// Seats that it has lost. What a lost seat signed convicts nobody any more.
    lost: u32,
    vesting: VecDeque<(u64, i128)>,
    /// Disputes that must end before anything leaves.
    freezes: u32,
    burst: Burst,
}

/// Where a server that cheats in bursts is.
enum Burst {
    Lies(u32),
    Waits(u64),
}

struct User {
    purse: i128,
    e_money: i128,
    policy: UserPolicy,
}

/// A response that is on its way through the protocol.
struct Response {
    /// Its place in the record, if there is one.
    place: usize,
    server: u32,
    /// Which of its seats signed: how many it had lost before.
    seat: u32,
    user: u32,
    units: u32,
    is_wrong: bool,
    is_bribed: bool,
}

struct Case {
    response: Response,
    validator: u32,
    validator_seat: u32,
    /// Whether the validator's digest is the right one.
    validator_is_wrong: bool,
    ballot: usize,
    /// Votes of a first ballot that came to nothing.
    first: Vec<(u32, Option<Digest>)>,
}

enum Event {
    Request,
    Ticket(Response),
    Verdict(Case),
}

struct Entry {
    time: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.time, self.order) == (other.time, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.order).cmp(&(other.time, other.order))
    }
}

pub(super) struct World<'a> {
    setup: &'a Setup,
    params: &'a PoolParams,
    prices: Prices,
    policies: Vec<&'a Policy>,
    servers: Vec<Server>,
    users: Vec<User>,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    now: u64,
    left: u64,
    burnt: i128,
    to_openers: i128,
    rng: StdRng,
    tallies: Vec<Tally>,
    exchanges: Option<Vec<Exchange>>,
}

impl<'a> World<'a> {
    pub(super) fn new(setup: &'a Setup, seed: u64, requests: u64) -> Self {
        let p = &setup.params;
        let whole = |amount: assay_protocol::U256| i128::try_from(amount.to::<u128>()).unwrap_or(i128::MAX);
        let price = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
        let linear =
            |of: &dyn Fn(u64) -> U256| Linear { fixed: whole(of(0)), unit: whole(of(1)) - whole(of(0)) };
        let prices = Prices {
            pay: linear(&|m| p.pay(m)),
            base: linear(&|m| p.base_fee(m)),
            check_pay: linear(&|m| p.check_pay(m)),
            stake: price(p.prices.seatStake.to()),
            gas: price(p.prices.gasAllowance.to()),
            gain: price(p.prices.outsideGain.to()),
            cost: price(p.prices.costUnit.to()),
            juror_pay: price(p.prices.jurorPay.to()),
            juror_penalty: price(p.prices.jurorPenalty.to()),
            check_cap: price(p.prices.checkCap.to()),
            juries: [p.limits.firstJury, p.limits.secondJury],
            max_units: p.limits.maxUnits,
        };
        let mut servers = Vec::new();
        for (group, g) in setup.groups.iter().enumerate() {
            for _ in 0..g.servers {
                servers.push(Server {
                    group,
                    purse: 0,
                    outside: 0,
                    answers: 0,
                    lost: 0,
                    vesting: VecDeque::new(),
                    freezes: 0,
                    burst: Burst::Lies(0),
                });
            }
        }
        let user = |policy: &UserPolicy| User { purse: 0, e_money: 0, policy: *policy };
        Self {
            setup,
            params: p,
            prices,
            policies: setup.groups.iter().map(|g| &g.policy).collect(),
            servers,
            users: setup.users.iter().map(user).collect(),
            queue: BinaryHeap::new(),
            order: 0,
            now: 0,
            left: requests,
            burnt: 0,
            to_openers: 0,
            rng: StdRng::seed_from_u64(seed),
            tallies: vec![Tally::default(); setup.groups.len()],
            exchanges: None,
        }
    }

    /// Runs to the end and keeps what happened.
    pub(super) fn recorded(mut self) -> Record {
        self.exchanges = Some(Vec::new());
        self.finish();
        Record {
            exchanges: self.exchanges.take().unwrap_or_default(),
            servers: self.servers.iter().map(|s| s.purse).collect(),
            users: self.users.iter().map(|u| u.purse).collect(),
            burnt: self.burnt,
        }
    }

    fn record(&mut self, response: &Response) -> Option<&mut Exchange> {
        self.exchanges.as_mut().and_then(|all| all.get_mut(response.place))
    }

    /// Runs until nothing is on its way any more, and everything that was earned is free.
    pub(super) fn run(mut self) -> Outcome {
        self.finish();
        let held: i128 = self.servers.iter().map(|s| s.purse).sum::<i128>()
            + self.users.iter().map(|u| u.purse).sum::<i128>();
        for user in &self.users {
            if let UserPolicy::OwnedBy(server) = user.policy {
                self.servers[server as usize].outside += user.purse;
            }
        }
        for server in &self.servers {
            self.tallies[server.group].add(server.answers, server.purse + server.outside);
        }
        Outcome {
            groups: self.tallies,
            burnt: self.burnt,
            to_openers: self.to_openers,
            // Purses start empty.
            is_conserved: held + self.burnt == 0,
        }
    }

    fn finish(&mut self) {
        self.at(0, Event::Request);
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.now = entry.time;
            match entry.event {
                Event::Request => self.request(),
                Event::Ticket(response) => self.ticket(response),
                Event::Verdict(case) => self.verdict(case),
            }
        }
        self.now = u64::MAX;
        for server in 0..self.servers.len() {
            self.release(server);
        }
        // Leaving, users take their money; e-money that checks did not use is burnt.
        for user in &mut self.users {
            self.burnt += std::mem::take(&mut user.e_money);
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Entry { time, order: self.order, event }));
    }

    fn policy(&self, server: u32) -> &'a Policy {
        self.policies[self.servers[server as usize].group]
    }

    fn tally(&mut self, server: u32) -> &mut Tally {
        &mut self.tallies[self.servers[server as usize].group]
    }

    /// Work, which no account of the ledger sees.
    fn work(&mut self, server: u32, units: u32, share: f64) {
        let cost = self.prices.cost * i128::from(units);
        self.servers[server as usize].outside -= (cost as f64 * share) as i128;
    }

    // --------------------------------------------------------------------------------------------------- requests

    fn request(&mut self) {
        self.left -= 1;
        if self.left > 0 {
            // Exponential gaps: requests come independently of each other.
            let gap = -(1.0 - self.rng.random::<f64>()).ln() / self.setup.requests_a_second;
            self.at(self.now + (gap * SECOND as f64) as u64, Event::Request);
        }
        let user = self.rng.random_range(0..self.users.len());
        let server = match self.users[user].policy {
            UserPolicy::OwnedBy(server) => server as usize,
            _ => self.rng.random_range(0..self.servers.len()),
        };
        // Many short responses and few long ones.
        let x: f64 = self.rng.random();
        let asked = 1 + (x * x * f64::from(self.prices.max_units - 1)) as u32;
        let (server_id, user_id) = (server as u32, user as u32);
        let policy = self.policy(server_id);
        if self.rng.random_bool(policy.silent) {
            self.tally(server_id).unanswered += 1;
            return;
        }
        let is_own = matches!(self.users[user].policy, UserPolicy::OwnedBy(_));
        let is_wrong = (is_own || policy.own_users == OwnUsers::None) && self.lies(server, asked);
        let units = if is_wrong && policy.inflate { self.prices.max_units } else { asked };
        self.work(server_id, asked, if is_wrong { policy.effort } else { 1.0 });
        let (gain, pay) = (self.prices.gain, self.prices.pay.at(units));
        self.servers[server].answers += 1;
        let is_bribed = is_wrong && policy.bribe > 0.0 && self.users[user].policy == UserPolicy::TakesBribes;
        if is_wrong {
            self.tally(server_id).lies += 1;
            self.servers[server].outside += gain;
        }
        if is_bribed {
            let bribe = (pay as f64 * policy.bribe) as i128;
            self.servers[server].purse -= bribe;
            self.users[user].purse += bribe;
        }
        self.redeem(server, user, units);
        self.maybe_replace(server);
        let latency = (self.rng.random::<f64>() * 2.0 * self.setup.latency * SECOND as f64) as u64;
        let ticket = self.now + latency + (2 * self.setup.period + self.setup.hesitation) * SECOND;
        let seat = self.servers[server].lost;
        let place = self.exchanges.as_ref().map_or(0, Vec::len);
        if let Some(all) = &mut self.exchanges {
            all.push(Exchange { server: server_id, user: user_id, units, is_wrong, check: None });
        }
        let response = Response { place, server: server_id, seat, user: user_id, units, is_wrong, is_bribed };
        self.at(ticket, Event::Ticket(response));
    }

    /// A newcomer owes nothing to the past of its place: one that cheats in bursts begins again.
    fn maybe_replace(&mut self, server: usize) {
        if self.setup.churn > 0.0 && self.rng.random_bool(self.setup.churn) {
            self.servers[server].burst = Burst::Lies(0);
        }
    }

    fn lies(&mut self, server: usize, units: u32) -> bool {
        let policy = self.policies[self.servers[server].group];
        if policy.lie == 0.0 || units < policy.lie_from {
            return false;
        }
        if policy.burst > 0 {
            let w = &self.params.windows;
            let pause = (u64::from(w.vesting) + 2 * u64::from(w.epoch)) * SECOND;
            match &mut self.servers[server].burst {
                Burst::Waits(until) if *until > self.now => return false,
                Burst::Lies(done) if *done < policy.burst => *done += 1,
                state @ Burst::Lies(_) => {
                    *state = Burst::Waits(self.now + pause);
                    return false;
                }
                state @ Burst::Waits(_) => *state = Burst::Lies(1),
            }
        }
        policy.lie >= 1.0 || self.rng.random_bool(policy.lie)
    }

    /// A redemption of one response, as `Lanes` splits it.
    fn redeem(&mut self, server: usize, user: usize, units: u32) {
        let (pay, base) = (self.prices.pay.at(units), self.prices.base.at(units));
        let credit = i128::try_from(self.params.check_credit(1, u64::from(units)).to::<u128>()).unwrap_or(0);
        let u = &mut self.users[user];
        let credit = credit.min((self.prices.check_cap - u.e_money).max(0));
        u.purse -= pay + base;
        u.e_money += credit;
        self.burnt += base - credit;
        let w = &self.params.windows;
        let epoch = u64::from(w.epoch) * SECOND;
        let free_at = (self.now / epoch + 1) * epoch + u64::from(w.vesting) * SECOND;
        let vesting = &mut self.servers[server].vesting;
        match vesting.back_mut() {
            Some((time, amount)) if *time == free_at => *amount += pay,
            _ => vesting.push_back((free_at, pay)),
        }
        self.release(server);
    }

    fn release(&mut self, server: usize) {
        let s = &mut self.servers[server];
        if s.freezes > 0 && self.now != u64::MAX {
            return;
        }
        while let Some((time, amount)) = s.vesting.front().copied()
            && time <= self.now
        {
            s.purse += amount;
            s.vesting.pop_front();
        }
    }

    // ----------------------------------------------------------------------------------------------------- checks

    fn ticket(&mut self, response: Response) {
        let rate = self.params.challenge_rate(u64::from(response.units));
        // Who knows tickets signs the version that is not drawn, if there is one.
        let versions = if self.setup.foreseen { self.policy(response.server).grind.max(1) } else { 1 };
        if (0..versions).any(|_| U256::from(self.rng.random::<u64>()) >= rate) {
            return;
        }
        let challenges = match self.users[response.user as usize].policy {
            UserPolicy::Challenges => true,
            UserPolicy::Skips => false,
            UserPolicy::TakesBribes => !response.is_bribed,
            UserPolicy::OwnedBy(server) => {
                self.policy(server).own_users == OwnUsers::Convict && response.is_wrong
            }
        };
        if !challenges {
            return;
        }
        self.tally(response.server).challenged += 1;
        let draws = u32::from(self.params.limits.redraws) + 1;
        let Some(validator) = (0..draws).find_map(|_| self.draw_validator(response.server)) else {
            self.tally(response.server).unchecked += 1;
            return;
        };
        let policy = self.policy(validator);
        let is_friend = policy.colludes && self.policy(response.server).colludes;
        let validator_is_wrong = if is_friend {
            response.is_wrong
        } else {
            match policy.check {
                Duty::Work | Duty::Silent => {
                    self.work(validator, response.units, 1.0);
                    false
                }
                Duty::Guess | Duty::Frame => true,
            }
        };
        // A guess never meets another wrong digest; friends share theirs.
        let alike = if response.is_wrong { is_friend } else { !validator_is_wrong };
        if let Some(exchange) = self.record(&response) {
            exchange.check =
                Some(Check { validator, validator_is_wrong, is_alike: alike, ballots: Vec::new() });
        }
        if alike {
            self.pay_check(&response, validator);
        } else {
            self.servers[response.server as usize].freezes += 1;
            self.servers[validator as usize].freezes += 1;
            self.tally(response.server).disputes += 1;
            let validator_seat = self.servers[validator as usize].lost;
            let case = Case {
                response,
                validator,
                validator_seat,
                validator_is_wrong,
                ballot: 0,
                first: Vec::new(),
            };
            self.ballot(case);
        }
    }

    /// A seat that is not the server's and answers; nothing if the one drawn is silent.
    fn draw_validator(&mut self, server: u32) -> Option<u32> {
        let others = self.servers.len() as u32 - 1;
        let place = self.rng.random_range(0..others);
        let validator = place + u32::from(place >= server);
        (self.policy(validator).check != Duty::Silent).then_some(validator)
    }

    /// Of the user's e-money first, then of its bond.
    fn pay_check(&mut self, response: &Response, validator: u32) {
        let pay = self.prices.check_pay.at(response.units);
        let discount =
            i128::try_from(self.params.discount_of(u64::from(response.units)).to::<u128>()).unwrap_or(0);
        let u = &mut self.users[response.user as usize];
        let from_e_money = u.e_money.min(pay + discount);
        u.e_money -= from_e_money;
        u.purse -= pay + discount - from_e_money;
        u.purse += discount;
        self.servers[validator as usize].purse += pay;
        self.tally(validator).checks += 1;
    }

    // --------------------------------------------------------------------------------------------------- disputes

    fn ballot(&mut self, case: Case) {
        let w = &self.params.windows;
        let first = if case.ballot == 0 { u64::from(w.publish) } else { 0 };
        let seconds = first + u64::from(w.commit) + u64::from(w.propose) + 2 * self.setup.period;
        self.at(self.now + seconds * SECOND, Event::Verdict(case));
    }

    fn verdict(&mut self, mut case: Case) {
        let has_lost = |server: u32, seat: u32| self.servers[server as usize].lost != seat;
        if has_lost(case.response.server, case.response.seat) || has_lost(case.validator, case.validator_seat)
        {
            self.close(&case);
            return;
        }
        let size = usize::from(self.prices.juries[case.ballot]);
        let jury: Vec<u32> =
            sample(&mut self.rng, self.servers.len(), size).into_iter().map(|i| i as u32).collect();
        // Colluders vote for the wrong digest of their own side.
        let wrong = if case.response.is_wrong && self.policy(case.response.server).colludes {
            Some(Digest::Servers)
        } else if case.validator_is_wrong && self.policy(case.validator).check == Duty::Frame {
            Some(Digest::Validators)
        } else {
            None
        };
        let votes: Vec<(u32, Option<Digest>)> = jury
            .into_iter()
            .map(|juror| {
                let policy = self.policy(juror);
                if policy.colludes && wrong.is_some() {
                    return (juror, wrong);
                }
                let vote = match policy.vote {
                    Duty::Work => {
                        self.work(juror, case.response.units, 1.0);
                        Some(Digest::Right)
                    }
                    Duty::Silent => None,
                    Duty::Guess | Duty::Frame => Some(Digest::Another),
                };
                (juror, vote)
            })
            .collect();
        if let Some(check) = self.record(&case.response).and_then(|e| e.check.as_mut()) {
            check.ballots.push(Ballot { votes: votes.clone() });
        }
        let needed = usize::from(quorum(self.prices.juries[case.ballot]));
        let reached = |digest| votes.iter().filter(|(_, vote)| *vote == Some(digest)).count() >= needed;
        let verdict =
            [Digest::Right, Digest::Servers, Digest::Validators].into_iter().find(|digest| reached(*digest));
        match verdict {
            Some(verdict) => self.decide(&case, &votes, verdict),
            None if case.ballot == 0 => {
                case.first = votes;
                case.ballot = 1;
                self.ballot(case);
            }
            None => self.void(&case, &votes),
        }
    }

    /// Pays those who earned it, fines the rest; returns what was paid.
    fn pay_jurors(&mut self, owed: &[(u32, bool)]) -> i128 {
        let mut paid = 0;
        for (juror, earned) in owed.iter().copied() {
            if earned {
                self.servers[juror as usize].purse += self.prices.juror_pay;
                paid += self.prices.juror_pay;
            } else {
                self.servers[juror as usize].purse -= self.prices.juror_penalty;
                self.burnt += self.prices.juror_penalty;
            }
        }
        paid
    }

    fn unfreeze(&mut self, case: &Case) {
        for party in [case.response.server, case.validator] {
            self.servers[party as usize].freezes -= 1;
        }
    }

    /// A seat in it is convicted already: the bond goes back, and jurors are paid what that conviction set aside for them.
    fn close(&mut self, case: &Case) {
        self.unfreeze(case);
        self.tally(case.response.server).closed += 1;
        let owed: Vec<_> =
            case.first.iter().filter(|(_, vote)| vote.is_some()).map(|(juror, _)| (*juror, true)).collect();
        self.burnt -= self.pay_jurors(&owed);
    }

    /// J of the opener's bond is spent: jurors who voted are paid, the rest burnt.
    fn void(&mut self, case: &Case, votes: &[(u32, Option<Digest>)]) {
        self.unfreeze(case);
        self.tally(case.response.server).void += 1;
        let owed: Vec<_> =
            case.first.iter().chain(votes).map(|(juror, vote)| (*juror, vote.is_some())).collect();
        let paid = self.pay_jurors(&owed);
        let budget =
            self.prices.juror_pay * (i128::from(self.prices.juries[0]) + i128::from(self.prices.juries[1]));
        self.users[case.response.user as usize].purse -= budget;
        self.to_openers -= budget;
        self.burnt += budget - paid;
    }

    /// Who committed to another digest than the verdict's loses its stake and its vesting pay.
    fn decide(&mut self, case: &Case, votes: &[(u32, Option<Digest>)], verdict: Digest) {
        self.unfreeze(case);
        let Response { server, user, units, is_wrong, .. } = case.response;
        let servers = if is_wrong { Digest::Servers } else { Digest::Right };
        let validators = if case.validator_is_wrong { Digest::Validators } else { Digest::Right };
        let (server_is_convicted, validator_is_convicted) = (servers != verdict, validators != verdict);
        let owed: Vec<_> =
            case.first.iter().chain(votes).map(|(juror, vote)| (*juror, *vote == Some(verdict))).collect();
        let paid = self.pay_jurors(&owed);
        let mut left = 0;
        for (party, convicted) in [(server, server_is_convicted), (case.validator, validator_is_convicted)] {
            if convicted {
                self.burn_vesting(party);
                // It buys another seat under another name.
                self.servers[party as usize].purse -= self.prices.stake;
                left += self.prices.stake;
                self.tally(party).convictions += 1;
                self.servers[party as usize].lost += 1;
            }
        }
        let mut take = |wanted: i128| {
            let part = wanted.min(left);
            left -= part;
            part
        };
        let jurors = take(paid);
        let gas = take(self.prices.gas);
        let refund = if server_is_convicted {
            take(self.prices.pay.at(units) + self.prices.base.at(units))
        } else {
            0
        };
        let base = if server_is_convicted { self.prices.base.at(units) } else { 0 };
        let compensation = take(self.prices.stake / 3 + base);
        let other = take(self.prices.check_pay.at(units));
        let rest = left;
        // What the stake did not cover of the jurors came from the opener's bond.
        let opened = gas + refund + compensation - (paid - jurors);
        self.users[user as usize].purse += opened;
        self.to_openers += opened;
        let honest = if server_is_convicted { case.validator } else { server };
        if server_is_convicted && validator_is_convicted {
            self.burnt += other;
        } else {
            self.servers[honest as usize].purse += other;
        }
        self.burnt += rest;
    }

    fn burn_vesting(&mut self, server: u32) {
        let s = &mut self.servers[server as usize];
        let amount: i128 = s.vesting.drain(..).map(|(_, amount)| amount).sum();
        if self.setup.forfeiture {
            self.burnt += amount;
        } else {
            s.purse += amount;
        }
    }
}
