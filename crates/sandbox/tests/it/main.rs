//! Real dynos, by the real runtime. Needs root.

mod checks;
mod fences;
mod files;
mod house;
mod life;
mod limits;
mod network;
mod survival;
