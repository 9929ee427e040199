//! A loaded model: integer weights, shape, tokenizer and chat template.

mod architecture;
mod arena;
mod commitment;
mod kquants;
mod load;
mod matrix;
mod shape;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use alloy_primitives::B256;

pub(crate) use architecture::{Activation, Pairs};
pub(crate) use load::{Layer, Projection, Weights};
pub(crate) use matrix::{Block, GROUP, Matrix, Unit, Unit4, Unit4Minima, Unit8, Units};
#[cfg(test)]
pub(crate) use matrix::{ExactBlock, Width};
pub(crate) use shape::Shape;

use crate::{
    ModelError,
    gguf::{self, Header, Source},
    template::ChatTemplate,
    tokenizer::Tokenizer,
};

/// A model ready to run. Clones share the weights.
#[derive(Debug, Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: ModelInfo,
    shape: Shape,
    weights: Weights,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    root: OnceLock<B256>,
}

/// What a model is, for people and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// `general.name`, or empty.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// Number of layers.
    pub layers: u32,
    /// Elements of the residual stream.
    pub width: u32,
    /// Number of attention heads.
    pub heads: u32,
    /// Number of key and value heads.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Elements of the feed-forward layer.
    pub hidden: u32,
    /// Number of tokens.
    pub vocabulary: u32,
    /// Most positions: prompt and output together.
    pub context: u32,
    /// Tensor types of the file with their counts, such as `F32 ×13, Q8_0 ×44`.
    pub tensor_types: String,
    /// Number of weights in the file.
    pub parameters: u64,
    /// Size of the file in bytes.
    pub file_bytes: u64,
}

impl Model {
    /// Loads a GGUF file. Nothing of it stays open or mapped.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::read(&Source::open(path.as_ref())?)
    }

    /// Loads a GGUF file that is in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        Self::read(&Source::Memory(bytes))
    }

    fn read(source: &Source<'_>) -> Result<Self, ModelError> {
        let header = gguf::parse(source)?;
        let mut loader = load::Loader::new(source, &header);
        let shape = Shape::read(&header, loader.rope_factors()?.as_deref())?;
        let tokenizer = Tokenizer::from_header(&header)?;
        let template = ChatTemplate::from_header(&header, &tokenizer)?;
        let weights = loader.weights(&shape)?;
        let info = info(&header, &shape, source.len())?;
        let inner = Inner { info, shape, weights, tokenizer, template, root: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What the model is.
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// Commitment to everything that the output depends on. Computed once, on first use, on all cores.
    pub fn root(&self) -> B256 {
        let inner = &*self.inner;
        *inner.root.get_or_init(|| {
            let tied = inner.weights.output.is_none();
            commitment::model_root(&inner.shape, tied, inner.tokenizer.commitment(), &inner.weights)
        })
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// The model's chat template, if the file carries one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.inner.template.as_ref()
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.inner.weights
    }
}

fn info(header: &Header, shape: &Shape, file_bytes: u64) -> Result<ModelInfo, ModelError> {
    let mut types = BTreeMap::new();
    let mut parameters = 0u64;
    for tensor in header.tensors.values() {
        *types.entry(tensor.kind).or_insert(0u32) += 1;
        // A tensor's bytes lie within the file and a weight takes at least one.
        parameters += tensor.dims.iter().product::<u64>();
    }
    let types: Vec<String> = types.iter().map(|(kind, n)| format!("{} ×{n}", kind.name())).collect();
    let key = "general.architecture";
    Ok(ModelInfo {
        name: header.text("general.name")?.unwrap_or_default().to_owned(),
        architecture: header.text(key)?.unwrap_or_default().to_owned(),
        layers: shape.layers as u32,
        width: shape.width as u32,
        heads: shape.heads as u32,
        kv_heads: shape.kv_heads as u32,
        head_dim: shape.head_dim as u32,
        hidden: shape.hidden as u32,
        vocabulary: shape.vocabulary as u32,
        context: shape.context as u32,
        tensor_types: types.join(", "),
        parameters,
        file_bytes,
    })
}
