//! Real dynos, by the real runtime. Needs root.

mod checks;
mod house;
mod life;
