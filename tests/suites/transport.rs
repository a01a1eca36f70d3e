//! Silent and hostile peers tie up nothing, and agents do as the collector asks.

mod abuse;
mod manners;
mod silent;
