//! `assay generate`

use std::io::Write as _;
use std::iter;
use std::path::PathBuf;
use std::time::Instant;

use assay_engine::{Backend, Generation, Model, Options};
use assay_protocol::{Finish, InferenceInput, Sampling};
use eyre::{Context, Result};

/// Runs a model locally, exactly as a server would, and prints the continuation as it comes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The text to continue; special tokens in it are read as such.
    #[arg(long)]
    prompt: String,
    /// Most tokens to generate.
    #[arg(long, default_value_t = 128)]
    max_tokens: u32,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Keeps the most likely tokens with this share of the probability.
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Keeps so many of the most likely tokens; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads to compute with.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// auto, reference, avx2, avx512, neon or neon-dot; all give the same bits.
    #[arg(long, default_value = "auto")]
    backend: String,
    /// Also print the digest and the speed.
    #[arg(long)]
    stats: bool,
}

pub(crate) fn backend(name: &str) -> Result<Backend> {
    let known = || iter::once(Backend::Auto).chain(Backend::ALL);
    known().find(|backend| backend.to_string() == name).ok_or_else(|| {
        let names: Vec<_> = known().map(|backend| backend.to_string()).collect();
        eyre::eyre!("unknown back end '{name}': {}", names.join(", "))
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let model = Model::open(&args.model).wrap_err_with(|| format!("{}", args.model.display()))?;
    let tokens = model.tokenizer().encode_prompt(&args.prompt)?;
    let thousandths = |x: f64| (x * 1000.0).round() as u32;
    let input = InferenceInput {
        nonce: [0; 16],
        max_tokens: args.max_tokens,
        sampling: Sampling {
            seed: args.seed,
            temperature: thousandths(args.temperature),
            top_p: thousandths(args.top_p),
            top_k: args.top_k,
        },
        stop: Vec::new(),
        tokens,
    };
    let options = Options { backend: backend(&args.backend)?, threads: args.threads, ..Options::default() };
    let started = Instant::now();
    let mut generation = Generation::start(&model, &input, options)?;
    let mut text = model.tokenizer().detokenizer(true);
    let mut out = std::io::stdout().lock();
    let mut first = None;
    while let Some(token) = generation.next_token() {
        first.get_or_insert_with(|| started.elapsed());
        write!(out, "{}", text.push(token)?)?;
        out.flush()?;
    }
    writeln!(out, "{}", text.finish())?;
    if args.stats {
        let finish = generation.finish().unwrap_or(Finish::Cancelled);
        let (count, all) = (generation.tokens().len(), started.elapsed());
        let decode = all.saturating_sub(first.unwrap_or_default()).as_secs_f64();
        eprintln!(
            "{} prompt tokens in {:.1} ms, {count} tokens at {:.0} a second, finish {finish:?}, digest {}",
            input.tokens.len(),
            first.unwrap_or_default().as_secs_f64() * 1e3,
            (count.saturating_sub(1)) as f64 / decode.max(1e-9),
            generation.digest(model.root(), finish).0,
        );
    }
    Ok(())
}
