//! The simulator's accounts against the contracts': recorded worlds, done again in an EVM with signatures, draws and windows,
//! must leave every purse equal to the last unit.

#![allow(clippy::panic, clippy::unwrap_used, reason = "clippy sees tests, but not their helpers")]

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, SolValue};
use assay_chain::{abi, convert};
use assay_economics::{
    conditions::first_broken,
    simulate::{Check, Digest as Vote, Exchange, Group, Policy, Setup, UserPolicy, record},
};
use assay_protocol::{
    Basis, Challenge, CheckAnswer, Digest, Draw, Evidence, InferenceRequest, InferenceResponse, Limits,
    PoolParams, Prices, Rates, Role, Ticket, Voucher, Windows, ballot_subject, case_subject, commitment,
    domain, hash_of, jury_places, quorum, ticket_nonce_hash, ticket_round,
};
use k256::ecdsa::SigningKey;
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm,
    bytecode::Bytecode,
    context::{TxEnv, result::ExecutionResult},
    database::InMemoryDB,
    handler::MainnetContext,
    primitives::hardfork::SpecId,
    state::AccountInfo,
};

const GENESIS: u64 = 1_000_000_000;
const PERIOD: u64 = 1;
/// What a user keeps free for disputes.
const DISPUTES: u128 = 50 * TOKEN;
const INPUT: &[u8] = b"the canonical input";
/// Between two exchanges: longer than every window of the pool.
const GAP: u64 = 1_000;
const TOKEN: u128 = 1_000_000_000_000_000_000;
const FREE: u8 = 1;
const BURN: u8 = 9;
/// `IStaking.SeatStatus.Convicted`.
const CONVICTED: u8 = 2;

#[derive(serde::Deserialize)]
struct File {
    prices: Prices,
    rates: Rates,
    limits: Limits,
    windows: Windows,
}

/// The devnet's, with juries that a dozen seats can fill.
fn params(token: Address, beacon: Address, arbiter: Address) -> PoolParams {
    let mut file: File = toml::from_str(include_str!("../../../pools/devnet.toml")).unwrap();
    (file.limits.firstJury, file.limits.secondJury, file.rates.collusion) = (3, 4, 50);
    let basis = Basis { token, beacon, arbiter, modelRoot: keccak256("model") };
    PoolParams { basis, prices: file.prices, rates: file.rates, limits: file.limits, windows: file.windows }
}

#[derive(Clone)]
struct Account {
    key: SigningKey,
    address: Address,
    seat: u64,
    deposited: u128,
    /// Epochs whose pay is not released.
    vesting: Vec<u32>,
}

impl Account {
    fn new(name: &str) -> Self {
        let key = SigningKey::from_slice(keccak256(name).as_slice()).unwrap();
        let address = Address::from_public_key(key.verifying_key());
        Self { key, address, seat: 0, deposited: 0, vesting: Vec::new() }
    }

    fn sign<T: SolStruct>(&self, domain: &Eip712Domain, message: &T) -> Bytes {
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(message.eip712_signing_hash(domain).as_slice()).unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes.into()
    }
}

/// The contracts in a chain of their own.
struct Replay {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    now: u64,
    owner: Address,
    ledger: Address,
    staking: Address,
    lanes: Address,
    checks: Address,
    disputes: Address,
    arbiter: Address,
    beacon: Address,
    params: PoolParams,
    pool: B256,
    domain: Eip712Domain,
    servers: Vec<Account>,
    /// Accounts of servers that lost their seat, with who they were.
    former: Vec<(usize, Account)>,
    users: Vec<Account>,
    lanes_of: HashMap<(Address, Address), (u64, u64)>,
}

/// `genesis()`, `period()`, and for anything else what is stored at its argument: the randomness of a round.
fn beacon_code() -> Vec<u8> {
    let selector = |name: &str| keccak256(name)[..4].to_vec();
    let mut code = vec![0x5f, 0x35, 0x60, 0xe0, 0x1c];
    let bodies: [(Vec<u8>, [u8; 4]); 2] = [
        (selector("genesis()"), u32::try_from(GENESIS).unwrap().to_be_bytes()),
        (selector("period()"), u32::try_from(PERIOD).unwrap().to_be_bytes()),
    ];
    // Each test takes 11 bytes, the default 12, each body 12.
    for (i, (selector, _)) in bodies.iter().enumerate() {
        let target = u8::try_from(5 + 2 * 11 + 12 + i * 12).unwrap();
        code.push(0x80);
        code.push(0x63);
        code.extend(selector);
        code.extend([0x14, 0x60, target, 0x57, 0x5b]);
    }
    code.extend([0x60, 4, 0x35, 0x54, 0x5f, 0x52, 0x60, 32, 0x5f, 0xf3, 0x5b, 0x5b]);
    for (_, value) in bodies {
        code.push(0x5b);
        code.push(0x63);
        code.extend(value);
        code.extend([0x5f, 0x52, 0x60, 32, 0x5f, 0xf3]);
    }
    code
}

fn bytecode(json: &str) -> Bytes {
    let artefact: serde_json::Value = serde_json::from_str(json).unwrap();
    artefact["bytecode"].as_str().unwrap().parse().unwrap()
}

macro_rules! artefact {
    ($name:literal) => {
        bytecode(include_str!(concat!("../../../contracts/abi/", $name, ".json")))
    };
}

impl Replay {
    fn new(servers: usize, users: usize) -> Self {
        let context = Context::mainnet().with_db(InMemoryDB::default()).modify_cfg_chained(|config| {
            config.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
            config.disable_nonce_check = true;
        });
        let evm = context.build_mainnet();
        let owner = Address::repeat_byte(0x11);
        let beacon = Address::repeat_byte(0x22);
        let at: Vec<Address> = (0..10).map(|nonce| owner.create(nonce)).collect();
        let modules = (at[0], at[1], at[2], at[3], at[4], at[5], at[6]);
        let params = params(at[9], beacon, at[8]);
        let mut r = Self {
            evm,
            now: GENESIS + 1_000_000,
            owner,
            ledger: at[1],
            staking: at[2],
            lanes: at[3],
            checks: at[4],
            disputes: at[5],
            arbiter: at[8],
            beacon,
            pool: params.id(),
            params,
            domain: domain(1, at[1]),
            servers: Vec::new(),
            former: Vec::new(),
            users: Vec::new(),
            lanes_of: HashMap::new(),
        };
        let code = Bytecode::new_raw(beacon_code().into());
        r.evm.ctx.modify_db(|db| db.insert_account_info(beacon, AccountInfo::from_bytecode(code)));
        let parties = (at[0], at[2]);
        for (code, arguments) in [
            (artefact!("Pools"), Vec::new()),
            (artefact!("Ledger"), modules.abi_encode()),
            (artefact!("Staking"), modules.abi_encode()),
            (artefact!("Lanes"), modules.abi_encode()),
            (artefact!("Checks"), modules.abi_encode()),
            (artefact!("Disputes"), modules.abi_encode()),
            (artefact!("Audits"), (modules, at[7]).abi_encode_params()),
            (artefact!("Sampling"), parties.abi_encode_params()),
            (artefact!("JuryArbiter"), parties.abi_encode_params()),
            (artefact!("AssayToken"), (owner, U256::from(1_000_000 * TOKEN)).abi_encode_params()),
        ] {
            r.transact(owner, TxKind::Create, [code.as_ref(), &arguments].concat().into());
        }
        let create = abi::Pools::createCall {
            params: convert(&r.params),
            uri: String::new(),
            sha256OfModel: keccak256("file"),
        };
        assert_eq!(first_broken(&r.params, PERIOD), None);
        assert_eq!(r.call(owner, at[0], create), r.pool);
        r.call(owner, at[9], abi::AssayToken::approveCall { spender: at[1], value: U256::MAX });
        for i in 0..servers {
            let account = r.joined(&format!("server {i}"));
            r.servers.push(account);
        }
        for i in 0..users {
            let mut user = Account::new(&format!("user {i}"));
            let (balance, bond) = (500 * TOKEN, 50 * TOKEN);
            r.deposit(&mut user, balance + bond + DISPUTES);
            let fund =
                abi::Lanes::fundCall { pool: r.pool, balance: U256::from(balance), bond: U256::from(bond) };
            r.call(user.address, r.lanes, fund);
            r.users.push(user);
        }
        r
    }

    fn transact(&mut self, from: Address, kind: TxKind, data: Bytes) -> Bytes {
        let now = U256::from(self.now);
        self.evm.ctx.modify_block(|block| block.timestamp = now);
        let tx = TxEnv { caller: from, kind, data, gas_limit: 16_000_000, ..TxEnv::default() };
        match self.evm.transact_commit(tx).unwrap() {
            ExecutionResult::Success { output, .. } => output.into_data(),
            other => panic!("at {}: {other:?}", self.now),
        }
    }

    fn call<C: SolCall>(&mut self, from: Address, to: Address, call: C) -> C::Return {
        let data = self.transact(from, TxKind::Call(to), call.abi_encode().into());
        C::abi_decode_returns(&data).unwrap()
    }

    fn deposit(&mut self, account: &mut Account, amount: u128) {
        account.deposited += amount;
        let call =
            abi::Ledger::depositCall { pool: self.pool, to: account.address, amount: U256::from(amount) };
        self.call(self.owner, self.ledger, call);
    }

    fn joined(&mut self, name: &str) -> Account {
        let mut account = Account::new(name);
        let price: u128 =
            self.params.prices.seatStake.to::<u128>() + self.params.prices.seatFloat.to::<u128>();
        self.deposit(&mut account, price);
        account.seat =
            self.call(account.address, self.staking, abi::Staking::joinCall { pool: self.pool, count: 1 });
        account
    }

    fn round(&self) -> u64 {
        (self.now - GENESIS) / PERIOD + 1
    }

    fn time_of(round: u64) -> u64 {
        GENESIS + (round - 1) * PERIOD
    }

    fn set(&mut self, round: u64, randomness: B256) {
        let beacon = self.beacon;
        self.evm
            .ctx
            .modify_db(|db| db.insert_account_storage(beacon, U256::from(round), randomness.into()).unwrap());
    }

    /// Seats in the table of the epoch at a moment, by place.
    fn table(&mut self, time: u64) -> Vec<u64> {
        let (pool, epoch) = (self.pool, self.params.epoch_of(time));
        let count = self.call(self.owner, self.staking, abi::Staking::seatCountCall { pool, epoch });
        (0..count)
            .map(|place| {
                let call = abi::Staking::seatAtCall { pool, epoch, index: U256::from(place) };
                self.call(self.owner, self.staking, call)
            })
            .collect()
    }

    fn vote(vote: Vote, who: usize) -> Digest {
        Digest(match vote {
            Vote::Right => keccak256("right"),
            Vote::Servers => keccak256("the server's"),
            Vote::Validators => keccak256("the validator's"),
            Vote::Another => keccak256(format!("another {who}")),
        })
    }

    // ------------------------------------------------------------------------------------------------- exchanges

    fn exchange(&mut self, e: &Exchange) {
        self.now += GAP;
        let (server, user) = (self.servers[e.server as usize].clone(), self.users[e.user as usize].clone());
        let (sequence, units) = {
            let lane = self.lanes_of.entry((user.address, server.address)).or_default();
            (lane.0, lane.1) = (lane.0 + 1, lane.1 + u64::from(e.units));
            *lane
        };
        let round = self.round();
        let request = InferenceRequest {
            pool: self.pool,
            user: user.address,
            server: server.address,
            seat: server.seat,
            slot: 0,
            lane: 1,
            sequence,
            round,
            inputHash: keccak256(INPUT),
            ticketNonceHash: B256::ZERO,
            maxUnits: self.params.limits.maxUnits,
            deadline: self.now + 30,
        };
        let voucher = Voucher {
            pool: self.pool,
            user: user.address,
            server: server.address,
            lane: 1,
            sequence,
            count: sequence,
            units,
            root: B256::ZERO,
            round,
        };
        let redeem = abi::Lanes::redeemCall {
            pool: self.pool,
            server: server.address,
            vouchers: vec![convert(&voucher)],
            signatures: vec![user.sign(&self.domain, &voucher)],
        };
        self.call(server.address, self.lanes, redeem);
        self.release(e.server as usize);
        let epoch = self.params.epoch_of(self.now);
        self.servers[e.server as usize].vesting.push(epoch);
        if let Some(check) = &e.check {
            self.check(e, check, request, &server, &user);
        }
    }

    /// What the simulator does at each redemption: all pay that is free by now.
    fn release(&mut self, server: usize) {
        let Account { address, vesting, .. } = self.servers[server].clone();
        let w = &self.params.windows;
        let free_at = |epoch: u32| (u64::from(epoch) + 1) * u64::from(w.epoch) + u64::from(w.vesting);
        let (free, rest): (Vec<u32>, Vec<u32>) = vesting.into_iter().partition(|e| free_at(*e) <= self.now);
        self.servers[server].vesting = rest;
        self.call(
            address,
            self.lanes,
            abi::Lanes::releaseCall { pool: self.pool, server: address, epochs: free },
        );
    }

    fn check(
        &mut self,
        e: &Exchange,
        check: &Check,
        request: InferenceRequest,
        server: &Account,
        user: &Account,
    ) {
        let validator = self.servers[check.validator as usize].clone();
        let round = request.round;
        let ticket_round = ticket_round(round, self.params.limits.stride).unwrap();
        let randomness = keccak256(ticket_round.to_be_bytes());
        self.set(ticket_round, randomness);
        let table = self.table(Self::time_of(ticket_round));
        let of_server = if e.is_wrong { Vote::Servers } else { Vote::Right };
        let answer = |nonce: B256| {
            let request = InferenceRequest { ticketNonceHash: ticket_nonce_hash(nonce), ..request.clone() };
            let mut response = InferenceResponse {
                request: hash_of(&request),
                commitment: B256::ZERO,
                outputHash: keccak256("output"),
                promptTokens: e.units,
                outputTokens: 0,
                finish: 1,
                cancel: B256::ZERO,
                round,
            };
            let digest = Self::vote(of_server, 0);
            response.commitment = commitment(Role::Server, server.address, response.subject(), digest);
            (request, response)
        };
        let rate = self.params.challenge_rate(u64::from(e.units));
        let nonce = (0u32..)
            .map(|i| keccak256(i.to_be_bytes()))
            .find(|nonce| {
                let ticket = Ticket::new(randomness, hash_of(&answer(*nonce).1), *nonce);
                let place = || {
                    let count = u32::try_from(table.len()).unwrap();
                    Draw::Validator.place(randomness, self.pool, ticket.0, 0, count).unwrap()
                };
                ticket.is_drawn(rate) && table[place() as usize] == validator.seat
            })
            .unwrap();
        let (request, response) = answer(nonce);
        let hash = hash_of(&response);
        self.now = Self::time_of(ticket_round);
        let challenge = Challenge {
            request: response.request,
            response: hash,
            ticketNonce: nonce,
            counter: 0,
            seat: validator.seat,
            round: self.round(),
        };
        let of_validator = match (check.is_alike, check.validator_is_wrong) {
            (true, _) => of_server,
            (false, true) => Vote::Validators,
            (false, false) => Vote::Right,
        };
        let answer = CheckAnswer {
            response: hash,
            commitment: commitment(Role::Validator, validator.address, hash, Self::vote(of_validator, 0)),
            seat: validator.seat,
            round: self.round(),
        };
        let evidence = Evidence {
            responseSignature: server.sign(&self.domain, &response),
            challengeSignature: user.sign(&self.domain, &challenge),
            answerSignature: validator.sign(&self.domain, &answer),
            delivered: false,
            request,
            response,
            challenge,
            answer,
        };
        if check.is_alike {
            self.call(validator.address, self.checks, abi::Checks::claimCall { e: convert(&evidence) });
            self.now += u64::from(self.params.windows.dispute) + 10;
            let settle = abi::Checks::settleCall { pool: self.pool, user: user.address, response: hash };
            self.call(validator.address, self.checks, settle);
        } else {
            self.dispute(e, check, &evidence);
        }
    }

    fn dispute(&mut self, e: &Exchange, check: &Check, evidence: &Evidence) {
        let (request, response) = (&evidence.request, &evidence.response);
        let hash = hash_of(response);
        let open = abi::Disputes::openCall { e: convert(evidence) };
        let id = self.call(request.user, self.disputes, open);
        let validator = &self.servers[check.validator as usize];
        let record = abi::disputes::IDisputes::Record {
            pool: self.pool,
            response: hash,
            inputHash: request.inputHash,
            opener: request.user,
            user: request.user,
            server: request.server,
            serverSeat: request.seat,
            serverSubject: response.subject(),
            serverCommitment: response.commitment,
            validator: validator.address,
            validatorSeat: validator.seat,
            validatorCommitment: evidence.answer.commitment,
            lane: request.lane,
            sequence: request.sequence,
            units: e.units,
            outputTokens: 0,
        };
        let publish = abi::Disputes::publishCall { id, r: record.clone(), input: Bytes::from_static(INPUT) };
        self.call(request.user, self.disputes, publish);
        let subject = case_subject(1, self.disputes, hash);
        for ballot in &check.ballots {
            self.ballot(subject, &ballot.votes);
        }
        self.call(request.user, self.disputes, abi::Disputes::resolveCall { id, r: record });
        for (number, ballot) in (1u8..).zip(&check.ballots) {
            let positions = (0..ballot.votes.len()).map(U256::from).collect();
            let settle = abi::Disputes::settleJurorsCall {
                pool: self.pool,
                response: hash,
                ballot: number,
                positions,
            };
            self.call(request.user, self.disputes, settle);
        }
        for party in [e.server as usize, check.validator as usize] {
            self.replace_if_convicted(party);
        }
    }

    fn ballot(&mut self, subject: B256, votes: &[(u32, Option<Vote>)]) {
        let client = self.disputes;
        let current = abi::JuryArbiter::currentBallotCall { client, subject };
        let ballot = self.call(self.owner, self.arbiter, current);
        let state = |r: &mut Self| {
            r.call(r.owner, r.arbiter, abi::JuryArbiter::ballotOfCall { client, subject, ballot })
        };
        let round = state(self).round;
        let table = self.table(Self::time_of(round));
        let of_ballot = ballot_subject(subject, ballot);
        let size = u8::try_from(votes.len()).unwrap();
        let mut wanted: Vec<u64> =
            votes.iter().map(|(juror, _)| self.servers[*juror as usize].seat).collect();
        wanted.sort_unstable();
        let randomness = (0u32..)
            .map(|i| keccak256((round, i).abi_encode()))
            .find(|randomness| {
                let count = u32::try_from(table.len()).unwrap();
                let places = jury_places(*randomness, self.pool, of_ballot, size, count);
                let mut seats: Vec<u64> = places.iter().map(|place| table[*place as usize]).collect();
                seats.sort_unstable();
                seats == wanted
            })
            .unwrap();
        self.set(round, randomness);
        self.now = self.now.max(Self::time_of(round));
        self.call(self.owner, self.arbiter, abi::JuryArbiter::drawCall { client, subject });
        let mut counts: BTreeMap<B256, usize> = BTreeMap::new();
        for position in 0..votes.len() {
            let position = U256::from(position);
            let seat = abi::JuryArbiter::seatOfJurorCall { client, subject, ballot, position };
            let seat = self.call(self.owner, self.arbiter, seat);
            let find = |(juror, _): &&(u32, Option<Vote>)| self.servers[*juror as usize].seat == seat;
            let (juror, vote) = votes.iter().find(find).copied().unwrap();
            let Some(vote) = vote else { continue };
            let address = self.servers[juror as usize].address;
            let digest = Self::vote(vote, juror as usize);
            *counts.entry(digest.0).or_default() += 1;
            let commit = abi::JuryArbiter::commitCall {
                client,
                subject,
                positions: vec![position],
                commitment: commitment(Role::Juror, address, of_ballot, digest),
            };
            self.call(address, self.arbiter, commit);
        }
        let ends = state(self);
        let verdict = counts.into_iter().find(|(_, count)| *count >= usize::from(quorum(size)));
        if let Some((digest, _)) = verdict {
            self.now = self.now.max(ends.commitEnd.to::<u64>() + 1);
            self.call(self.owner, self.arbiter, abi::JuryArbiter::proposeCall { client, subject, digest });
        } else {
            self.now = self.now.max(ends.proposeEnd.to::<u64>() + 1);
            self.call(self.owner, self.arbiter, abi::JuryArbiter::advanceCall { client, subject });
        }
    }

    /// Under another name, with another seat.
    fn replace_if_convicted(&mut self, party: usize) {
        let old = self.servers[party].clone();
        let (pool, seat) = (self.pool, old.seat);
        let state = self.call(self.owner, self.staking, abi::Staking::seatOfCall { pool, seat });
        if state.status != CONVICTED {
            return;
        }
        self.call(self.owner, self.staking, abi::Staking::evictCall { pool, seat });
        let name = format!("server {party} after {}", self.former.len());
        self.servers[party] = self.joined(&name);
        self.former.push((party, old));
    }

    // ------------------------------------------------------------------------------------------------------- end

    fn balance(&mut self, kind: u8, key: B256) -> i128 {
        let call = abi::Ledger::balanceOfCall { pool: self.pool, kind, key };
        i128::try_from(self.call(self.owner, self.ledger, call).to::<u128>()).unwrap()
    }

    /// Everybody leaves; what each has beyond its deposits, and what is burnt.
    fn end(mut self) -> (Vec<i128>, Vec<i128>, i128) {
        self.now += GAP;
        let pool = self.pool;
        for i in 0..self.servers.len() {
            self.release(i);
            let Account { address, seat, .. } = self.servers[i];
            self.call(address, self.staking, abi::Staking::unbondCall { pool, seat });
        }
        for i in 0..self.users.len() {
            let user = self.users[i].address;
            self.call(user, self.lanes, abi::Lanes::requestExitCall { pool });
        }
        self.now += GAP;
        let mut accounts: Vec<(usize, Account)> = self.servers.clone().into_iter().enumerate().collect();
        let mut servers = vec![0; self.servers.len()];
        accounts.append(&mut self.former);
        for (i, account) in accounts {
            let seat = account.seat;
            self.call(account.address, self.staking, abi::Staking::withdrawCall { pool, seat });
            let free = self.balance(FREE, account.address.into_word());
            servers[i] += free - i128::try_from(account.deposited).unwrap();
        }
        let mut users = Vec::new();
        for user in self.users.clone() {
            self.call(user.address, self.lanes, abi::Lanes::exitCall { pool, user: user.address });
            let free = self.balance(FREE, user.address.into_word());
            users.push(free - i128::try_from(user.deposited).unwrap());
        }
        let burnt = self.balance(BURN, B256::ZERO);
        (servers, users, burnt)
    }
}

fn group(name: &str, servers: u32) -> Group {
    Group { name: name.to_owned(), servers, policy: Policy::of(name).unwrap() }
}

/// One of each kind that leads to another payout: honest checks, lies, downgrades, colluders who block, guessing validators,
/// framers who win a jury, absent and copying jurors.
fn replayed(seed: u64, groups: Vec<Group>) -> (usize, usize) {
    let servers: u32 = groups.iter().map(|g| g.servers).sum();
    let [token, beacon, arbiter] = [1, 2, 3].map(Address::repeat_byte);
    let setup = Setup {
        groups,
        users: vec![UserPolicy::Challenges; 3],
        requests: 40,
        requests_a_second: 1e-7,
        shards: 1,
        seed,
        ..Setup::honest(params(token, beacon, arbiter), PERIOD)
    };
    let record = record(&setup).unwrap();
    let mut replay = Replay::new(servers as usize, setup.users.len());
    for exchange in &record.exchanges {
        replay.exchange(exchange);
    }
    let former = replay.former.len();
    let disputes = record.exchanges.iter().filter(|e| e.check.as_ref().is_some_and(|c| !c.is_alike)).count();
    let (servers, users, burnt) = replay.end();
    assert_eq!(servers, record.servers, "seed {seed}: servers");
    assert_eq!(users, record.users, "seed {seed}: users");
    assert_eq!(burnt, record.burnt, "seed {seed}: burnt");
    (disputes, former)
}

#[test]
fn recorded_worlds_leave_the_contracts_accounts_equal_to_the_last_unit() {
    let mixes: [&[(&str, u32)]; 5] = [
        &[("honest", 12)],
        &[("honest", 9), ("lying", 2), ("downgrading", 1)],
        &[("honest", 8), ("lying", 2), ("silent juror", 2)],
        &[("honest", 7), ("lazy validator", 2), ("vote-copying", 1), ("lying", 2)],
        &[("honest", 5), ("colluding", 4), ("framing", 3)],
    ];
    let (mut disputes, mut convictions) = (0, 0);
    for (i, mix) in mixes.into_iter().enumerate() {
        for seed in 0..3 {
            let groups = mix.iter().map(|(name, servers)| group(name, *servers)).collect();
            let (d, c) = replayed(10 * i as u64 + seed, groups);
            assert!(i == 0 || d > 0, "mix {i}, seed {seed}: no dispute");
            (disputes, convictions) = (disputes + d, convictions + c);
        }
    }
    assert!(disputes > 50 && convictions > 40, "{disputes} disputes, {convictions} convictions");
}
