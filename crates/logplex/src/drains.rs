//! Drains: an app's lines on their way out.

mod buffer;

pub(crate) use buffer::{Bounds, Buffer, Loss, Pool};
