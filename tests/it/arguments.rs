//! Arguments as models and hosts write them, for every tool alike.

mod calls;
mod empty;
mod inside;
mod kinds;
