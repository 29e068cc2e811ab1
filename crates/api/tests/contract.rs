//! The Platform API against Heroku's published schema, and against what the official CLI is known
//! to need beyond it.

#[path = "contract/answers.rs"]
mod answers;
#[path = "contract/conventions.rs"]
mod conventions;
#[path = "contract/drains.rs"]
mod drains;
#[path = "contract/endpoints.rs"]
mod endpoints;
#[path = "contract/platform.rs"]
mod platform;
#[path = "contract/schema.rs"]
mod schema;
#[path = "contract/streams.rs"]
mod streams;
#[path = "contract/traffic.rs"]
mod traffic;
