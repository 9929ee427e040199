//! What a machine can do at best, to hold an engine's speed against.

use crate::{
    Model, Options,
    cache::{Layout, PAGE},
    fast::Fast,
};

/// The same threads and instructions as an engine with these options, doing nothing else.
#[derive(Debug)]
pub struct Meter {
    model: Model,
    fast: Fast,
}

impl Meter {
    /// `None` for the reference, which nothing is held against.
    pub fn new(model: &Model, options: Options) -> Option<Self> {
        let fast = Fast::new(options.backend.resolve(), options.threads)?;
        Some(Self { model: model.clone(), fast })
    }

    /// Bytes of all weights as they lie in memory: what a token reads, except that of an embedding that is no output
    /// matrix it reads one row.
    pub fn weight_bytes(&self) -> u64 {
        self.model.weights().matrices().map(|matrix| matrix.bytes() as u64).sum()
    }

    /// Reads all weights once, and returns a sum that depends on all of them.
    pub fn read_weights(&self) -> u64 {
        self.fast.read_weights(&self.model)
    }

    /// Multiplications that a position takes in the layers.
    pub fn layer_multiplications(&self) -> u64 {
        let weights = self.model.weights();
        let ends = std::iter::once(&weights.embedding).chain(&weights.output);
        let count = |matrix: &crate::model::Matrix| (matrix.rows * matrix.cols) as u64;
        weights.matrices().map(count).sum::<u64>() - ends.map(count).sum::<u64>()
    }

    /// Bytes that a token reads.
    pub fn token_bytes(&self) -> u64 {
        let weights = self.model.weights();
        let embedding = weights.output.as_ref().map_or(0, |_| weights.embedding.bytes());
        self.weight_bytes() - embedding as u64
    }

    /// Bytes of the KV cache of a request of so many positions.
    pub fn cache_bytes(&self, positions: usize) -> u64 {
        (positions.div_ceil(PAGE) * Layout::of(self.model.shape()).page_bytes()) as u64
    }

    /// Multiplies int8 in registers on every thread; returns the number of multiplications.
    pub fn multiply(&self, rounds: u64) -> u64 {
        self.fast.multiply(rounds)
    }
}
