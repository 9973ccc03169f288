//! What runs for months: keeps accounts in step, hears of the world around it, and tells how things are.

mod bell;
pub mod control;
pub mod desk;
pub mod manager;
pub mod network;
