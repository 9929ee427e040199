//! Perplexity and agreement with the F16 models on held-out text.

use std::path::{Path, PathBuf};

use super::{
    all_logits,
    float_model::{FloatModel, Rounding},
    gguf_file::{Dims, GgufFile, Meta, TensorData},
    model, path,
};
use crate::{Backend, Model, gguf::Source, runner::Runner};

const WINDOW: usize = 256;
/// 20,400 scored positions.
const WINDOWS: usize = 80;

/// Windows of the held-out text, special tokens parsed, each beginning with the begin token.
fn windows(model: &Model) -> Vec<Vec<u32>> {
    let text = std::fs::read_to_string(path("models/heldout.txt")).unwrap();
    let ids = model.tokenizer().encode(&text, true).unwrap();
    let mut windows: Vec<Vec<u32>> = ids.chunks_exact(WINDOW).take(WINDOWS).map(<[u32]>::to_vec).collect();
    assert_eq!(windows.len(), WINDOWS);
    windows.iter_mut().for_each(|w| w[0] = model.tokenizer().bos().unwrap());
    windows
}

/// What a model says at every scored position.
#[derive(Default)]
struct Scores {
    /// Most likely next token.
    top: Vec<u32>,
    /// Minus the natural logarithm of the probability of the actual next token.
    loss: Vec<f64>,
}

impl Scores {
    fn add(&mut self, logits: &[f64], vocabulary: usize, window: &[u32]) {
        for (logits, next) in logits.chunks(vocabulary).zip(&window[1..]) {
            let mut top = 0;
            for (id, logit) in logits.iter().enumerate() {
                if *logit > logits[top] {
                    top = id;
                }
            }
            let sum: f64 = logits.iter().map(|l| (l - logits[top]).exp()).sum();
            self.top.push(top as u32);
            self.loss.push(sum.ln() + logits[top] - logits[*next as usize]);
        }
    }

    fn perplexity(&self) -> f64 {
        (self.loss.iter().sum::<f64>() / self.loss.len() as f64).exp()
    }

    /// Share of positions with the same most likely token.
    fn agreement(&self, other: &Self) -> f64 {
        let same = self.top.iter().zip(&other.top).filter(|(a, b)| a == b).count();
        same as f64 / self.top.len() as f64
    }
}

fn scores(windows: &[Vec<u32>], vocabulary: usize, logits: impl Fn(&[u32]) -> Vec<f64> + Sync) -> Scores {
    let halves: Vec<Scores> = std::thread::scope(|scope| {
        let half = |windows: &[Vec<u32>]| {
            let mut scores = Scores::default();
            windows.iter().for_each(|w| scores.add(&logits(w), vocabulary, w));
            scores
        };
        let (a, b) = windows.split_at(windows.len() / 2);
        let a = scope.spawn(move || half(a));
        let b = half(b);
        vec![a.join().unwrap(), b]
    });
    let mut all = Scores::default();
    for half in halves {
        all.top.extend(half.top);
        all.loss.extend(half.loss);
    }
    all
}

fn float_scores(file: &Path, windows: &[Vec<u32>], rounding: Rounding) -> Scores {
    let model = FloatModel::open(file);
    scores(windows, 2048, |w| model.logits(w, rounding))
}

fn engine_scores(model: &Model, windows: &[Vec<u32>]) -> Scores {
    let vocabulary = model.info().vocabulary as usize;
    scores(windows, vocabulary, |window| {
        let mut runner = Runner::new(Backend::Auto, 1);
        all_logits(model, &mut runner, window).iter().map(|l| f64::from(*l) / 65536.0).collect()
    })
}

fn f16_300k() -> PathBuf {
    path("crates/engine/tests/tales-300k-f16.gguf")
}

/// The outcome that the arithmetic is made for: perplexity at most 1.002 of the F16 model's, and the most likely
/// token equal to its at most half a point less often than with llama.cpp's rounding of Q8_0.
fn check(name: &str, f16: &Scores, llama: &Scores, engine: &Scores) {
    let ratio = engine.perplexity() / f16.perplexity();
    let (ours, theirs) = (engine.agreement(f16), llama.agreement(f16));
    println!(
        "{name}: {} positions; perplexity F16 {:.5}, llama.cpp's rounding {:.5}, engine {:.5}, ratio {ratio:.5}; \
         top-1 as F16: llama.cpp's rounding {:.2} %, engine {:.2} %",
        f16.top.len(),
        f16.perplexity(),
        llama.perplexity(),
        engine.perplexity(),
        100.0 * theirs,
        100.0 * ours
    );
    assert!(f16.top.len() >= 20_000);
    assert!(ratio <= 1.002, "{name}: perplexity ratio {ratio}");
    assert!(ours >= theirs - 0.005, "{name}: agreement {ours}, llama.cpp's rounding {theirs}");
}

#[test]
fn tales_300k_is_as_good_as_f16() {
    let model = model("tales-300k");
    let windows = windows(&model);
    let f16 = float_scores(&f16_300k(), &windows, Rounding::Exact);
    let llama = float_scores(&path("models/tales-300k.gguf"), &windows, Rounding::LlamaCpp);
    check("tales-300k", &f16, &llama, &engine_scores(&model, &windows));
    // The F16 file loads too, through this crate's own rounding of its matrices to int8.
    let own = Model::open(f16_300k()).unwrap();
    check("tales-300k from F16", &f16, &llama, &engine_scores(&own, &windows));
}

const F16_3M: &str = "tests/vectors/engine-tales-3m-f16.json";

/// What [`write_f16_scores`] found.
#[test]
fn tales_3m_is_as_good_as_f16() {
    let vector: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path(F16_3M)).unwrap()).unwrap();
    let digits = vector["top1"].as_str().unwrap().as_bytes().as_chunks::<3>().0;
    let top: Vec<u32> =
        digits.iter().map(|d| u32::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect();
    let model = model("tales-3m");
    let engine = engine_scores(&model, &windows(&model));
    assert_eq!(top.len(), engine.top.len());
    let same = top.iter().zip(&engine.top).filter(|(a, b)| a == b).count();
    let ours = same as f64 / top.len() as f64;
    let theirs = vector["llamacpp_agreement"].as_f64().unwrap();
    let ratio = engine.perplexity() / vector["perplexity"].as_f64().unwrap();
    println!(
        "tales-3m: perplexity ratio {ratio:.5}, top-1 as F16 {ours:.4} (llama.cpp's rounding {theirs:.4})"
    );
    assert!(top.len() >= 20_000 && ratio <= 1.002 && ours >= theirs - 0.005);
}

/// `ASSAY_F16_MODEL=tales-3m-f16.gguf cargo test -p assay-engine --release -- --ignored write_f16_scores`
#[test]
#[ignore = "writes a vector, and needs the F16 file of tales-3m, which is too large for the repository"]
fn write_f16_scores() {
    let model = model("tales-3m");
    let windows = windows(&model);
    let file = PathBuf::from(std::env::var("ASSAY_F16_MODEL").unwrap());
    let f16 = float_scores(&file, &windows, Rounding::Exact);
    let llama = float_scores(&path("models/tales-3m.gguf"), &windows, Rounding::LlamaCpp);
    check("tales-3m", &f16, &llama, &engine_scores(&model, &windows));
    check("tales-3m from F16", &f16, &llama, &engine_scores(&Model::open(&file).unwrap(), &windows));
    let top: String = f16.top.iter().map(|id| format!("{id:03x}")).collect();
    let json = format!(
        "{{\n \"source\": \"tales-3m in F16, double precision, models/heldout.txt in {WINDOWS} windows of {WINDOW}; top1: \
         most likely next token of each scored position, 3 hex digits each; llamacpp_agreement: the same by Q8_0 with \
         activations and cache rounded as llama.cpp does\",\n \"perplexity\": {:.6},\n \"llamacpp_agreement\": {:.6},\n \
         \"top1\": \"{top}\"\n}}\n",
        f16.perplexity(),
        llama.agreement(&f16)
    );
    std::fs::write(path(F16_3M), json).unwrap();
}

/// Positions far beyond those of the bundled models: angles, sums over positions and pages of keys.
#[test]
fn long_contexts_stay_as_accurate_as_short_ones() {
    let dims =
        Dims { width: 128, heads: 4, kv_heads: 2, head_dim: 32, hidden: 128, vocabulary: 64, ..Dims::SMALL };
    for (architecture, scaling) in [
        ("qwen3", "none"),
        ("gemma", "none"),
        ("gemma2", "none"),
        ("gemma3", "none"),
        ("llama", "none"),
        ("llama", "linear"),
        ("llama", "rope_freqs"),
        ("llama", "yarn"),
        ("qwen2", "linear"),
        ("qwen2", "yarn"),
    ] {
        // Of gemma3 each sixth layer sees beyond its window.
        let layers = if architecture == "gemma3" { 7 } else { dims.layers };
        let mut file = GgufFile::model(Dims { architecture, layers, ..dims }, 0.3, 1.0, 21);
        if scaling == "rope_freqs" {
            // As Llama 3: slow pairs slower still.
            let factors = (0..16).map(|j| if j < 6 { 1.0 } else { 1.0 + (j - 5) as f32 * 0.7 });
            file.tensors.push(TensorData {
                name: "rope_freqs.weight".into(),
                kind: 0,
                dims: vec![16],
                bytes: factors.flat_map(f32::to_le_bytes).collect(),
                offset: None,
            });
        } else if scaling != "none" {
            let mut set = |key: &str, value| file.set(&format!("{architecture}.rope.scaling.{key}"), value);
            set("type", Meta::Text(scaling.into()));
            set("factor", Meta::Single(8.0));
            set("original_context_length", Meta::U32(512));
        }
        file.set(&format!("{architecture}.context_length"), Meta::U32(4096));
        let bytes = file.bytes();
        let tokens: Vec<u32> = (0..2_048).map(|i| (i * 29 + i / 64) % 64).collect();
        let exact = FloatModel::read(&Source::Memory(&bytes)).logits(&tokens, Rounding::Exact);
        let model = Model::from_bytes(&bytes).unwrap();
        let got = all_logits(&model, &mut Runner::new(Backend::Auto, 1), &tokens);
        let error = |positions: std::ops::Range<usize>| {
            let range = positions.start * 64..positions.end * 64;
            let pairs = || got[range.clone()].iter().zip(&exact[range.clone()]);
            let wrong: f64 = pairs().map(|(g, x)| (f64::from(*g) / 65536.0 - x).powi(2)).sum();
            (wrong / pairs().map(|(_, x)| x * x).sum::<f64>()).sqrt()
        };
        let (short, long) = (error(0..128), error(1_920..2_048));
        println!(
            "{architecture}, scaling {scaling}: error of the logits' size {short:.5} up to position 128, {long:.5} from 1,920 on"
        );
        assert!(short < 0.03 && long < 1.5 * short + 0.002);
    }
}
