//! Small GGUF files, right and wrong ones.

/// A metadata value as it is written.
#[derive(Debug, Clone)]
pub(super) enum Meta {
    U32(u32),
    Single(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i32>),
    Singles(Vec<f32>),
    /// Type number and bytes.
    Raw(u32, Vec<u8>),
}

#[derive(Debug, Clone)]
pub(super) struct TensorData {
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) dims: Vec<u64>,
    pub(super) bytes: Vec<u8>,
    /// Overrides the place after the one before.
    pub(super) offset: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct GgufFile {
    pub(super) meta: Vec<(String, Meta)>,
    pub(super) tensors: Vec<TensorData>,
}

/// Numbers of a test model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dims {
    pub(super) architecture: &'static str,
    pub(super) layers: u32,
    pub(super) width: u32,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    pub(super) head_dim: u32,
    pub(super) hidden: u32,
    pub(super) vocabulary: u32,
    /// GGUF's number of the matrices' type: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0, 12 Q4_K, 13 Q5_K, 14 Q6_K, 30 BF16.
    pub(super) kind: u32,
    pub(super) tied: bool,
}

impl Dims {
    pub(super) const SMALL: Self = Self {
        architecture: "llama",
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        hidden: 96,
        vocabulary: 40,
        kind: 8,
        tied: false,
    };
}

/// A deterministic stream of numbers.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ self.0 >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }

    /// Within -1 to 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
}

fn half_bits(x: f32) -> u16 {
    let bits = x.abs().to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 15;
    let sign = if x < 0.0 { 0x8000 } else { 0 };
    match exponent {
        31.. => sign | 0x7bff,
        1.. => sign | (exponent as u16) << 10 | (bits >> 13 & 0x3ff) as u16,
        _ => sign,
    }
}

fn elements(kind: u32, dims: &[u64], amplitude: f32, noise: &mut Noise) -> Vec<u8> {
    let count = dims.iter().product::<u64>() as usize;
    let mut out = Vec::new();
    match kind {
        0 => (0..count).for_each(|_| out.extend((noise.unit() * amplitude).to_le_bytes())),
        1 => (0..count).for_each(|_| out.extend(half_bits(noise.unit() * amplitude).to_le_bytes())),
        30 => (0..count).for_each(|_| {
            out.extend(((noise.unit() * amplitude).to_bits() >> 16).to_le_bytes()[..2].iter());
        }),
        // A scale of either sign; 16 bytes of two weights.
        2 => (0..count / 32).for_each(|_| {
            out.extend(half_bits(noise.unit() * amplitude / 8.0).to_le_bytes());
            out.extend((0..16).map(|_| noise.next() as u8));
        }),
        12 | 13 => (0..count / 256).for_each(|_| {
            let scale = half_bits(noise.unit().abs() * amplitude / (63.0 * 15.0));
            let minimum = half_bits(noise.unit().abs() * amplitude / 63.0);
            out.extend([scale.to_le_bytes(), minimum.to_le_bytes()].concat());
            out.extend((0..if kind == 12 { 140 } else { 172 }).map(|_| noise.next() as u8));
        }),
        14 => (0..count / 256).for_each(|_| {
            out.extend((0..208).map(|_| noise.next() as u8));
            out.extend(half_bits(noise.unit() * amplitude / (127.0 * 32.0)).to_le_bytes());
        }),
        _ => (0..count / 32).for_each(|_| {
            out.extend(half_bits(noise.unit().abs() * amplitude / 127.0).to_le_bytes());
            out.extend((0..32).map(|_| noise.next() as u8));
        }),
    }
    out
}

impl GgufFile {
    /// A complete model whose weights reach `amplitude` and gains `gain`.
    pub(super) fn model(d: Dims, amplitude: f32, gain: f32, seed: u64) -> Self {
        let mut file = Self::default();
        let text = |t: &str| Meta::Text(t.into());
        for (key, value) in [
            ("general.architecture", text(d.architecture)),
            ("general.name", text("test")),
            ("context_length", Meta::U32(128)),
            ("embedding_length", Meta::U32(d.width)),
            ("block_count", Meta::U32(d.layers)),
            ("feed_forward_length", Meta::U32(d.hidden)),
            ("attention.head_count", Meta::U32(d.heads)),
            ("attention.head_count_kv", Meta::U32(d.kv_heads)),
            ("attention.key_length", Meta::U32(d.head_dim)),
            ("attention.layer_norm_rms_epsilon", Meta::Single(1e-5)),
            ("rope.freq_base", Meta::Single(10_000.0)),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("gpt-2")),
            ("tokenizer.ggml.tokens", Meta::Texts((0..d.vocabulary).map(|i| format!("t{i}")).collect())),
            ("tokenizer.ggml.merges", Meta::Texts(vec![])),
            ("tokenizer.ggml.eos_token_id", Meta::U32(1)),
        ] {
            let global = ["general.", "tokenizer."].iter().any(|p| key.starts_with(p));
            let key = if global { key.to_owned() } else { format!("{}.{key}", d.architecture) };
            file.meta.push((key, value));
        }
        if d.architecture == "gemma3" {
            file.set("gemma3.attention.sliding_window", Meta::U32(20));
        }
        if d.architecture == "gemma2" {
            // Low enough for scores and logits of random models to meet them.
            file.set("gemma2.attention.sliding_window", Meta::U32(20));
            file.set("gemma2.attn_logit_softcapping", Meta::Single(1.5));
            file.set("gemma2.final_logit_softcapping", Meta::Single(0.75));
        }
        let mut noise = Noise(seed);
        let (width, hidden) = (u64::from(d.width), u64::from(d.hidden));
        let (queries, keys) = (u64::from(d.heads * d.head_dim), u64::from(d.kv_heads * d.head_dim));
        let vocabulary = u64::from(d.vocabulary);
        let matrix = |name: &str, cols, rows| (name.to_owned(), vec![cols, rows]);
        let mut shapes = vec![matrix("token_embd.weight", width, vocabulary)];
        for i in 0..d.layers {
            for (part, dims) in [
                ("attn_norm", vec![width]),
                ("attn_q", vec![width, queries]),
                ("attn_k", vec![width, keys]),
                ("attn_v", vec![width, keys]),
                ("attn_output", vec![queries, width]),
                ("ffn_norm", vec![width]),
                ("ffn_gate", vec![width, hidden]),
                ("ffn_up", vec![width, hidden]),
                ("ffn_down", vec![hidden, width]),
            ] {
                shapes.push((format!("blk.{i}.{part}.weight"), dims));
            }
            let head = vec![u64::from(d.head_dim)];
            let more = match d.architecture {
                "qwen2" => vec![
                    ("attn_q.bias", vec![queries]),
                    ("attn_k.bias", vec![keys]),
                    ("attn_v.bias", vec![keys]),
                ],
                "qwen3" => vec![("attn_q_norm.weight", head.clone()), ("attn_k_norm.weight", head)],
                "gemma2" => {
                    vec![("post_attention_norm.weight", vec![width]), ("post_ffw_norm.weight", vec![width])]
                }
                "gemma3" => vec![
                    ("attn_q_norm.weight", head.clone()),
                    ("attn_k_norm.weight", head),
                    ("post_attention_norm.weight", vec![width]),
                    ("post_ffw_norm.weight", vec![width]),
                ],
                _ => vec![],
            };
            shapes.extend(more.into_iter().map(|(part, dims)| (format!("blk.{i}.{part}"), dims)));
        }
        shapes.push(("output_norm.weight".into(), vec![width]));
        if !d.tied {
            shapes.push(matrix("output.weight", width, vocabulary));
        }
        for (name, dims) in shapes {
            let (kind, amplitude) = if dims.len() == 1 { (0, gain) } else { (d.kind, amplitude) };
            let bytes = elements(kind, &dims, amplitude, &mut noise);
            file.tensors.push(TensorData { name, kind, dims, bytes, offset: None });
        }
        file
    }

    pub(super) fn set(&mut self, key: &str, value: Meta) {
        match self.meta.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.meta.push((key.into(), value)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.meta.retain(|(k, _)| k != key);
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut TensorData {
        self.tensors.iter_mut().find(|t| t.name == name).unwrap()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        }
        fn array(out: &mut Vec<u8>, kind: u32, len: usize) {
            out.extend(9u32.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((len as u64).to_le_bytes());
        }
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.meta.len() as u64).to_le_bytes());
        for (key, value) in &self.meta {
            text(&mut out, key);
            match value {
                Meta::U32(v) => out.extend([4u32.to_le_bytes(), v.to_le_bytes()].concat()),
                Meta::Single(v) => out.extend([6u32.to_le_bytes(), v.to_le_bytes()].concat()),
                Meta::Bool(v) => {
                    out.extend(7u32.to_le_bytes());
                    out.push(u8::from(*v));
                }
                Meta::Text(v) => {
                    out.extend(8u32.to_le_bytes());
                    text(&mut out, v);
                }
                Meta::Texts(v) => {
                    array(&mut out, 8, v.len());
                    v.iter().for_each(|v| text(&mut out, v));
                }
                Meta::Ints(v) => {
                    array(&mut out, 5, v.len());
                    v.iter().for_each(|v| out.extend(v.to_le_bytes()));
                }
                Meta::Singles(v) => {
                    array(&mut out, 6, v.len());
                    v.iter().for_each(|v| out.extend(v.to_le_bytes()));
                }
                Meta::Raw(kind, bytes) => {
                    out.extend(kind.to_le_bytes());
                    out.extend(bytes);
                }
            }
        }
        let mut at = 0u64;
        let mut data = Vec::new();
        for tensor in &self.tensors {
            text(&mut out, &tensor.name);
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(at).to_le_bytes());
            data.extend(&tensor.bytes);
            data.resize(data.len().next_multiple_of(32), 0);
            at = data.len() as u64;
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }
}
