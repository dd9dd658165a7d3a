//! A client of the API. It returns error statuses as answers, not as `Err`.

use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};

pub use serde_json::json;

#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(30)))
            .max_idle_connections_per_host(64)
            .build()
            .into();
        Self { agent, base: format!("http://{address}") }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response: Response<ureq::Body> = match body {
            Some(body) => self.agent.run(request.body(body).unwrap())?,
            None => self.agent.run(request.body(()).unwrap())?,
        };
        let (parts, mut body) = response.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.with_config().limit(1 << 30).read_to_string()?,
        })
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).unwrap()
    }

    #[track_caller]
    pub fn write(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, Some(body.to_string().as_bytes())).unwrap()
    }

    #[track_caller]
    pub fn create(&self, name: &str) -> Answer {
        self.write("POST", "/contacts", &[], &person(name))
    }

    /// Waits until an operation is finished, and returns it.
    #[track_caller]
    pub fn finished_operation(&self, operation: &str) -> Value {
        super::eventually("the operation is finished", || {
            let answer = self.get(&format!("/operations/{operation}"));
            let operation = (answer.status == 200).then(|| answer.json())?;
            (operation["status"] != "pending").then_some(operation)
        })
    }
}

/// The JSON body of a contact with this name.
pub fn person(name: &str) -> Value {
    json!({ "name": name, "phone": "(11) 98765-4321", "email": "someone@example.com" })
}
