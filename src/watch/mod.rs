//! What runs for months: keeps accounts in step, hears of the world around it, and tells how things are.

pub mod bell;
pub mod clock;
pub mod control;
pub mod desk;
mod ears;
mod heard;
pub mod keeper;
pub mod manager;
pub mod network;
mod schedule;
mod trust;
pub mod wait;
