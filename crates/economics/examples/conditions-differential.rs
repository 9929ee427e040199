//! The contract against the crate on as many parameter sets as one likes:
//! `cargo run --release -p assay-economics --example conditions-differential -- --sets 100000 --seed 1 --out evidence/conditions.json`
//!
//! Compares that many random sets, as many adversarial ones, and exhaustive small grids. Fails if they disagree on any.

#[path = "../tests/differential/mod.rs"]
mod differential;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// Random sets, and adversarial ones.
    #[arg(long, default_value_t = 100_000)]
    sets: u64,
    /// Of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the report goes, in JSON; printed if it is not given.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> std::io::Result<ExitCode> {
    let args = Args::parse();
    let start = Instant::now();
    let report = differential::compare(args.sets, 1, args.seed);
    let seconds = start.elapsed().as_secs();
    let json = serde_json::json!({ "seed": args.seed, "seconds": seconds, "report": report });
    let text = format!("{json:#}\n");
    match args.out {
        Some(path) => std::fs::write(path, text)?,
        None => print!("{text}"),
    }
    let total: u64 = report.sets.values().sum();
    eprintln!("{total} sets, {} disagreements, {seconds} s", report.disagreements);
    let agreed = report.disagreements == 0 && report.laxer == 0;
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
