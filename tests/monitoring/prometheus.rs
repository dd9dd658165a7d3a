//! A real Prometheus with the project's rules. Their durations are scaled: one minute becomes one second.

use super::{root, texts};
use crate::support::{Client, eventually};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command};
use tempfile::TempDir;

pub struct Prometheus {
    child: Child,
    client: Client,
    folder: TempDir,
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Prometheus {
    /// Starts Prometheus with these targets: job, address, additional configuration, role.
    pub fn start(targets: &[(&str, &str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(root().join("deploy/prometheus/rules")).unwrap() {
            let path = entry.unwrap().path();
            let rules = texts::scale_durations(&std::fs::read_to_string(&path).unwrap());
            std::fs::write(folder.path().join(path.file_name().unwrap()), rules).unwrap();
        }
        let mut configuration =
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: ['*.yml']\nscrape_configs:\n"
                .to_owned();
        let mut jobs: Vec<&str> = targets.iter().map(|(job, ..)| *job).collect();
        jobs.dedup();
        for job in jobs {
            let job_targets: Vec<_> = targets.iter().filter(|(name, ..)| *name == job).collect();
            writeln!(configuration, "- job_name: {job}\n  {}\n  static_configs:", job_targets[0].2).unwrap();
            for (_, address, _, role) in job_targets {
                writeln!(
                    configuration,
                    "  - targets: ['{address}']\n    labels: {{namespace: test, pod: {role}-0, role: {role}}}"
                )
                .unwrap();
            }
        }
        // Not `.yml`: Prometheus would load it as a rule file.
        std::fs::write(folder.path().join("prometheus.yaml"), configuration).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("prometheus is missing: `make test` provides it");
        let mut prometheus = Self { child, client: Client::new(&address), folder };
        eventually("Prometheus is ready", || {
            if let Some(status) = prometheus.child.try_wait().unwrap() {
                panic!("Prometheus exited with {status}:\n{}", prometheus.log());
            }
            (prometheus.client.send("GET", "/-/ready", &[], None).ok()?.status == 200).then_some(())
        });
        prometheus
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The value of each series of a query.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<f64> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.client.get(&format!("/api/v1/query?query={encoded}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let answer = answer.json();
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().map(|entry| entry["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// The names of the firing alerts.
    pub fn firing(&self) -> BTreeSet<String> {
        let answer = self.client.get("/api/v1/alerts").json();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// The name and expression of every rule.
    pub fn rules(&self) -> Vec<(String, String)> {
        let answer = self.client.get("/api/v1/rules").json();
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| (rule["name"].as_str().unwrap().into(), rule["query"].as_str().unwrap().into())).collect()
    }

    /// All alerts, for failure messages.
    pub fn state(&self) -> String {
        self.client.get("/api/v1/alerts").body
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!(
                "--- last lines of Prometheus' log:\n{}",
                log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
            );
        }
    }
}
