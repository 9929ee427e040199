//! `assay account`

use std::time::{Duration, SystemTime};

use assay_chain::{AccountKind, Chain, Follower, PoolView, abi, convert};
use assay_protocol::{Address, B256, PoolParams, U256};
use eyre::{Result, bail};

use crate::node::{ChainArgs, NetworkArgs};

/// Amounts are in the token's smallest unit.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print what an account holds, where it stands, and its seats.
    Show(ShowArgs),
    /// Bring tokens into the pool, where they are free until they are used.
    Deposit(DepositArgs),
    /// Take free tokens out of the pool.
    Withdraw(WithdrawArgs),
    /// As a user: move free tokens to the balance, which pays for answers, and to the bond, which guarantees what it can't pay.
    /// What stays free pays for disputes: leave some.
    Fund(FundArgs),
    /// As a user: start leaving, take that back, or take everything out once the exit window is over.
    Exit(ExitArgs),
    /// As a server: buy seats; they count two epochs later.
    Join(JoinArgs),
    /// As a server: refill a seat that was fined.
    TopUp(TopUpArgs),
    /// As a server: take seats out of the table; their stake is free after the unbonding window.
    Unbond(SeatsArgs),
    /// As a server: take the stake of unbonded seats into free tokens.
    WithdrawSeats(SeatsArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    chain: ChainArgs,
    /// The pool's id.
    #[arg(long, env = "ASSAY_POOL")]
    pool: B256,
    account: Address,
}

/// Which pool, and who sends.
#[derive(Debug, clap::Args)]
struct Sender {
    #[command(flatten)]
    network: NetworkArgs,
    /// The pool's id.
    #[arg(long, env = "ASSAY_POOL")]
    pool: B256,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DepositArgs {
    #[command(flatten)]
    sender: Sender,
    amount: U256,
    /// Whose they become; the sender's own if nobody is named.
    #[arg(long, value_name = "ACCOUNT")]
    to: Option<Address>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    sender: Sender,
    amount: U256,
    /// Where the tokens go; the sender itself if nobody is named.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<Address>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FundArgs {
    #[command(flatten)]
    sender: Sender,
    /// Pays for answers.
    #[arg(long, default_value_t = U256::ZERO)]
    balance: U256,
    /// Servers refuse users below the pool's `minBond`.
    #[arg(long, default_value_t = U256::ZERO)]
    bond: U256,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExitArgs {
    #[command(flatten)]
    sender: Sender,
    /// Stay after all.
    #[arg(long, conflicts_with = "finish")]
    cancel: bool,
    /// The window is over: balance and bond become free, what the check account holds is burnt.
    #[arg(long)]
    finish: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    sender: Sender,
    count: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopUpArgs {
    #[command(flatten)]
    sender: Sender,
    seat: u64,
    amount: U256,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SeatsArgs {
    #[command(flatten)]
    sender: Sender,
    /// Seats' numbers, as `assay account show` prints them.
    #[arg(required_unless_present = "all")]
    seats: Vec<u64>,
    /// Every seat of the account that it can be done with.
    #[arg(long, conflicts_with = "seats")]
    all: bool,
}

/// A connection with the pool that it is about.
struct Account {
    chain: Chain,
    pool: B256,
    own: Address,
}

impl Account {
    async fn connect(sender: &Sender) -> Result<Self> {
        let (chain, signer) = sender.network.connect().await?;
        Ok(Self { chain, pool: sender.pool, own: signer.address() })
    }

    async fn params(&self) -> Result<PoolParams> {
        let pools = self.chain.deployment().pools;
        Ok(convert(&self.chain.call(pools, abi::Pools::getCall { pool: self.pool }).await?))
    }

    /// Allows the ledger what it lacks, and deposits.
    async fn deposit(&self, amount: U256, to: Address) -> Result<()> {
        let (token, spender) = (self.params().await?.basis.token, self.chain.deployment().ledger);
        let held = self.chain.call(token, abi::AssayToken::balanceOfCall { account: self.own }).await?;
        if held < amount {
            bail!("{} holds {held} of token {token}, less than {amount}", self.own);
        }
        let allowance = abi::AssayToken::allowanceCall { owner: self.own, spender };
        if self.chain.call(token, allowance).await? < amount {
            self.chain.send(token, abi::AssayToken::approveCall { spender, value: amount }).await?;
        }
        self.chain.send(spender, abi::Ledger::depositCall { pool: self.pool, to, amount }).await?;
        Ok(())
    }

    /// The named seats, or all of the account's for which `due` says so.
    async fn chosen(&self, args: &SeatsArgs, due: impl Fn(Option<u64>) -> bool) -> Result<Vec<u64>> {
        if !args.all {
            return Ok(args.seats.clone());
        }
        let follower = Follower::start(self.chain.clone(), POLL).await?;
        let index = follower.read().await;
        let Some(pool) = index.pool(self.pool) else { bail!("there is no pool {}", self.pool) };
        let mut seats: Vec<u64> = pool
            .seats
            .iter()
            .filter(|(seat, s)| {
                s.owner == self.own
                    && due(s.exit_at)
                    && !(s.exit_at.is_some() && held(pool, **seat).is_zero())
            })
            .map(|(seat, _)| *seat)
            .collect();
        seats.sort_unstable();
        Ok(seats)
    }
}

/// Between looks at the head, of which one is enough here.
const POLL: Duration = Duration::from_secs(60);

fn held(pool: &PoolView, seat: u64) -> U256 {
    pool.balance(AccountKind::Seat, B256::from(U256::from(seat)))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `time` as a distance from now.
fn when(time: u64) -> String {
    match time.saturating_sub(now()) {
        0 => "now".to_owned(),
        left @ 1..120 => format!("in {left} s"),
        left @ 120..7_200 => format!("in {} min", left.div_ceil(60)),
        left @ 7_200..172_800 => format!("in {} h", left.div_ceil(3_600)),
        left => format!("in {} days", left.div_ceil(86_400)),
    }
}

async fn show(args: &ShowArgs) -> Result<()> {
    let chain = args.chain.connect().await?;
    let follower = Follower::start(chain.clone(), POLL).await?;
    let index = follower.read().await;
    let Some(pool) = index.pool(args.pool) else { bail!("there is no pool {}", args.pool) };
    let (own, prices) = (args.account, &pool.params.prices);
    let token = pool.params.basis.token;
    let wallet = chain.call(token, abi::AssayToken::balanceOfCall { account: own }).await?;
    println!("{own}");
    println!("  outside the pool  {wallet} tokens, {} wei for gas", chain.native_balance(own).await?);
    let (free, bond) = (pool.balance_of(AccountKind::Free, own), pool.balance_of(AccountKind::Bond, own));
    let dispute = pool.params.dispute_bond();
    let short = if !bond.is_zero() && free < dispute {
        format!(", below the {dispute} that a dispute takes: deposit some")
    } else {
        String::new()
    };
    println!("  free              {free}{short}");
    println!("  balance           {}", pool.balance_of(AccountKind::Balance, own));
    let least = if bond < U256::from(prices.minBond) {
        ", below the pool's minBond: no server serves it"
    } else {
        ""
    };
    println!("  bond              {bond}{least}");
    println!("  checks            {}", pool.balance_of(AccountKind::Check, own));
    println!("  rewards vesting   {}", pool.balance_of(AccountKind::Vesting, own));
    if let Some(due) = pool.exits.get(&own) {
        println!("  leaving           assay account exit --finish: {}", when(*due));
    }
    if let Some(server) = pool.servers.get(&own) {
        println!("  endpoint          {}", server.endpoint.as_deref().unwrap_or("none"));
        if server.convicted {
            println!("  convicted         it serves no more");
        }
        if server.freezes > 0 {
            println!(
                "  frozen            {} open disputes or audits hold its stake and rewards",
                server.freezes
            );
        }
    }
    let mut seats: Vec<_> = pool.seats.iter().filter(|(_, seat)| seat.owner == own).collect();
    seats.sort_unstable_by_key(|(id, _)| **id);
    for (id, seat) in seats {
        let held = held(pool, *id);
        let state = match seat.exit_at {
            Some(_) if held.is_zero() => "gone".to_owned(),
            Some(at) => format!("unbonded {}", when(at)),
            None if pool.convicted_seats.contains(id) => "convicted".to_owned(),
            None if seat.suspended => format!("suspended: below the stake of {}", prices.seatStake),
            None => "in the table".to_owned(),
        };
        println!("  seat {id:<12} {held}, {state}");
    }
    Ok(())
}

pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Show(args) => show(&args).await?,
        Command::Deposit(args) => {
            let account = Account::connect(&args.sender).await?;
            let to = args.to.unwrap_or(account.own);
            account.deposit(args.amount, to).await?;
            println!("{} deposited, free for {to}", args.amount);
        }
        Command::Withdraw(args) => {
            let account = Account::connect(&args.sender).await?;
            let (to, amount) = (args.to.unwrap_or(account.own), args.amount);
            let call = abi::Ledger::withdrawCall { pool: account.pool, to, amount };
            account.chain.send(account.chain.deployment().ledger, call).await?;
            println!("{amount} withdrawn to {to}");
        }
        Command::Fund(args) => {
            let account = Account::connect(&args.sender).await?;
            let call = abi::Lanes::fundCall { pool: account.pool, balance: args.balance, bond: args.bond };
            account.chain.send(account.chain.deployment().lanes, call).await?;
            println!("balance + {}, bond + {}", args.balance, args.bond);
        }
        Command::Exit(args) => exit(&args).await?,
        Command::Join(args) => {
            let account = Account::connect(&args.sender).await?;
            let call = abi::Staking::joinCall { pool: account.pool, count: args.count };
            account.chain.send(account.chain.deployment().staking, call).await?;
            println!("{} seats bought; they count two epochs from now", args.count);
        }
        Command::TopUp(args) => {
            let account = Account::connect(&args.sender).await?;
            let call = abi::Staking::topUpCall { pool: account.pool, seat: args.seat, amount: args.amount };
            account.chain.send(account.chain.deployment().staking, call).await?;
            println!("seat {} + {}", args.seat, args.amount);
        }
        Command::Unbond(args) => {
            let account = Account::connect(&args.sender).await?;
            let unbonding = account.params().await?.windows.unbonding;
            for seat in account.chosen(&args, |exit_at| exit_at.is_none()).await? {
                let call = abi::Staking::unbondCall { pool: account.pool, seat };
                account.chain.send(account.chain.deployment().staking, call).await?;
                println!("seat {seat} leaves the table; its stake is free {} s after that", unbonding);
            }
        }
        Command::WithdrawSeats(args) => {
            let account = Account::connect(&args.sender).await?;
            for seat in account.chosen(&args, |exit_at| exit_at.is_some_and(|at| at <= now())).await? {
                let call = abi::Staking::withdrawCall { pool: account.pool, seat };
                account.chain.send(account.chain.deployment().staking, call).await?;
                println!("seat {seat}'s stake is free; assay account withdraw takes it out of the pool");
            }
        }
    }
    Ok(())
}

async fn exit(args: &ExitArgs) -> Result<()> {
    let account = Account::connect(&args.sender).await?;
    let (lanes, pool) = (account.chain.deployment().lanes, account.pool);
    if args.finish {
        account.chain.send(lanes, abi::Lanes::exitCall { pool, user: account.own }).await?;
        println!("balance and bond are free; assay account withdraw takes them out of the pool");
    } else if args.cancel {
        account.chain.send(lanes, abi::Lanes::cancelExitCall { pool }).await?;
        println!("{} stays", account.own);
    } else {
        let window = account.params().await?.windows.exit;
        account.chain.send(lanes, abi::Lanes::requestExitCall { pool }).await?;
        println!("leaving: servers serve it no more; assay account exit --finish in {window} s");
    }
    Ok(())
}
