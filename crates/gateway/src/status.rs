//! What has become of recent answers, for callers who ask.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Answers remembered.
const KEPT: usize = 10_000;

/// An accepted answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// Hash of the signed request.
    pub request: B256,
    /// Hash of the signed response.
    pub response: B256,
    /// Who answered.
    pub server: Address,
    /// Output tokens.
    pub tokens: u32,
    /// From the order to the signed response.
    pub milliseconds: u64,
    /// What the beacon made of it.
    pub check: CheckStatus,
}

/// Whether an answer was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum CheckStatus {
    /// The ticket's round has not come yet, or the validator has not answered.
    Waiting,
    /// Not drawn.
    NotDrawn,
    /// Recomputed by another server: the same digest.
    Equal {
        /// Who checked.
        validator: Address,
    },
    /// Recomputed by another server: another digest. A dispute follows.
    Unequal {
        /// Who checked.
        validator: Address,
        /// The dispute, once it is open.
        dispute: Option<U256>,
    },
    /// Drawn, and no validator answered.
    Unanswered,
}

impl CheckStatus {
    /// Whether nothing will change any more, as far as the check goes.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting)
    }
}

/// Statuses by the id under which the API gave the answer out.
#[derive(Debug, Default)]
pub(crate) struct Statuses(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<String, watch::Sender<RequestStatus>>,
    by_request: HashMap<B256, String>,
    order: VecDeque<String>,
}

impl Statuses {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: &str, status: RequestStatus) {
        let mut inner = self.lock();
        inner.by_request.insert(status.request, id.to_owned());
        inner.by_id.insert(id.to_owned(), watch::Sender::new(status));
        inner.order.push_back(id.to_owned());
        if inner.order.len() > KEPT
            && let Some(oldest) = inner.order.pop_front()
            && let Some(sender) = inner.by_id.remove(&oldest)
        {
            let request = sender.borrow().request;
            inner.by_request.remove(&request);
        }
    }

    pub(crate) fn set(&self, request: B256, check: CheckStatus) {
        let inner = self.lock();
        if let Some(sender) = inner.by_request.get(&request).and_then(|id| inner.by_id.get(id)) {
            sender.send_modify(|status| status.check = check);
        }
    }

    /// The status under an id, as it changes.
    pub(crate) fn watch(&self, id: &str) -> Option<watch::Receiver<RequestStatus>> {
        self.lock().by_id.get(id).map(watch::Sender::subscribe)
    }
}
