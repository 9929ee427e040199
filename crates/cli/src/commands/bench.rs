//! `assay bench`

use std::path::PathBuf;
use std::time::Instant;

use assay_engine::{Backend, Engine, Generation, Meter, Model, Options};
use assay_protocol::{InferenceInput, Sampling, WorkDigest};
use eyre::{Context, Result, bail};
use serde::Serialize;

/// Measures a model's speed here: tokens a second of prompts (prefill) and of output (decode), for each number of
/// threads, prompt length and batch, held against what the machine can do at best in the same minute.
///
/// Nothing else should run meanwhile. Two figures are worth comparing only from one run, as machines are noisy.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file.
    model: PathBuf,
    /// Threads to compute with; several as 1,2,4.
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    threads: Vec<usize>,
    /// Prompt tokens.
    #[arg(long, value_delimiter = ',', default_values_t = [64])]
    prompt: Vec<usize>,
    /// Requests at a time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8])]
    batch: Vec<usize>,
    /// Output tokens of each request.
    #[arg(long, default_value_t = 64)]
    tokens: u32,
    /// Times that each is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// auto, avx2, avx512, neon or neon-dot.
    #[arg(long, default_value = "auto")]
    backend: String,
    /// As JSON, with every measurement.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    parameters: u64,
    tensor_types: String,
    backend: String,
    load_seconds: f64,
    file_bytes: u64,
    weight_bytes: u64,
    cases: Vec<Case>,
    /// Most memory that the process held; `None` where the system does not say.
    peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Case {
    threads: usize,
    prompt: usize,
    batch: usize,
    /// Of all requests' KV caches.
    cache_bytes: u64,
    prefill: Speed,
    decode: Speed,
    /// Bytes a second that reading all weights and nothing else reaches, measured before each repetition.
    read_bytes_a_second: f64,
    /// Multiplications of int8 a second that registers alone reach.
    peak_multiplications_a_second: f64,
    /// Of what reading the weights once a step would allow, the share that decoding reaches.
    decode_of_bandwidth: f64,
    /// Of the peak of multiplications, the share that prefill reaches.
    prefill_of_peak: f64,
    /// Of the time of decoding, the share that the work digest takes.
    work_digest_share: f64,
}

/// Tokens a second, all requests of the batch together.
#[derive(Debug, Serialize)]
struct Speed {
    median: f64,
    all: Vec<f64>,
}

impl Speed {
    fn of(all: Vec<f64>) -> Self {
        Self { median: median(&all), all }
    }
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let model = Model::open(&args.model).wrap_err_with(|| format!("{}", args.model.display()))?;
    let load_seconds = started.elapsed().as_secs_f64();
    let backend = super::generate::backend(&args.backend)?;
    if backend.resolve() == Backend::Reference {
        bail!("there is nothing to measure: this machine has no vector unit that a back end was written for");
    }
    if args.tokens < 2 || args.repeat == 0 || args.prompt.contains(&0) || args.batch.contains(&0) {
        bail!("--tokens must be at least 2; --repeat, --prompt and --batch at least 1");
    }
    let info = model.info();
    let mut report = Report {
        model: info.name.clone(),
        parameters: info.parameters,
        tensor_types: info.tensor_types.clone(),
        backend: backend.resolve().to_string(),
        load_seconds,
        file_bytes: info.file_bytes,
        weight_bytes: 0,
        cases: Vec::new(),
        peak_memory_bytes: None,
    };
    if !args.json {
        println!("{} ({}), {}", report.model, report.tensor_types, report.backend);
        println!(
            "loaded in {load_seconds:.2} s, {:.2} s a GB",
            load_seconds / (info.file_bytes as f64 / 1e9)
        );
        println!("threads  prompt  batch   prefill of peak    decode of bandwidth   read GB/s");
    }
    for threads in &args.threads {
        for prompt in &args.prompt {
            for batch in &args.batch {
                let options = Options {
                    backend,
                    threads: *threads,
                    batch: *batch,
                    reuse_prefixes: false,
                    ..Options::default()
                };
                let case = measure(&model, options, *prompt, args, &mut report.weight_bytes)?;
                if !args.json {
                    println!(
                        "{threads:>7} {prompt:>7} {batch:>6} {:>9.1} {:>6.1} % {:>9.1} {:>10.1} % {:>11.1}",
                        case.prefill.median,
                        100.0 * case.prefill_of_peak,
                        case.decode.median,
                        100.0 * case.decode_of_bandwidth,
                        case.read_bytes_a_second / 1e9,
                    );
                }
                report.cases.push(case);
            }
        }
    }
    report.peak_memory_bytes = peak_memory();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if let Some(bytes) = report.peak_memory_bytes {
        let cache = report.cases.iter().map(|case| case.cache_bytes).max().unwrap_or(0);
        let [bytes, weights, cache] = [bytes, report.weight_bytes, cache].map(|bytes| bytes / 1_000_000);
        let digest = report.cases.iter().map(|case| case.work_digest_share).fold(0.0, f64::max);
        println!("work digest at most {:.2} % of decoding", 100.0 * digest);
        println!("peak memory {bytes} MB: weights {weights} MB, KV cache at most {cache} MB");
    }
    Ok(())
}

fn measure(
    model: &Model,
    options: Options,
    prompt: usize,
    args: &Args,
    weight_bytes: &mut u64,
) -> Result<Case> {
    let engine = Engine::new(model, options)?;
    let Some(meter) = Meter::new(model, options) else { bail!("no back end to measure") };
    *weight_bytes = meter.weight_bytes();
    let vocabulary = model.info().vocabulary;
    let (mut prefill, mut decode, mut read, mut peak) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first time touches fresh memory, and is not counted.
    for repetition in 0..=args.repeat {
        let started = Instant::now();
        std::hint::black_box(meter.read_weights());
        read.push(*weight_bytes as f64 / started.elapsed().as_secs_f64());
        let started = Instant::now();
        let multiplications = meter.multiply(1_000_000);
        peak.push(multiplications as f64 / started.elapsed().as_secs_f64());

        let input = |request: usize| InferenceInput {
            nonce: [0; 16],
            max_tokens: args.tokens,
            sampling: Sampling::GREEDY,
            stop: Vec::new(),
            tokens: (0..prompt)
                .map(|i| ((request * 7919 + i * 127 + 300) % vocabulary as usize) as u32)
                .collect(),
        };
        let started = Instant::now();
        let mut requests = Vec::new();
        for request in 0..options.batch {
            requests.push(engine.start(&input(request))?);
        }
        requests.iter_mut().for_each(|request| _ = request.next_token());
        let seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut tokens = 0;
        while requests.iter_mut().filter_map(Generation::next_token).count() > 0 {}
        tokens += requests.iter().map(|request| request.tokens().len() - 1).sum::<usize>();
        if repetition > 0 {
            prefill.push((prompt * options.batch) as f64 / seconds);
            decode.push(tokens as f64 / started.elapsed().as_secs_f64());
        }
    }
    let (prefill, decode) = (Speed::of(prefill), Speed::of(decode));
    let (read, peak) = (median(&read[1..]), median(&peak[1..]));
    Ok(Case {
        threads: options.threads,
        prompt,
        batch: options.batch,
        // The last token's keys and values are never computed.
        cache_bytes: options.batch as u64 * meter.cache_bytes(prompt + args.tokens as usize - 1),
        decode_of_bandwidth: decode.median / options.batch as f64 * meter.token_bytes() as f64 / read,
        prefill_of_peak: prefill.median * meter.layer_multiplications() as f64 / peak,
        work_digest_share: decode.median * seconds_a_digest(model.info().width as usize),
        prefill,
        decode,
        read_bytes_a_second: read,
        peak_multiplications_a_second: peak,
    })
}

/// Seconds that the work digest takes with a token.
fn seconds_a_digest(width: usize) -> f64 {
    const TIMES: u32 = 1_000;
    let hidden = vec![1 << 16; width];
    let mut work = WorkDigest::default();
    let started = Instant::now();
    for _ in 0..TIMES {
        work.absorb(std::hint::black_box(&hidden));
    }
    std::hint::black_box(work.value());
    started.elapsed().as_secs_f64() / f64::from(TIMES)
}

/// The kernel's figure for the most memory resident so far.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
