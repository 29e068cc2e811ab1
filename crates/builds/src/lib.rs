//! From source to slug.
//!
//! [`run`] claims pending builds and takes each from a source archive to a release: the archive is
//! unpacked into a sanitised tree, buildpacks detect and compile it inside a build dyno (one more
//! one-off, made by the plan like every dyno), the tree is packed into a squashfs image, and
//! `control` writes slug and release.
//!
//! What a build left on the disk is never trusted: no symlink of it is followed, what is read is
//! bounded, and results come in files with fixed names, never from parsing what it printed. This room
//! writes no release itself, and starts no process of an app outside a dyno.

pub mod config;

mod archive;
mod builder;
mod buildpacks;
mod cache;
mod compile;
mod disk;
mod failure;
mod fetch;
mod inside;
mod job;
mod launch;
mod plain_file;
mod prepare;
mod process_types;
mod program;
mod release_yaml;
mod results;
mod sizes;
mod slug;
mod slugignore;
mod transcript;
mod uploads;
mod workspace;

pub use builder::{Builder, StartError, run};
pub use buildpacks::{install as install_buildpacks, names as buildpack_names};
pub use config::Config;
pub use workspace::Unprepared;
