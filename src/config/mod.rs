//! Settings: defaults, then a TOML file, then environment variables, then flags. A later source overrides an earlier
//! one.
//!
//! The rule of this module: settings are read once, at the start. A wrong or unknown setting stops the start with one
//! line that names it. Secrets are never shown. Only API keys and token keys may change while a role runs.

mod api_keys;
mod layers;
mod settings;
mod value;

pub use api_keys::{ApiKey, ApiKeys, Scopes};
pub use layers::{ConfigError, Layers};
pub use settings::*;
pub use value::{AdminUrl, Network, Origin, Secret, Url};
