//! What can go wrong, sorted by what the caller does about it.

use assay_protocol::InputError;

use crate::Backend;

/// Why a model file is not accepted. Only [`ModelError::Io`] can be cured by trying again.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Retry: the file could not be read.
    #[error("reading the model: {0}")]
    Io(#[from] std::io::Error),
    /// Give up: the file ends before the named field does.
    #[error("model file ends inside {field}: {needed} bytes wanted, {left} left")]
    Truncated {
        /// What was being read.
        field: String,
        /// Bytes wanted.
        needed: u64,
        /// Bytes left in the file.
        left: u64,
    },
    /// Give up: not a GGUF file of a version this crate reads.
    #[error("not a readable GGUF file: {0}")]
    Format(String),
    /// Give up: a metadata entry is missing, of the wrong type, or outside its domain.
    #[error("model metadata {key}: {reason}")]
    Metadata {
        /// The entry's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Give up: a tensor is missing, misplaced, of the wrong shape or type, or holds a value that is refused.
    #[error("model tensor {name}: {reason}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ModelError {
    pub(crate) fn metadata(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Metadata { key: key.into(), reason: reason.into() }
    }

    pub(crate) fn tensor(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), reason: reason.into() }
    }
}

/// Why a generation is not started. Nothing has been computed by then. The last three are this machine's
/// fault; all others are the sender's, and the same input is refused on every machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputRefused {
    /// A field is outside the domain that holds for every model.
    #[error(transparent)]
    Invalid(#[from] InputError),
    /// A prompt token is no token of this model.
    #[error("prompt token {id} at index {index} is outside the vocabulary of {vocabulary}")]
    TokenOutsideVocabulary {
        /// Index into the prompt.
        index: usize,
        /// The token id.
        id: u32,
        /// Number of tokens that the model knows.
        vocabulary: u32,
    },
    /// A stop token is no token of this model.
    #[error("stop token {id} is outside the vocabulary of {vocabulary}")]
    StopOutsideVocabulary {
        /// The token id.
        id: u32,
        /// Number of tokens that the model knows.
        vocabulary: u32,
    },
    /// Prompt and wanted output together do not fit.
    #[error("{prompt} prompt tokens and {max_tokens} output tokens exceed the context of {context}")]
    ContextExceeded {
        /// Number of prompt tokens.
        prompt: u64,
        /// Output tokens wanted.
        max_tokens: u32,
        /// The model's context length.
        context: u32,
    },
    /// Its keys and values alone would take more than the engine may use. Raise [`crate::Options::cache_bytes`].
    #[error("prompt and wanted output need {needed} bytes of cache, the engine may use {budget}")]
    CacheExceeded {
        /// Bytes that keys and values can take.
        needed: u64,
        /// Bytes that the engine may use, in whole pages.
        budget: u64,
    },
    /// The system refused another thread.
    #[error("starting the engine's thread: {0}")]
    NoThread(String),
    /// This machine lacks the chosen back end. Choose [`Backend::Auto`].
    #[error("back end {0:?} is not available on this machine")]
    BackendUnavailable(Backend),
}

impl InputRefused {
    /// Whether another machine, or this one set up otherwise, could compute the input: then the refusal says nothing about
    /// the right answer.
    pub fn is_machines_fault(&self) -> bool {
        matches!(self, Self::CacheExceeded { .. } | Self::NoThread(_) | Self::BackendUnavailable(_))
    }
}

/// Why text and tokens could not be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// A token id outside the vocabulary.
    #[error("token {0} is outside the vocabulary")]
    UnknownToken(u32),
    /// The text could not be split.
    #[error("tokenizing: {0}")]
    Encode(String),
}

/// Why a chat could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The model file carries no chat template.
    #[error("the model has no chat template")]
    Missing,
    /// The template does not parse, fails, or refuses these messages.
    #[error("chat template: {0}")]
    Render(String),
}
