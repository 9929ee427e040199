//! Several matrices times several vectors, rows shared out among threads.

use super::{
    kernels::{Acts, Finished, Kernels},
    team::Team,
};
use crate::model::{GROUP, Matrix};

/// Finished outputs of the matrices of one call, `[matrix][group of 16 rows][vector][row]`, each group padded to an odd number
/// of vectors: one vector's outputs would lie powers of two apart otherwise, where caches keep few of them.
#[derive(Debug, Default)]
pub(super) struct Products<O> {
    values: Vec<O>,
    /// First group of each matrix, and the end.
    bounds: Vec<usize>,
    /// Values of a group.
    line: usize,
}

impl<O: Finished> Products<O> {
    /// One vector's outputs, 16 at a time.
    pub(super) fn groups(&self, matrix: usize, vector: usize) -> impl Iterator<Item = &[O; GROUP]> {
        self.values[self.bounds[matrix] * self.line..self.bounds[matrix + 1] * self.line]
            .chunks_exact(self.line)
            .filter_map(move |group| group[vector * GROUP..].first_chunk())
    }

    /// One vector's outputs; `out` is as long as the matrix has rows.
    pub(super) fn gather(&self, matrix: usize, vector: usize, out: &mut [O]) {
        let mut groups = self.groups(matrix, vector);
        let (whole, rest) = out.as_chunks_mut::<GROUP>();
        for (out, group) in whole.iter_mut().zip(&mut groups) {
            *out = *group;
        }
        for (out, value) in rest.iter_mut().zip(groups.flatten()) {
            *out = *value;
        }
    }

    /// Multiplies each matrix by each vector; all have the same number of columns.
    pub(super) fn compute(&mut self, kernels: &Kernels, team: &Team, matrices: &[&Matrix], acts: &[Acts]) {
        self.line = GROUP * (acts.len() | 1);
        self.bounds.clear();
        self.bounds.push(0);
        let mut total = 0;
        for matrix in matrices {
            total += matrix.rows.div_ceil(GROUP);
            self.bounds.push(total);
        }
        if acts.is_empty() {
            return;
        }
        let line = self.line;
        // Never shortened, as lengthening fills with zeros, and every element that is read is written below.
        if self.values.len() < total * line {
            self.values.resize(total * line, O::default());
        }
        let work = matrices.iter().map(|m| m.rows * m.cols).sum::<usize>() * acts.len();
        let bounds = &self.bounds;
        team.split(&mut self.values[..total * line], line, work, |first, mut part| {
            let end = first + part.len() / line;
            for (matrix, bound) in matrices.iter().zip(bounds.windows(2)) {
                let (from, to) = (first.max(bound[0]), end.min(bound[1]));
                if from < to {
                    let (values, rest) = std::mem::take(&mut part).split_at_mut((to - from) * line);
                    kernels.product(matrix, from - bound[0]..to - bound[0], acts, values);
                    part = rest;
                }
            }
        });
    }
}
