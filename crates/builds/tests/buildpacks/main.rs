//! The built-in buildpacks and the driver, run for real on the sample apps: with the machine's own
//! runtimes and real packages.

mod custom;
mod driver;
mod go;
mod java;
mod nodejs;
mod python;
mod rig;
mod ruby;
