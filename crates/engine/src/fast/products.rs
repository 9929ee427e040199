//! Several matrices times several vectors, rows shared out among threads.

use super::{
    Parts,
    kernels::{Acts, Kernels},
    share,
    team::Team,
};
use crate::{
    model::{GROUP, Matrix},
    reference::Output,
};

/// Finished outputs of the matrices of one call, `[matrix][group of 16 rows][token][row]`.
#[derive(Debug, Default)]
pub(super) struct Products {
    values: Vec<i64>,
    /// First group of each matrix, and the end.
    bounds: Vec<usize>,
    tokens: usize,
}

impl Products {
    fn groups(&self, matrix: usize, token: usize) -> impl Iterator<Item = &[i64]> {
        let line = GROUP * self.tokens;
        self.values[self.bounds[matrix] * line..self.bounds[matrix + 1] * line]
            .chunks_exact(line)
            .map(move |group| &group[token * GROUP..][..GROUP])
    }

    /// One token's outputs of [`Output::Hidden`].
    pub(super) fn gather_i32(&self, matrix: usize, token: usize, out: &mut [i32]) {
        for (out, group) in out.chunks_mut(GROUP).zip(self.groups(matrix, token)) {
            for (out, value) in out.iter_mut().zip(group) {
                // Finished to that range.
                *out = *value as i32;
            }
        }
    }

    /// Adds every token's outputs to its `width` elements of `residual`.
    pub(super) fn add_to(&self, matrix: usize, residual: &mut [i64], width: usize) {
        for (token, residual) in residual.chunks_exact_mut(width).enumerate() {
            for (residual, group) in residual.chunks_mut(GROUP).zip(self.groups(matrix, token)) {
                for (residual, value) in residual.iter_mut().zip(group) {
                    *residual += value;
                }
            }
        }
    }
}

/// Multiplies each matrix by each vector; all have the same number of columns.
pub(super) fn products(
    kernels: &Kernels,
    team: &Team,
    matrices: &[&Matrix],
    acts: &[Acts],
    output: Output,
    out: &mut Products,
) {
    out.tokens = acts.len();
    out.bounds.clear();
    out.bounds.push(0);
    let mut total = 0;
    for matrix in matrices {
        total += matrix.rows.div_ceil(GROUP);
        out.bounds.push(total);
    }
    let line = GROUP * acts.len();
    // Every element is written below.
    out.values.resize(total * line, 0);
    let work = matrices.iter().map(|m| m.rows * m.cols).sum::<usize>() * acts.len();
    let threads = team.threads_for(work).min(total);
    let parts = Parts::new(&mut out.values, line, threads);
    let bounds = &out.bounds;
    let job = |i: usize| {
        let Some(mut part) = parts.take(i) else { return };
        let (first, end) = (share(total, i, threads), share(total, i + 1, threads));
        for (matrix, bound) in matrices.iter().zip(bounds.windows(2)) {
            let (from, to) = (first.max(bound[0]), end.min(bound[1]));
            if from < to {
                let (values, rest) = std::mem::take(&mut part).split_at_mut((to - from) * line);
                kernels.product(matrix, from - bound[0]..to - bound[0], acts, output, values);
                part = rest;
            }
        }
    };
    if threads == 1 {
        job(0);
    } else {
        team.run(&job);
    }
}
