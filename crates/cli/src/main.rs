//! The `assay` command.

mod commands;
mod network;
mod node;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A network for verified AI inference: servers stake and answer, a random beacon picks what others recompute, and a wrong
/// answer costs its server more than it can earn.
#[derive(Debug, Parser)]
#[command(name = "assay", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole protocol on a local network: serve, check, catch a cheat, settle. Ends by itself.
    Demo(commands::demo::Args),
    /// Keep a local network up until Ctrl-C.
    Devnet(commands::devnet::Args),
    /// Ask a gateway, and say who answered and whether it was checked.
    Ask(commands::ask::Args),
    /// Run a model locally and print the text.
    Generate(commands::generate::Args),
    /// Measure a model's speed, and how near it comes to what the machine can do.
    Bench(commands::bench::Args),
    /// Get a model file, verify one, or show its shape, size and root.
    #[command(subcommand)]
    Model(commands::model::Command),
    /// Say what of tools, clock, disk, memory and processor is there or missing.
    Doctor(commands::doctor::Args),
    /// Check, design and simulate a pool's economics; needs no chain.
    #[command(subcommand)]
    Economics(commands::economics::Command),
    /// Create or show a pool.
    #[command(subcommand)]
    Pool(commands::pool::Command),
    /// Move an account's money: deposit, fund, exit, buy and leave seats.
    #[command(subcommand)]
    Account(commands::account::Command),
    /// Serve a model in a pool.
    Server(commands::server::Args),
    /// Serve the OpenAI-compatible API.
    Gateway(commands::gateway::Args),
    /// Serve a drand chain of a devnet.
    Beacon(commands::beacon::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> eyre::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ASSAY_LOG")
                .unwrap_or_else(|_| "warn,assay=info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Devnet(args) => commands::devnet::run(args).await,
            Command::Ask(args) => commands::ask::run(args).await,
            Command::Generate(args) => commands::generate::run(&args),
            Command::Bench(args) => commands::bench::run(&args),
            Command::Model(command) => commands::model::run(command).await,
            Command::Doctor(args) => commands::doctor::run(&args),
            Command::Economics(command) => commands::economics::run(command),
            Command::Pool(command) => commands::pool::run(command).await,
            Command::Account(command) => commands::account::run(command).await,
            Command::Server(args) => commands::server::run(args).await,
            Command::Gateway(args) => commands::gateway::run(args).await,
            Command::Beacon(args) => commands::beacon::run(args).await,
        }
    })
}
