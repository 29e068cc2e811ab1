//! Real dynos, by the real runtime. Needs root.

mod house;
mod life;
