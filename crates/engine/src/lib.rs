//! Deterministic inference: one right answer for every model and input, bit for bit, on every machine.
//!
//! The forward pass uses integers only (`docs/ARITHMETIC.md`), so thread count, vector width and batch do not
//! change a bit. [`Model::open`] loads a GGUF file, an [`Engine`] computes many requests together, a [`Generation`]
//! streams the tokens of one and gives the digest `D` after any number of them, [`run`] recomputes an output that
//! somebody claims.
//!
//! No type or instruction for floating-point numbers lies on the path from input to output.

#![cfg_attr(not(test), deny(clippy::float_arithmetic))]

mod backend;
mod blocks;
mod cache;
mod chacha;
mod engine;
mod error;
mod fast;
mod fixed;
mod generation;
mod gguf;
mod meter;
mod model;
mod outlet;
mod prefix;
mod reference;
mod runner;
mod sampling;
mod scheduler;
mod template;
mod tokenizer;

#[cfg(test)]
mod tests;

pub use backend::{Backend, Options};
pub use engine::Engine;
pub use error::{InputRefused, ModelError, TemplateError, TokenizerError};
pub use generation::{Generation, Outcome, run};
pub use meter::Meter;
pub use model::{Model, ModelInfo};
pub use template::{ChatMessage, ChatTemplate};
pub use tokenizer::{Detokenizer, Tokenizer};
