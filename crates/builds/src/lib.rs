//! From source to slug.

pub mod archive;
pub mod buildpacks;
pub mod process_types;
pub mod sizes;

mod plain_file;
mod release_yaml;
mod slugignore;
