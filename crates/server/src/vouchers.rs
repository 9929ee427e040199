//! Acknowledgements: a voucher must be the one that its lane has earned.

use std::sync::Arc;

use assay_protocol::verify_signature;
use assay_protocol::wire::{ErrorCode, VoucherBody, WireError};
use assay_store::StoreError;

use crate::records::{Lane, lane_key};
use crate::{Inner, internal};

/// Takes a voucher for the lane's pending response. One that was taken before is taken again.
pub(crate) async fn accept(node: &Arc<Inner>, body: VoucherBody) -> Result<(), WireError> {
    let voucher = &body.voucher;
    if voucher.pool != node.config.pool || voucher.server != node.account {
        return Err(WireError::new(ErrorCode::WrongRecipient, format!("this is server {}", node.account)));
    }
    if voucher.round > node.current_round() + 1 {
        return Err(WireError::new(
            ErrorCode::StaleRound,
            format!("round {} is in the future", voucher.round),
        ));
    }
    let epoch = node.epoch_of_round(voucher.round)?;
    let key = {
        let index = node.follower.read().await;
        index.pool(node.config.pool).map_or(voucher.user, |pool| pool.key_at(voucher.user, epoch))
    };
    verify_signature(voucher, &node.domain, key, &body.signature)
        .map_err(|e| WireError::new(ErrorCode::BadSignature, e.to_string()))?;
    let wrong = |message: String| Ok(Err(WireError::new(ErrorCode::WrongVoucher, message)));
    let lane = node
        .store
        .write(|w| {
            let Some(mut lane) = w.get::<Lane>(&lane_key(voucher.user, voucher.lane))? else {
                return wrong("no such lane".into());
            };
            let Some(pending) = lane.pending.take() else {
                return match &lane.voucher {
                    Some((known, _)) if known == voucher => Ok(Ok(None)),
                    _ => wrong("nothing waits for a voucher in this lane".into()),
                };
            };
            lane.accepted.push(pending.response, pending.units);
            let earned =
                (pending.sequence, lane.accepted.count(), lane.accepted.units(), lane.accepted.root());
            if (voucher.sequence, voucher.count, voucher.units, voucher.root) != earned {
                return wrong(format!("the lane has earned {} responses and {} units", earned.1, earned.2));
            }
            lane.voucher = Some((voucher.clone(), body.signature.clone()));
            w.put(&lane)?;
            Ok::<_, StoreError>(Ok(Some(lane)))
        })
        .map_err(internal)??;
    if let Some(lane) = lane {
        node.credit.update(&lane);
    }
    Ok(())
}
