//! Values that every store has, read and written without losing a digit.

pub mod decimal;
pub mod time;
