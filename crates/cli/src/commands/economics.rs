//! `assay economics`

use std::path::{Path, PathBuf};

use assay_economics::{
    conditions::{check, first_broken},
    design::{self, Design, Infeasible},
    report,
    simulate::{Policy, Setup, best_response, run as simulate},
};
use assay_protocol::PoolParams;
use eyre::{Context, Result, bail, eyre};

use super::pool;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every condition of a pool with its margin, and the risks that no condition covers. Fails if the contract would refuse it.
    Check(CheckArgs),
    /// The smallest safe stake and challenge rate, and the cheapest pair of both.
    Solve(SolveArgs),
    /// One parameter over a range: what breaks, the margin of Deterrence, the smallest safe stake. CSV.
    Sweep(SweepArgs),
    /// What agents earn in a pool, by the contracts' payouts.
    Simulate(SimulateArgs),
    /// The paper's numbers, this pool's, and its simulations: one HTML page and its pictures, or text.
    Report(ReportArgs),
}

#[derive(Debug, clap::Args)]
struct PoolArgs {
    /// Prices, rates, limits and windows, in TOML; pools/devnet.toml is an example.
    #[arg(value_name = "POOL.toml")]
    pool: PathBuf,
    /// Seconds between two rounds of the pool's beacon: 3 for drand's quicknet.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    period: u64,
}

impl PoolArgs {
    fn read(&self) -> Result<PoolParams> {
        read(&self.pool, &[])
    }

    fn name(&self) -> String {
        self.pool.display().to_string()
    }
}

/// A pool file, with some of its fields (`table.field`) replaced by the text of a number.
fn read(file: &Path, changes: &[(&str, String)]) -> Result<PoolParams> {
    let text = std::fs::read_to_string(file).wrap_err_with(|| format!("can't read {}", file.display()))?;
    pool::params_without_chain(&text, changes).wrap_err_with(|| format!("in {}", file.display()))
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pool: PoolArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Interest on stake, a year.
    #[arg(long, default_value_t = 0.1)]
    interest: f64,
    /// Responses that a seat gives a day.
    #[arg(long, default_value_t = 1_000.0)]
    responses: f64,
    /// Units of a typical response; half the largest if not given.
    #[arg(long)]
    units: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Which: `rates.collusion`, `prices.seatStake`, `limits.secondJury`, … as in the file.
    #[arg(long)]
    param: String,
    #[arg(long)]
    from: u128,
    #[arg(long)]
    to: u128,
    /// Values in between, evenly spaced.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Who deviates: a name, several with commas, or all.
    #[arg(long, default_value = "all")]
    agents: String,
    /// Share of the servers that deviate.
    #[arg(long, default_value_t = 0.1)]
    share: f64,
    /// Servers of each of the independent worlds.
    #[arg(long, default_value_t = 100)]
    servers: u32,
    /// Requests of each simulation.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let an agent search for what pays, instead.
    #[arg(long)]
    learn: bool,
    /// Policies that a learning agent tries.
    #[arg(long, default_value_t = 200)]
    tries: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Print the tables and write nothing.
    #[arg(long)]
    text: bool,
    /// Folder for report.html and its pictures.
    #[arg(long, default_value = "target/economics")]
    out: PathBuf,
    /// Requests of each simulation.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Same seed, same report.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(args) => check_pool(&args),
        Command::Solve(args) => solve(&args),
        Command::Sweep(args) => sweep(&args),
        Command::Simulate(args) => simulate_agents(&args),
        Command::Report(args) => write_report(&args),
    }
}

fn check_pool(args: &CheckArgs) -> Result<()> {
    let params = args.pool.read()?;
    let file = args.pool.name();
    let print =
        |t: report::Table| println!("{}\n{}\n{}", t.title, t.note, report::aligned(&t.header, &t.rows));
    print(report::conditions_table(&params, args.pool.period, &file));
    if let Some(broken) = first_broken(&params, args.pool.period) {
        bail!("the contract refuses this pool: {broken:?} is broken");
    }
    print(report::risks_table(&params, &file));
    println!("The contract accepts this pool.");
    Ok(())
}

fn tokens(amount: u128) -> String {
    format!("{:.6} tokens ({amount})", amount as f64 / 1e18)
}

fn percent(rate: u128) -> String {
    format!("{:.4} % ({rate} of 2^64)", rate as f64 / 2f64.powi(64) * 100.0)
}

fn solve(args: &SolveArgs) -> Result<()> {
    if !(args.interest >= 0.0 && args.interest.is_finite()) {
        bail!("--interest must not be negative");
    }
    if !(args.responses > 0.0 && args.responses.is_finite()) {
        bail!("--responses must be more than none");
    }
    let params = args.pool.read()?;
    let period = args.pool.period;
    let show = |name: &str, found: Result<String, Infeasible>| match found {
        Ok(value) => println!("{name}: {value}"),
        Err(why) => println!("{name}: none; {why}"),
    };
    show("smallest safe stake at this rate", design::least_stake(&params, period).map(tokens));
    show("smallest safe rate at this stake", design::least_rate(&params, period).map(percent));
    let prices = design::Prices {
        capital_a_response: args.interest / (365.0 * args.responses),
        units: args.units.unwrap_or(params.limits.maxUnits / 2),
    };
    let (best, price) = design::cheapest(&params, period, prices)?;
    let now = Design { stake: params.prices.seatStake.to(), rate: params.rates.challengeFixed };
    println!("cheapest: stake {}, rate {}", tokens(best.stake), percent(best.rate));
    let cost = params.prices.costUnit.to::<u128>() as f64 * f64::from(prices.units);
    println!(
        "  costs {:.3} % of computing a response of {} units; this pool's own, {:.3} %",
        100.0 * price / cost,
        prices.units,
        100.0 * prices.of(&params, now) / cost
    );
    Ok(())
}

fn sweep(args: &SweepArgs) -> Result<()> {
    println!("{},broken,deterrence_margin,least_stake", args.param);
    for step in 0..=u128::from(args.steps) {
        let steps = u128::from(args.steps);
        let width = args.to.abs_diff(args.from);
        // As `width * step / steps`, which may not fit.
        let part = width / steps * step + width % steps * step / steps;
        let value = if args.to >= args.from { args.from + part } else { args.from - part };
        let params = read(&args.pool.pool, &[(&args.param, value.to_string())])?;
        let broken = first_broken(&params, args.pool.period).map_or(String::new(), |c| format!("{c:?}"));
        let margin = check(&params, args.pool.period)
            .into_iter()
            .find(|r| r.condition == assay_economics::conditions::Condition::Deterrence)
            .and_then(|r| r.inequalities.first().map(|i| i.margin().round().to_integer().to_string()))
            .unwrap_or_default();
        let stake = design::least_stake(&params, args.pool.period).map_or(String::new(), |s| s.to_string());
        println!("{value},{broken},{margin},{stake}");
    }
    Ok(())
}

fn simulate_agents(args: &SimulateArgs) -> Result<()> {
    if !(args.share > 0.0 && args.share < 1.0) {
        bail!("--share must lie between 0 and 1");
    }
    if args.servers < 2 {
        bail!("--servers must be two or more: one honest, one that is not");
    }
    let params = args.pool.read()?;
    let mut base =
        Setup { requests: args.requests, seed: args.seed, ..Setup::honest(params, args.pool.period) };
    base.groups[0].servers = args.servers;
    if args.learn {
        for (name, colludes) in [("alone", false), ("colluding", true)] {
            let found = best_response(&base, args.share, colludes, args.tries)?;
            println!("{name}: best of {}: {:?}", found.tried, found.policy);
            let (mean, wide) = (found.advantage.mean / 1e12, 3.0 * found.advantage.error / 1e12);
            println!("  beyond honesty: {mean:.3} ± {wide:.3} millionths of a token a request");
        }
        return Ok(());
    }
    let known = || Policy::named().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let names: Vec<&str> =
        if args.agents == "all" { known() } else { args.agents.split(',').map(str::trim).collect() };
    let mut rows = Vec::new();
    let start = std::time::Instant::now();
    for name in names {
        let policy = Policy::of(name)
            .ok_or_else(|| eyre!("no agent is called {name:?}; there are {}", known().join(", ")))?;
        let out = simulate(&base.clone().among(name, args.share, &policy))?;
        let (g, advantage) = (&out.groups[1], out.advantage(1));
        rows.push(vec![
            name.to_owned(),
            g.answers.to_string(),
            g.lies.to_string(),
            g.challenged.to_string(),
            g.disputes.to_string(),
            g.void.to_string(),
            g.convictions.to_string(),
            format!("{:.3}", g.profit_a_request().mean / 1e12),
            format!("{:.3} ± {:.3}", advantage.mean / 1e12, 3.0 * advantage.error / 1e12),
            if out.is_conserved { "yes" } else { "NO" }.to_owned(),
        ]);
        eprintln!("{name}: done after {:.1} s", start.elapsed().as_secs_f64());
    }
    let header = [
        "agent",
        "answers",
        "lies",
        "challenged",
        "disputes",
        "void",
        "convictions",
        "profit",
        "beyond honesty",
        "adds up",
    ]
    .map(str::to_owned);
    println!("Profits a request, in millionths of a token; ± three standard errors.");
    print!("{}", report::aligned(&header, &rows));
    Ok(())
}

fn write_report(args: &ReportArgs) -> Result<()> {
    let subject = report::Subject {
        params: args.pool.read()?,
        period: args.pool.period,
        file: args.pool.name(),
        requests: args.requests,
        seed: args.seed,
    };
    eprintln!("simulating; a million requests take about a second");
    let parts = report::parts(&subject)?;
    if args.text {
        print!("{}", report::text(&parts));
        return Ok(());
    }
    std::fs::create_dir_all(&args.out).wrap_err_with(|| format!("can't make {}", args.out.display()))?;
    let write = |name: &str, text: &str| {
        let file = args.out.join(name);
        std::fs::write(&file, text).wrap_err_with(|| format!("can't write {}", file.display()))
    };
    for part in &parts {
        if let report::Part::Chart(chart) = part {
            write(&format!("{}.svg", chart.name), &chart.svg)?;
        }
    }
    write("report.html", &report::html(&parts))?;
    write("report.txt", &report::text(&parts))?;
    println!("{}", args.out.join("report.html").display());
    Ok(())
}
