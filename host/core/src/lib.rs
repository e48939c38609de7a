//! The rules of Retake: what a run, a task and an attempt are, when they are tried again, and which kept result
//! answers which call.
//!
//! Everything here is a pure function of its arguments. It does no I/O, reads no clock and draws no randomness:
//! instants and entropy are passed in, so that a plan can be shown beforehand and a test can predict it.

pub mod component;
pub mod deployment;
pub mod failure;
pub mod format;
pub mod grant;
pub mod id;
pub mod inject;
pub mod limits;
pub mod port;
pub mod replay;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod task;
pub mod time;
pub mod trace;
pub mod value;
