//! Reads the settings from their sources, which are called layers here, and merges them.

use super::Settings;
use config::{Config, Environment, File, FileFormat, Map};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The prefix of all environment variables for settings. After it follows the name of the setting, with `__` for a dot.
const PREFIX: &str = "CONTACTS__";
/// A variable with this suffix contains the path of a file with the value.
const FILE_SUFFIX: &str = "_FILE";
/// The one setting whose own name has that suffix.
const SETTING_WITH_FILE_SUFFIX: &str = "CONTACTS__HTTP__JWT__JWKS_FILE";

/// A wrong setting. The text is one line and names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The sources of the settings. A later source overrides an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Map<String, String>,
    flags: Vec<(String, String)>,
}

impl Layers {
    /// Adds a TOML file.
    #[must_use]
    pub fn file(mut self, path: Option<PathBuf>) -> Self {
        self.file = path;
        self
    }

    /// Adds environment variables. Variables with another prefix are ignored.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            // An ignored variable would be a setting that has no effect, perhaps an API key.
            let value = value.into_string().map_err(|_value| ConfigError(format!("{name}: the value is not UTF-8")))?;
            self.environment.insert(name.to_owned(), value);
        }
        Ok(self)
    }

    /// Adds a flag. `name` is the name of a setting, with dots.
    #[must_use]
    pub fn flag(mut self, name: impl Into<String>, value: Option<impl Into<String>>) -> Self {
        self.flags.extend(value.map(|value| (name.into(), value.into())));
        self
    }

    /// Reads all layers and checks the result.
    pub fn load(self) -> Result<Settings, ConfigError> {
        let mut builder = Config::builder();
        if let Some(path) = &self.file {
            let text = read(path).map_err(|error| ConfigError(format!("--config {}: {error}", path.display())))?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let environment = Environment::with_prefix(PREFIX.trim_end_matches('_'))
            .prefix_separator("__")
            .separator("__")
            .source(Some(resolve_files(self.environment)?));
        builder = builder.add_source(environment);
        for (name, value) in self.flags {
            let set = builder.set_override(&name, value);
            builder = set.map_err(|error| ConfigError(format!("--set {name}: {error}")))?;
        }
        let settings: Settings =
            builder.build().and_then(Config::try_deserialize).map_err(|error| ConfigError(describe(&error)))?;
        settings.check().map_err(ConfigError)?;
        Ok(settings)
    }
}

/// Replaces each variable `NAME_FILE` by `NAME` with the text of the file, without line breaks at its end.
fn resolve_files(variables: Map<String, String>) -> Result<Map<String, String>, ConfigError> {
    let mut values = Map::new();
    let mut files = Vec::new();
    for (name, value) in variables {
        match name.strip_suffix(FILE_SUFFIX).filter(|_stem| name != SETTING_WITH_FILE_SUFFIX) {
            Some(stem) => files.push((stem.to_owned(), name.clone(), value)),
            None => drop(values.insert(name, value)),
        }
    }
    for (stem, name, path) in files {
        if values.contains_key(&stem) {
            return Err(ConfigError(format!("both {stem} and {name} are set: set only one")));
        }
        let text = read(Path::new(&path)).map_err(|error| ConfigError(format!("{name}: {path}: {error}")))?;
        values.insert(stem, text.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(values)
}

fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Names the wrong setting. The text of the library is not used as it is: it may contain the value, which may be a
/// secret.
fn describe(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { key, expected, .. } => {
            format!("{}: expected {expected}", key.as_deref().unwrap_or("a setting"))
        }
        config::ConfigError::At { error, key, .. } => match key {
            Some(key) => format!("{key}: {}", describe(error)),
            None => describe(error),
        },
        // Only the first line, which has the position. The other lines quote the file.
        config::ConfigError::FileParse { cause, .. } => {
            let cause = cause.to_string();
            format!("the file is not TOML: {}", cause.lines().next().unwrap_or_default())
        }
        other => {
            let text = hide_quoted(&other.to_string());
            let example = if text.contains("a duration") {
                ", for example 500ms, 5s or 2m"
            } else if text.contains("socket address") {
                ": write an IP address and a port, for example 127.0.0.1:8080"
            } else {
                ""
            };
            text + example
        }
    }
}

/// Hides the value of the setting, which is between the first and the last double quote.
fn hide_quoted(text: &str) -> String {
    match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) = (text.get(..first), text.get(last + 1..));
            format!("{}(hidden){}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn env(variables: &[(&str, &str)]) -> Layers {
        Layers::default().environment(variables.iter().map(|(name, value)| (name.into(), value.into()))).unwrap()
    }

    fn write_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_later_layer_overrides_an_earlier_one() {
        let (_dir, path) = write_file("[http]\nlisten = \"127.0.0.1:1\"\nbody_limit = 1\n[consumer]\nhold = \"3s\"");
        let settings = env(&[("CONTACTS__HTTP__LISTEN", "127.0.0.1:2"), ("CONTACTS__HTTP__BODY_LIMIT", "2")])
            .file(Some(path))
            .flag("http.listen", Some("127.0.0.1:3"))
            .load()
            .unwrap();
        assert_eq!(settings.http.listen.port(), 3);
        assert_eq!(settings.http.body_limit, 2);
        assert_eq!(settings.consumer.hold.as_secs(), 3);
        assert_eq!(settings.admin.listen.port(), 8081);
    }

    #[test]
    fn a_secret_is_read_from_a_file_unchanged() {
        let (_dir, path) = write_file("00123\n");
        let settings = env(&[("CONTACTS__HTTP__API_KEYS_FILE", path.to_str().unwrap())]).load().unwrap();
        assert_eq!(settings.http.api_keys.iter().map(|key| key.reveal()).collect::<Vec<_>>(), ["00123"]);
        let settings = env(&[("CONTACTS__HTTP__API_KEYS", "one, two,")]).load().unwrap();
        assert_eq!(settings.http.api_keys.len(), 2);
    }

    #[test]
    fn a_list_is_a_toml_list_or_a_text_with_commas() {
        let (_dir, path) =
            write_file("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\ncors_origins = \"https://a.example\"");
        let from_file = Layers::default().file(Some(path)).load().unwrap();
        let settings = env(&[
            ("CONTACTS__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("CONTACTS__HTTP__CORS_ORIGINS", "https://a.example"),
            ("CONTACTS__HTTP__JWT__JWKS_FILE", "/keys.json"),
            ("CONTACTS__HTTP__JWT__ISSUER", "https://login.example"),
            ("CONTACTS__HTTP__JWT__AUDIENCE", "contacts"),
        ]);
        let settings = settings.load().unwrap();
        assert_eq!(settings.http.trusted_proxies, from_file.http.trusted_proxies);
        assert_eq!(settings.http.cors_origins, from_file.http.cors_origins);
        assert!(settings.http.trusted_proxies[0].contains([10, 1, 2, 3].into()));
        assert_eq!(
            settings.http.jwt.jwks_file,
            Some(PathBuf::from("/keys.json")),
            "the path, not the content of the file"
        );
    }

    #[test]
    fn an_error_names_the_setting() {
        for (name, value, part) in [
            ("CONTACTS__HTTP__LISTEM", "127.0.0.1:2", "listem"),
            ("CONTACTS__HTPP__LISTEN", "127.0.0.1:2", "htpp"),
            ("CONTACTS__CONSUMER__WORKERS", "many", "consumer.workers"),
            ("CONTACTS__CONSUMER__WORKERS", "0", "consumer.workers"),
            ("CONTACTS__CONSUMER__PREFETCH", "0", "consumer.prefetch"),
            ("CONTACTS__BROKER__PACK_MAX", "0", "broker.pack_max"),
            ("CONTACTS__CONSUMER__HOLD", "soon", "consumer.hold"),
            ("CONTACTS__HTTP__LISTEN", "8080", "http.listen"),
            ("CONTACTS__LOG__LEVEL", "loud", "log.level"),
            ("CONTACTS__HTTP__API_KEYS", "", "http.api_keys"),
            ("CONTACTS__HTTP__API_KEYS", " , ", "http.api_keys"),
            ("CONTACTS__HTTP__API_KEYS", "one,shop:read:sha256:0", "http.api_keys: entry 2"),
            ("CONTACTS__ADMIN__CONSOLE_KEYS", "a-plain-key", "admin.console_keys: entry 1"),
            ("CONTACTS__ADMIN__CONSOLE_TARGETS", "contacts-consumer:8081", "admin.console_targets"),
            ("CONTACTS__ADMIN__CONSOLE_TARGETS", "https://a:8081", "admin.console_targets"),
            ("CONTACTS__ADMIN__CONSOLE_TARGETS", "http://a:8081/metrics", "admin.console_targets"),
            ("CONTACTS__ADMIN__CONSOLE_TARGETS", "http://user@a:8081", "admin.console_targets"),
            ("CONTACTS__HTTP__JWT__ISSUER", "x", "http.jwt.jwks_file"),
            ("CONTACTS__HTTP__TRUSTED_PROXIES", "10.0.0.1/8", "http.trusted_proxies"),
            ("CONTACTS__HTTP__TRUSTED_PROXIES", "proxy", "http.trusted_proxies"),
            ("CONTACTS__HTTP__CORS_ORIGINS", "*", "http.cors_origins"),
            ("CONTACTS__HTTP__CORS_ORIGINS", "null", "http.cors_origins"),
            ("CONTACTS__HTTP__CORS_ORIGINS", "https://a.example/", "http.cors_origins"),
            ("CONTACTS__HTTP__CORS_ORIGINS", "https://a.example:443", "http.cors_origins"),
            ("CONTACTS__HTTP__RATE_BURST", "5", "http.rate_limit"),
            ("CONTACTS__HTTP__MAX_URI", "1", "http.max_uri"),
            ("CONTACTS__RETRY__DELAY", "0s", "retry.delay"),
            ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "300000000000y", "http.accept_timeout"),
            ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "0s", "database.connect_timeout"),
            ("CONTACTS__HTTP__STREAM_HEARTBEAT", "999ms", "http.stream_heartbeat must be from 1s"),
            ("CONTACTS__HTTP__STREAM_HEARTBEAT", "25h", "http.stream_heartbeat"),
            ("CONTACTS__SHUTDOWN__GRACE", "3s", "shutdown.grace"),
            ("CONTACTS__BROKER__MAX_WAITING", "18446744073709551615", "broker.max_waiting"),
            ("CONTACTS__BROKER__URL", "http://host", "broker.url"),
            ("CONTACTS__DATABASE__URL", "amqp://host", "database.url"),
            ("CONTACTS__BROKER__URL", "amqp://u:p@a:5672,amqp://b:5672/%2f", "broker.url must have one scheme"),
            ("CONTACTS__BROKER__URL", "amqp://u:p@a:5672, b:5672/%2f", "broker.url must have one scheme"),
            ("CONTACTS__DATABASE__URL", "postgres://a,,b/contacts", "database.url must have one scheme"),
            ("CONTACTS__DATABASE__MAX_CONNECTIONS", "2", "database.max_connections"),
            ("CONTACTS__HTTP__API_KEYS_FILE", "/nowhere/at/all", "CONTACTS__HTTP__API_KEYS_FILE"),
        ] {
            let error = env(&[(name, value)]).load().unwrap_err().to_string();
            assert!(error.contains(part), "{name}={value}: {error}");
        }
        assert!(env(&[("CONTACTS__RETRY__DELAY", "5")]).load().unwrap_err().to_string().contains("for example 500ms"));
        assert!(env(&[("CONTACTS__HTTP__LISTEN", "80")]).load().unwrap_err().to_string().contains("127.0.0.1:8080"));
        let (_dir, path) = write_file("http = [");
        assert!(Layers::default().file(Some(path)).load().unwrap_err().to_string().contains("TOML"));
        let latin1 = OsString::from_vec(b"caf\xe9".to_vec());
        let error = Layers::default().environment([("CONTACTS__HTTP__API_KEYS".into(), latin1)]).unwrap_err();
        assert!(error.to_string().contains("CONTACTS__HTTP__API_KEYS"), "{error}");
    }

    #[test]
    fn an_error_does_not_show_the_value() {
        for text in ["[http]\napi_keys = \"hunter2", "http.api_keys = [\"hunter2\", 5 6]", "broker = \"hunter2\""] {
            let (_dir, path) = write_file(text);
            let error = Layers::default().file(Some(path)).load().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
        let error = env(&[("CONTACTS__BROKER", "amqp://u:hunter2@h")]).load().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = env(&[
            ("CONTACTS__HTTP__API_KEYS", "hunter2"),
            ("CONTACTS__BROKER__URL", "amqp://user:hunter2@host/%2f"),
            ("CONTACTS__DATABASE__URL", "postgres://user:hunter2@host/contacts?password=hunter2"),
        ])
        .load()
        .unwrap();
        let shown = settings.to_toml() + &format!("{settings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("amqp://user:***@host/%2f"), "{shown}");
        for url in ["hunter2:hunter2@h", "amqp:u:hunter2@h", "postgres://h/x?PASSWORD=hunter2", "hunter2"] {
            assert!(!crate::config::Url::from(url).to_string().contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn the_printed_settings_are_complete_and_can_be_read_again() {
        let shown = Settings::default().to_toml();
        let (_dir, path) = write_file(&shown);
        assert_eq!(Layers::default().file(Some(path)).load().unwrap().to_toml(), shown);
    }
}
