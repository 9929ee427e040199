//! The root of a voucher: a Merkle mountain range over a lane's accepted responses.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// One accepted response, with the lane's totals after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Hash of the response.
    pub response: B256,
    /// Responses accepted so far, this one included.
    pub count: u64,
    /// Their units.
    pub units: u64,
}

impl Accepted {
    /// Leaf of the range: `keccak(domain, response, count, units)`.
    pub fn leaf(&self) -> B256 {
        keccak256((keccak256(b"assay.accepted.leaf.v1"), self.response, self.count, self.units).abi_encode())
    }
}

/// The append-only peaks of a range. Appending and the root take O(log n); nothing else is kept.
///
/// The n leaves form one perfect tree for each set bit of n, the largest first. A node is `keccak(domain, left, right)`.
/// The root is `keccak(domain, n, peaks…)`, so that ranges of different lengths never share one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AcceptedRange {
    count: u64,
    units: u64,
    peaks: Vec<B256>,
}

impl AcceptedRange {
    /// Accepted responses so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Units so far.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Appends a response of `units` units.
    pub fn push(&mut self, response: B256, units: u64) {
        self.count += 1;
        self.units = self.units.saturating_add(units);
        let mut node = Accepted { response, count: self.count, units: self.units }.leaf();
        // As in a binary counter, equal trees merge.
        for _ in 0..self.count.trailing_zeros() {
            if let Some(left) = self.peaks.pop() {
                node = keccak256((keccak256(b"assay.accepted.node.v1"), left, node).abi_encode());
            }
        }
        self.peaks.push(node);
    }

    /// Root over everything appended.
    pub fn root(&self) -> B256 {
        let mut bytes = (keccak256(b"assay.accepted.root.v1"), U256::from(self.count)).abi_encode();
        for peak in &self.peaks {
            bytes.extend_from_slice(peak.as_slice());
        }
        keccak256(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same root by building every tree from its leaves.
    fn direct(items: &[(B256, u64)]) -> B256 {
        let mut units = 0;
        let leaves: Vec<B256> = items
            .iter()
            .zip(1..)
            .map(|((response, u), count)| {
                units += u;
                Accepted { response: *response, count, units }.leaf()
            })
            .collect();
        let mut bytes = (keccak256(b"assay.accepted.root.v1"), U256::from(leaves.len())).abi_encode();
        let mut at = 0;
        for bit in (0..usize::BITS).rev().map(|b| 1usize << b).filter(|b| leaves.len() & b != 0) {
            let mut layer = leaves[at..at + bit].to_vec();
            at += bit;
            while layer.len() > 1 {
                layer = layer
                    .chunks(2)
                    .map(|pair| {
                        keccak256((keccak256(b"assay.accepted.node.v1"), pair[0], pair[1]).abi_encode())
                    })
                    .collect();
            }
            bytes.extend_from_slice(layer[0].as_slice());
        }
        keccak256(bytes)
    }

    #[test]
    fn appending_gives_the_trees_of_the_definition() {
        let items: Vec<(B256, u64)> = (1..=40u64).map(|i| (keccak256(i.to_be_bytes()), i * 3)).collect();
        let mut range = AcceptedRange::default();
        assert_eq!(range.root(), direct(&[]));
        for n in 1..=items.len() {
            range.push(items[n - 1].0, items[n - 1].1);
            assert_eq!(range.root(), direct(&items[..n]), "{n} leaves");
            assert_eq!(range.count(), n as u64);
        }
    }

    #[test]
    fn order_units_and_length_change_the_root() {
        let of = |items: &[(u8, u64)]| {
            let mut range = AcceptedRange::default();
            for (byte, units) in items {
                range.push(B256::repeat_byte(*byte), *units);
            }
            range.root()
        };
        let base = of(&[(1, 5), (2, 6)]);
        assert_ne!(base, of(&[(2, 6), (1, 5)]));
        assert_ne!(base, of(&[(1, 6), (2, 5)]));
        assert_ne!(base, of(&[(1, 5)]));
        assert_ne!(base, of(&[(1, 5), (2, 6), (2, 6)]));
    }
}
