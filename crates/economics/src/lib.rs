//! The economics of a pool in exact arithmetic: integers and fractions of any size, nothing rounded that the formulas of
//! docs/ECONOMICS.md do not round.

pub mod chances;
pub mod conditions;
pub mod design;
pub mod games;
pub mod paper;
pub mod report;
pub mod risks;
pub mod simulate;
