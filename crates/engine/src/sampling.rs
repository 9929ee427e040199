//! Chooses the next token from logits, with integer weights and a random number keyed by seed and position.

use std::cmp::Reverse;

use assay_protocol::Sampling;

use crate::{
    chacha,
    fixed::{LOG2_E_Q30, exp2_parts, half_up},
};

/// `"assay.sample"` as little-endian words.
const NONCE: [u32; 3] = [0x6173_7361, 0x61732e79, 0x656c_706d];

/// Chooses a token. `logits` are Q16 and not empty; `position` is the one that the token will take in the sequence.
pub(crate) fn choose(logits: &[i32], sampling: &Sampling, position: u32) -> u32 {
    let (best, max) = greedy(logits);
    if sampling.temperature == 0 {
        return best;
    }
    let weights = weights(logits, max, sampling.temperature);
    let kept = kept(logits, &weights, sampling);
    let total: u64 = kept.iter().map(|id| weights[*id as usize]).sum();
    let mut left = draw(sampling.seed, position, total);
    for id in &kept {
        let weight = weights[*id as usize];
        if left < weight {
            return *id;
        }
        left -= weight;
    }
    // Not reached: the draw is below the total, and the best token's weight is never zero.
    best
}

/// The first of the largest logits, and its value.
fn greedy(logits: &[i32]) -> (u32, i32) {
    let mut best = (0, i32::MIN);
    for (id, logit) in (0u32..).zip(logits) {
        if *logit > best.1 {
            best = (id, *logit);
        }
    }
    best
}

/// `2^((logit − max) · log2(e) · 1000 / temperature)` in Q30; the largest logit weighs 2^30.
fn weights(logits: &[i32], max: i32, temperature: u32) -> Vec<u64> {
    let factor = u128::from(LOG2_E_Q30 as u64 * 1000 / u64::from(temperature));
    let weight = |logit: &i32| {
        let gap = (i64::from(max) - i64::from(*logit)) as u128;
        // Beyond the range of the exponential long before it is beyond that of i64.
        let z = ((gap * factor + (1 << 29)) >> 30).min(1 << 40) as i64;
        let (m, n) = exp2_parts(z);
        half_up(m, n) as u64
    };
    logits.iter().map(weight).collect()
}

/// Ids that may be drawn, ascending: the `top_k` largest logits (ties: lower ids), and of these the shortest run
/// from the largest on whose weights reach `top_p` thousandths of their sum.
fn kept(logits: &[i32], weights: &[u64], sampling: &Sampling) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let k = match sampling.top_k {
        0 => ids.len(),
        k => ids.len().min(k as usize),
    };
    if k == ids.len() && sampling.top_p == 1000 {
        return ids;
    }
    let order = |id: &u32| (Reverse(logits[*id as usize]), *id);
    if k < ids.len() {
        ids.select_nth_unstable_by_key(k, order);
        ids.truncate(k);
    }
    if sampling.top_p < 1000 {
        ids.sort_unstable_by_key(order);
        // Weights are at most 2^30 and ids at most 2^20, so thousandths of a sum fit.
        let total: u64 = ids.iter().map(|id| weights[*id as usize]).sum();
        let mut sum = 0;
        let enough = ids.iter().position(|id| {
            sum += weights[*id as usize];
            sum * 1000 >= total * u64::from(sampling.top_p)
        });
        ids.truncate(enough.map_or(ids.len(), |i| i + 1));
    }
    ids.sort_unstable();
    ids
}

/// `floor(r · total / 2^64)` for the 64 random bits `r` of this seed and position: the first two words of the
/// ChaCha20 block whose key is the seed (little-endian, then zeros) and whose counter is the position.
fn draw(seed: u64, position: u32, total: u64) -> u64 {
    let key = [seed as u32, (seed >> 32) as u32, 0, 0, 0, 0, 0, 0];
    let block = chacha::block(&key, position, &NONCE);
    let random = u64::from(block[0]) | u64::from(block[1]) << 32;
    ((u128::from(random) * u128::from(total)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampling(temperature: u32, top_p: u32, top_k: u32) -> Sampling {
        Sampling { seed: 1, temperature, top_p, top_k }
    }

    #[test]
    fn nonce_spells_the_domain() {
        assert_eq!(NONCE.map(u32::to_le_bytes).concat(), b"assay.sample");
    }

    #[test]
    fn greedy_ties_take_the_lowest_id() {
        assert_eq!(choose(&[1, 7, 7, 3], &Sampling::GREEDY, 0), 1);
        assert_eq!(choose(&[i32::MIN; 3], &Sampling::GREEDY, 0), 0);
    }

    #[test]
    fn top_k_and_top_p_cut_where_they_say() {
        // Weights 8 : 4 : 4 : 1 at temperature 1.
        let ln2 = 45_426;
        let logits = [0, 2 * ln2, 3 * ln2, 2 * ln2];
        let w = weights(&logits, 3 * ln2, 1000);
        let ids = |p, k| kept(&logits, &w, &sampling(1000, p, k));
        assert_eq!(ids(1000, 0), [0, 1, 2, 3]);
        assert_eq!(ids(1000, 2), [1, 2]);
        assert_eq!(ids(1000, 99), [0, 1, 2, 3]);
        assert_eq!(ids(1, 0), [2]);
        assert_eq!(ids(470, 0), [2]);
        assert_eq!(ids(472, 0), [1, 2]);
        assert_eq!(ids(720, 0), [1, 2, 3]);
        assert_eq!(ids(999, 0), [0, 1, 2, 3]);
        assert_eq!(ids(600, 2), [2]);
    }

    #[test]
    fn frequencies_follow_the_weights() {
        let logits = [0, 45_426, 2 * 45_426, i32::MIN];
        let mut counts = [0u32; 4];
        for position in 0..70_000 {
            counts[choose(&logits, &sampling(1000, 1000, 0), position) as usize] += 1;
        }
        println!("{counts:?}, expected about 10,000, 20,000, 40,000, 0");
        for (count, expected) in counts.iter().zip([10_000u32, 20_000, 40_000, 0]) {
            assert!(count.abs_diff(expected) <= 600 * expected.min(1));
        }
    }

    #[test]
    fn position_and_seed_change_the_draw() {
        let of = |seed, position| draw(seed, position, u64::MAX);
        let draws = [of(1, 0), of(1, 1), of(2, 0), of(1 << 32, 0)];
        for (i, a) in draws.iter().enumerate() {
            assert!(!draws[..i].contains(a));
        }
        assert_eq!(of(1, 0), of(1, 0));
    }

    proptest! {
        #[test]
        fn any_logits_give_a_kept_token(logits in proptest::collection::vec(any::<i32>(), 1..50), temperature in 1u32..=10_000,
                                        top_p in 1u32..=1000, top_k in 0u32..60, position: u32) {
            let sampling = sampling(temperature, top_p, top_k);
            let id = choose(&logits, &sampling, position);
            let (_, max) = greedy(&logits);
            let w = weights(&logits, max, temperature);
            prop_assert!(kept(&logits, &w, &sampling).contains(&id));
            prop_assert!(w[id as usize] > 0);
        }
    }
}
