//! What runs for months: what it is told of the world around it, and what it tells.

pub mod manager;
pub mod network;
