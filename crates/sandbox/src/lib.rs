//! The small privileged program around one dyno (`hythe dyno`), and what it says.

pub mod frames;
pub mod protocol;
