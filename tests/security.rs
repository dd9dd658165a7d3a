//! Security tests: attempts to bypass authentication, to exceed permissions, and to block other callers must fail.

use crate::support::{Answer, Client, Process, eventually, json, person, start_standalone};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const KEY: &str = "Only-This-Key-1";
const READER: &str = "reader-key";
const WRITER: &str = "writer-key";

struct Served {
    process: Process,
    client: Client,
    address: String,
    folder: TempDir,
}

fn serve(settings: &[(&str, &str)]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(&folder.path().join("data"), settings);
    let client = process.client();
    let address = process.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    Served { process, client, address, folder }
}

/// The entry in the settings for a key.
fn entry(name: &str, scopes: &str, key: &str) -> String {
    let hex: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{scopes}:sha256:{hex}")
}

fn all_keys() -> String {
    [KEY.to_owned(), entry("reader", "read", READER), entry("writer", "write", WRITER)].join(",")
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

impl Served {
    fn with(&self, key: &str, method: &str, path: &str) -> Answer {
        let headers = [("authorization", bearer(key)), ("content-type", "application/json".into())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = person("Ana").to_string();
        let body = matches!(method, "POST" | "PUT").then_some(body.as_bytes());
        self.client.send(method, path, &headers, body).unwrap()
    }

    /// Sends bytes unchanged and returns everything that the service sends.
    fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect();
        // The service may reject the request and close the connection before all bytes are sent.
        let _ = socket.write_all(request.as_ref());
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    /// Creates a contact that must not be read without a key.
    fn create_secret_contact(&self) {
        let headers = [("x-api-key", KEY)];
        let accepted = self.client.write("POST", "/contacts", &headers, &person("Zulmira Secreta"));
        assert_eq!(accepted.status, 202, "{accepted:?}");
        eventually("the contact is created", || {
            self.with(KEY, "GET", "/contacts").body.contains("Zulmira").then_some(())
        });
    }

    #[track_caller]
    fn assert_not_in_log(&self, secrets: &[&str]) {
        let log = self.process.log();
        for secret in secrets {
            assert!(!log.contains(secret), "the log contains {secret}:\n{log}");
        }
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

#[test]
fn only_a_valid_key_is_accepted() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", &all_keys())]);
    served.create_secret_contact();
    let hash = entry("reader", "read", READER);
    let hex = hash.rsplit(':').next().unwrap();
    let get = |headers: &str| {
        served.raw(format!("GET /contacts HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"))
    };
    assert_eq!(status(&get(&format!("authorization: Bearer {KEY}\r\n"))), 200);
    assert_eq!(status(&get(&format!("authorization: bEARER {KEY}\r\n"))), 200);
    assert_eq!(status(&get(&format!("x-api-key: {KEY}\r\n"))), 200);
    let bearer = |key: &str| format!("authorization: Bearer {key}\r\n");
    let key = |key: &str| format!("x-api-key: {key}\r\n");
    let basic = STANDARD.encode(format!("{KEY}:{KEY}"));
    for (headers, has_credential) in [
        (String::new(), false),
        (bearer("wrong"), true),
        (bearer(&KEY.to_lowercase()), true),
        (bearer(&KEY.to_uppercase()), true),
        (bearer(&KEY[..KEY.len() - 1]), true),
        (bearer(&format!("{KEY}x")), true),
        (bearer(&format!(" {KEY}")), true),
        (bearer(&format!("{KEY},{KEY}")), true),
        (bearer(&format!("\"{KEY}\"")), true),
        (bearer(hex), true),
        (bearer(&format!("sha256:{hex}")), true),
        (bearer(&hash), true),
        (bearer("key-1"), true),
        (bearer("***"), true),
        (bearer(""), false),
        (key(""), true),
        (key(&all_keys()), true),
        (key(&bearer(KEY)), true),
        (key("wrong") + &bearer(KEY), true),
        (bearer(KEY) + &bearer(KEY), true),
        (bearer("wrong") + &bearer(KEY), true),
        (bearer(KEY) + &bearer("wrong"), true),
        (key(KEY) + &key("wrong"), true),
        (format!("authorization: Basic {basic}\r\n"), false),
        (format!("authorization: {KEY}\r\n"), false),
        (format!("authorization: Bearer{KEY}\r\n"), false),
        (format!("proxy-authorization: Bearer {KEY}\r\n"), false),
        (format!("cookie: authorization=Bearer {KEY}; x-api-key={KEY}; api_key={KEY}\r\n"), false),
        (format!("api-key: {KEY}\r\nx-api-token: {KEY}\r\nx_api_key: {KEY}\r\n"), false),
    ] {
        let answer = get(&headers);
        assert_eq!(status(&answer), 401, "{headers}");
        let challenge = if has_credential {
            "www-authenticate: Bearer error=\"invalid_token\"\r\n"
        } else {
            "www-authenticate: Bearer\r\n"
        };
        assert!(answer.contains(challenge), "{headers}: {answer}");
        assert!(answer.contains("/problems/unauthorized") && !answer.contains("Zulmira"), "{answer}");
    }
    // The HTTP parser rejects invalid HTTP.
    for (name, tail) in [("NUL", "\0"), ("CR", "\r"), ("line feed and header", "\nx: y")] {
        let answer = get(&bearer(&format!("{KEY}{tail}")));
        assert!(name.starts_with("line") || matches!(status(&answer), 400 | 401), "{name}: {answer}");
    }
    for query in [format!("api_key={KEY}"), format!("access_token={KEY}"), format!("x-api-key={KEY}")] {
        let answer =
            served.raw(format!("GET /contacts?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
        assert_eq!(status(&answer), 401, "{query}");
    }
    for (method, path) in [("POST", "/contacts"), ("PUT", "/contacts/x"), ("DELETE", "/contacts/x"), ("PATCH", "/")] {
        assert_eq!(served.client.send(method, path, &[], None).unwrap().status, 401, "{method} {path}");
    }
    served.assert_not_in_log(&[KEY, READER, WRITER, hex, &basic, "Zulmira"]);
    let named = served.process.log_lines("request").into_iter().find(|line| line["status"] == 200).unwrap();
    assert_eq!(named["caller"], "key-1");
}

#[test]
fn no_spelling_of_a_path_bypasses_authentication() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", &all_keys())]);
    served.create_secret_contact();
    for path in [
        "//contacts",
        "/./contacts",
        "/contacts/../contacts",
        "/docs/../contacts",
        "/docs/..;/contacts",
        "/docs/%2e%2e/contacts",
        "/docs/..%2fcontacts",
        "/docs/%2e%2e%2fcontacts",
        "/docs%2f..%2fcontacts",
        "/assets/../contacts",
        "/assets/..\\contacts",
        "/problems/../contacts",
        "/openapi.json/../contacts",
        "/%2e%2e/contacts",
        "/%63ontacts",
        "/contacts%2f",
        "/contacts/",
        "/contacts;x=/docs",
        "/contacts%00/docs",
        "/CONTACTS",
        "/contacts?/docs/",
        "/contacts#/docs/",
        "http://x/contacts",
        "http://x/docs/../contacts",
        "*",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let answer =
                served.raw(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"));
            assert!(matches!(status(&answer), 400 | 401 | 404), "{method} {path}: {answer}");
            assert!(!answer.contains("Zulmira"), "{method} {path}: {answer}");
        }
    }
    // Some servers change the method or the path because of such headers.
    let reader = bearer(READER);
    let id = served.with(KEY, "GET", "/contacts").json()["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/contacts/{id}");
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "_method"] {
        let headers = [("authorization", &*reader), (name, "DELETE")];
        assert_eq!(served.client.send("GET", &path, &headers, None).unwrap().status, 200, "{name}");
        let headers = [("authorization", &*reader), (name, "GET")];
        assert_eq!(served.client.send("DELETE", &path, &headers, None).unwrap().status, 403, "{name}");
    }
    for name in ["x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-forwarded-uri", "x-original-uri"] {
        assert_eq!(served.client.send("GET", &path, &[(name, "/docs")], None).unwrap().status, 401, "{name}");
    }
    assert_eq!(served.with(KEY, "GET", &path).status, 200, "the contact still exists");
}

#[test]
fn a_key_has_only_the_permissions_of_its_scopes() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", &all_keys())]);
    let id = "/contacts/01890000-0000-7000-8000-000000000001";
    let operation = "/operations/01890000-0000-7000-8000-000000000001";
    for (method, path) in [("GET", "/contacts"), ("HEAD", "/contacts"), ("GET", id), ("GET", operation), ("GET", "/x")]
    {
        assert!(matches!(served.with(READER, method, path).status, 200 | 404), "{method} {path}");
        let refused = served.with(WRITER, method, path);
        assert_eq!(refused.status, 403, "{method} {path}");
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"contacts:read\"";
        assert_eq!(refused.header("www-authenticate"), challenge);
    }
    for (method, path) in [("POST", "/contacts"), ("PUT", id), ("DELETE", id), ("PATCH", "/contacts"), ("POST", "/")] {
        let refused = served.with(READER, method, path);
        assert_eq!((refused.status, refused.text("type")), (403, "/problems/forbidden".into()), "{method} {path}");
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"contacts:write\"";
        assert_eq!(refused.header("www-authenticate"), challenge);
        assert!(matches!(served.with(WRITER, method, path).status, 202 | 404 | 405), "{method} {path}");
    }
}

/// Signs tokens.
enum Signer {
    Ec(&'static str),
    Rsa,
    Hmac(Vec<u8>),
    Nothing,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn private_key(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(fixture(name)).unwrap();
    STANDARD.decode(text.replace('\n', "")).unwrap()
}

fn token(signer: &Signer, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let random = SystemRandom::new();
    let signature = match signer {
        Signer::Ec(name) => {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private_key(name), &random).unwrap();
            key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
        }
        Signer::Rsa => {
            let key = RsaKeyPair::from_pkcs8(&private_key("test-only-rs256.pkcs8")).unwrap();
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
            signature
        }
        Signer::Hmac(secret) => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
            ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        }
        Signer::Nothing => Vec::new(),
    };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const EC: Signer = Signer::Ec("test-only-es256.pkcs8");
const NEXT: Signer = Signer::Ec("test-only-next.pkcs8");

fn header(alg: &str, kid: &str) -> Value {
    json!({ "typ": "JWT", "alg": alg, "kid": kid })
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://login.example", "aud": "contacts", "sub": "ana.souza@example.com", "azp": "web-shop",
        "exp": now() + 600, "nbf": now() - 5, "scope": "openid contacts:read contacts:write",
    })
}

fn changed(mut value: Value, name: &str, to: Value) -> Value {
    if to.is_null() {
        value.as_object_mut().unwrap().remove(name);
    } else {
        value[name] = to;
    }
    value
}

fn token_settings(jwks: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("CONTACTS__HTTP__JWT__JWKS_FILE", jwks.to_str().unwrap().to_owned()),
        ("CONTACTS__HTTP__JWT__ISSUER", "https://login.example".to_owned()),
        ("CONTACTS__HTTP__JWT__AUDIENCE", "contacts".to_owned()),
    ]
}

fn borrowed<'a>(settings: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn only_a_completely_valid_token_is_accepted() {
    let mut settings = token_settings(&fixture("jwks.json"));
    // A service that requires tokens may listen on all addresses.
    settings.push(("CONTACTS__HTTP__LISTEN", "0.0.0.0:0".to_owned()));
    let mut served = serve(&borrowed(&settings));
    let port = served.address.rsplit(':').next().unwrap().to_owned();
    served.address = format!("127.0.0.1:{port}");
    served.client = Client::new(&served.address);
    let good = || header("ES256", "test-only-es256");
    let ask = |token: &str| served.with(token, "GET", "/contacts").status;
    assert_eq!(ask(&token(&EC, &good(), &claims())), 200);
    assert_eq!(ask(&token(&Signer::Rsa, &header("RS256", "test-only-rs256"), &claims())), 200);
    assert_eq!(ask(&token(&EC, &changed(good(), "typ", json!("at+jwt")), &claims())), 200);
    assert_eq!(ask(&token(&EC, &good(), &changed(claims(), "aud", json!(["other", "contacts"])))), 200);
    assert_eq!(served.client.get("/contacts").status, 401);

    let set = std::fs::read_to_string(fixture("jwks.json")).unwrap();
    let first = |name: &str| {
        let text = std::fs::read_to_string(fixture(name)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["keys"][0].clone()
    };
    let (jwk, own) = (first("jwks.json"), first("jwks-next.json"));
    let point: Vec<u8> = [4]
        .into_iter()
        .chain(["x", "y"].iter().flat_map(|part| URL_SAFE_NO_PAD.decode(jwk[part].as_str().unwrap()).unwrap()))
        .collect();
    let hs256 = || header("HS256", "test-only-es256");
    let claim = |name: &str, value: Value| token(&EC, &good(), &changed(claims(), name, value));
    let head = |name: &str, value: Value| token(&EC, &changed(good(), name, value), &claims());
    let right = token(&EC, &good(), &claims());
    let parts: Vec<&str> = right.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(changed(claims(), "sub", json!("admin")).to_string());
    for (name, token) in [
        ("no algorithm", token(&Signer::Nothing, &header("none", "test-only-es256"), &claims())),
        ("None", token(&Signer::Nothing, &header("None", "test-only-es256"), &claims())),
        ("no signature", token(&Signer::Nothing, &good(), &claims())),
        ("signed with the public point", token(&Signer::Hmac(point), &hs256(), &claims())),
        ("signed with the public file", token(&Signer::Hmac(set.clone().into_bytes()), &hs256(), &claims())),
        ("signed with nothing", token(&Signer::Hmac(Vec::new()), &hs256(), &claims())),
        ("another algorithm of the key", token(&EC, &header("ES384", "test-only-es256"), &claims())),
        ("another family", token(&Signer::Rsa, &header("RS256", "test-only-es256"), &claims())),
        ("another key's id", token(&EC, &header("ES256", "test-only-rs256"), &claims())),
        ("signed with another key", token(&NEXT, &good(), &claims())),
        ("an unknown key", token(&NEXT, &header("ES256", "test-only-next"), &claims())),
        ("a key in the token", token(&NEXT, &changed(good(), "jwk", own), &claims())),
        ("crit", head("crit", json!(["exp"]))),
        ("an empty crit", head("crit", json!([]))),
        ("another type", head("typ", json!("logout+jwt"))),
        ("no kid with two keys", head("kid", Value::Null)),
        ("another issuer", claim("iss", json!("https://login.example.evil"))),
        ("issuers", claim("iss", json!(["https://login.example"]))),
        ("no issuer", claim("iss", Value::Null)),
        ("another audience", claim("aud", json!("contact"))),
        ("other audiences", claim("aud", json!(["other", "contacts2"]))),
        ("no audience", claim("aud", Value::Null)),
        ("no subject", claim("sub", Value::Null)),
        ("expired", claim("exp", json!(now() - 60))),
        ("expired as text", claim("exp", json!((now() + 600).to_string()))),
        ("never expires", claim("exp", Value::Null)),
        ("a negative expiry", claim("exp", json!(-1))),
        ("not valid yet", claim("nbf", json!(now() + 120))),
        ("not valid yet, as text", claim("nbf", json!("soon"))),
        ("another payload", format!("{}.{other}.{}", parts[0], parts[2])),
        ("another head", format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(hs256().to_string()), parts[1], parts[2])),
        ("a truncated signature", right[..right.len() - 2].to_owned()),
        ("without the signature part", format!("{}.{}", parts[0], parts[1])),
        ("with a fourth part", format!("{right}.{}", parts[2])),
        ("padded", format!("{right}==")),
        ("dots", "..".to_owned()),
        ("malformed", "a.b.c".to_owned()),
    ] {
        let answer = served.with(&token, "GET", "/contacts");
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{name}");
    }
    let key = served.client.send("GET", "/contacts", &[("x-api-key", &*right)], None).unwrap();
    assert_eq!(key.status, 401, "a token is not an API key");
    let _ = ask(&right);
    let request = |line: &Value| line["caller"] == "jwt:web-shop";
    assert!(served.process.log_lines("request").iter().any(request), "the log has the name of the client");
    served.assert_not_in_log(&["ana.souza", parts[2], parts[1]]);
}

#[test]
fn a_token_has_the_permissions_of_its_scopes_and_its_subject_is_the_caller() {
    let settings = token_settings(&fixture("jwks.json"));
    let served = serve(&borrowed(&settings));
    let token = |name: &str, value: Value| {
        let claims = changed(changed(claims(), "scope", Value::Null), name, value);
        token(&EC, &header("ES256", "test-only-es256"), &claims)
    };
    for (claim, value, read, write) in [
        ("scope", json!("contacts:read"), 200, 403),
        ("scope", json!("contacts:write"), 403, 202),
        ("scp", json!("contacts:read contacts:write"), 200, 202),
        ("roles", json!(["contacts:read"]), 200, 403),
        ("scope", json!("contacts:readwrite"), 403, 403),
        ("scope", json!(""), 403, 403),
        ("permissions", json!(["contacts:read"]), 403, 403),
    ] {
        let token = token(claim, value.clone());
        assert_eq!(served.with(&token, "GET", "/contacts").status, read, "{claim} {value}");
        assert_eq!(served.with(&token, "POST", "/contacts").status, write, "{claim} {value}");
    }
    let create = |subject: &str| {
        let claims = changed(claims(), "sub", json!(subject));
        let token = bearer(&self::token(&EC, &header("ES256", "test-only-es256"), &claims));
        let headers = [("authorization", &*token), ("idempotency-key", "same")];
        served.client.write("POST", "/contacts", &headers, &person("Ana")).text("contact_id")
    };
    assert_eq!(create("one"), create("one"), "another token of the same subject");
    assert_ne!(create("one"), create("two"));
}

#[test]
fn invalid_security_settings_prevent_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.json");
    std::fs::write(&secret, json!({ "keys": [{ "kty": "oct", "k": "aHVudGVyMg" }] }).to_string()).unwrap();
    let fails = |settings: &[(&str, &str)], part: &str| {
        let data = folder.path().join("data");
        let (status, log) = Process::run(&["standalone", "--data-dir", data.to_str().unwrap()], settings);
        assert_eq!(status.code(), Some(78), "{settings:?}: {log}");
        assert!(log.contains(part) && !log.contains("hunter2") && !log.contains("aHVudGVyMg"), "{log}");
    };
    fails(&[("CONTACTS__HTTP__API_KEYS", "good,hunter2:read:sha256:zz")], "http.api_keys: entry 2");
    fails(&[("CONTACTS__HTTP__API_KEYS", "hunter2,hunter2")], "entries 1 and 2 are the same key");
    fails(&[("CONTACTS__HTTP__JWT__AUDIENCE", "contacts")], "http.jwt.jwks_file");
    fails(&borrowed(&token_settings(Path::new("/nowhere.json"))), "/nowhere.json");
    fails(&borrowed(&token_settings(&secret)), "public keys only");
    fails(&[("CONTACTS__HTTP__CORS_ORIGINS", "*")], "http.cors_origins");
    fails(
        &[("CONTACTS__HTTP__LISTEN", "0.0.0.0:0"), ("CONTACTS__HTTP__TRUSTED_PROXIES", "10.0.0.0/8")],
        "http.api_keys",
    );
}

#[test]
fn a_caller_has_a_rate_limit_and_sees_it_in_the_headers() {
    let keys = [entry("one", "read", "key-one"), entry("two", "read", "key-two")].join(",");
    let served = serve(&[
        ("CONTACTS__HTTP__API_KEYS", &*keys),
        ("CONTACTS__HTTP__RATE_LIMIT", "1"),
        ("CONTACTS__HTTP__RATE_BURST", "5"),
    ]);
    let first = served.with("key-one", "GET", "/contacts");
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, "\"default\";q=1;w=1"));
    assert_eq!(first.header("ratelimit"), "\"default\";r=4;t=4");
    let refused = eventually("the limit is reached", || {
        let answer = served.with("key-one", "GET", "/contacts");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.text("type")), (429, "/problems/rate-limited".into()));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit"), "\"default\";r=0;t=1");
    assert_eq!(served.with("key-two", "GET", "/contacts").status, 200, "another caller has its own limit");
    eventually("the limit allows requests again", || {
        (served.with("key-one", "GET", "/contacts").status == 200).then_some(())
    });
    let anonymous = eventually("requests without a key are limited, too", || {
        let answer = served.client.get("/contacts");
        (answer.status != 401).then_some(answer)
    });
    assert_eq!(anonymous.status, 429);
    assert_eq!(served.client.get("/docs").status, 429, "they are counted by address, for all paths");
}

#[test]
fn an_address_with_too_many_failed_attempts_is_blocked() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", KEY)]);
    let mut attempts = 0;
    let refused = eventually("the address is blocked", || {
        attempts += 1;
        let answer = served.with(&format!("guess-{attempts}"), "GET", "/contacts");
        (answer.status != 401).then_some(answer)
    });
    assert_eq!(refused.status, 429);
    assert!(attempts > 50, "{attempts}: a few mistakes must not block an address");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.header("ratelimit-policy"), "\"authentication\";q=10;w=1");
    assert_eq!(served.client.get("/contacts").status, 401, "a request without a key is not a failed attempt");
    assert_eq!(
        served.with(KEY, "GET", "/contacts").status,
        200,
        "a valid key works from a blocked address, for example behind a gateway"
    );
}

#[test]
fn a_caller_cannot_choose_the_address_that_is_counted() {
    let limit = [("CONTACTS__HTTP__RATE_LIMIT", "1"), ("CONTACTS__HTTP__RATE_BURST", "3")];
    let from = |served: &Served, forwarded: &str| {
        let headers = [("x-forwarded-for", forwarded)];
        served.client.send("GET", "/contacts", &headers, None).unwrap().status
    };
    // No proxy is trusted, so the header is ignored: there is only one caller.
    let served = serve(&limit);
    let mut number = 0;
    eventually("all requests count as one caller", || {
        number += 1;
        (from(&served, &format!("198.51.100.{}", number % 200)) == 429).then_some(())
    });
    // The test is a trusted proxy. The rightmost address that is not a trusted proxy is the caller.
    let served = serve(&[limit[0], limit[1], ("CONTACTS__HTTP__TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]);
    let mut number = 0;
    eventually("an invented first address has no effect", || {
        number += 1;
        let hops = format!("198.51.100.{}, 203.0.113.5, 10.1.2.3", number % 200);
        (from(&served, &hops) == 429).then_some(())
    });
    assert_eq!(from(&served, "203.0.113.6"), 200, "another caller");
    let both = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.8")];
    eventually("with two different headers the proxy itself is the caller", || {
        (served.client.send("GET", "/contacts", &both, None).unwrap().status == 429).then_some(())
    });
    assert_eq!(from(&served, "203.0.113.7"), 200);
    served.assert_not_in_log(&["203.0.113", "198.51.100"]);
}

#[test]
fn keys_are_reloaded_while_the_process_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (file, jwks) = (folder.path().join("keys"), folder.path().join("jwks.json"));
    let put = |path: &Path, text: &str| {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    };
    put(&file, "old-secret-key\n");
    put(&jwks, &std::fs::read_to_string(fixture("jwks.json")).unwrap());
    let mut settings = token_settings(&jwks);
    settings.push(("CONTACTS__HTTP__API_KEYS_FILE", file.to_str().unwrap().to_owned()));
    let mut served = serve(&borrowed(&settings));
    let process = served.process.id();
    let ask = |served: &Served, key: &str| served.with(key, "GET", "/contacts").status;
    assert_eq!((ask(&served, "old-secret-key"), ask(&served, "new-secret-key")), (200, 401));

    // `contacts api-key` creates a new key. Both keys are valid during the change. The process detects the new file.
    let (status, output) = Process::run(&["api-key", "web-shop", "--scopes", "read"], &[]);
    assert!(status.success(), "{output}");
    let lines: Vec<&str> = output.lines().collect();
    let (new_key, stored) = (lines[0].to_owned(), lines[1].to_owned());
    assert!(
        new_key.starts_with("ctk_") && new_key.len() == 47 && stored.starts_with("web-shop:read:sha256:"),
        "{output}"
    );
    put(&file, &format!("old-secret-key\n{stored}\n"));
    eventually("the new key is accepted", || (ask(&served, &new_key) == 200).then_some(()));
    assert_eq!(ask(&served, "old-secret-key"), 200);
    assert_eq!(served.with(&new_key, "POST", "/contacts").status, 403);

    // SIGHUP reloads the keys at once: the old key is removed.
    put(&file, &stored);
    served.process.signal("HUP");
    eventually("the old key is rejected", || (ask(&served, "old-secret-key") == 401).then_some(()));
    assert_eq!(ask(&served, &new_key), 200);

    // Invalid content changes nothing and is logged.
    for (text, part) in [("", "contains no key"), ("   \n", "contains no key"), ("web-shop:read:sha256:12", "entry 1")]
    {
        put(&file, text);
        served.process.signal("HUP");
        eventually("the error is logged", || {
            let errors = served.process.log_lines("credentials cannot be reloaded");
            errors.iter().any(|line| line["why"].as_str().unwrap().contains(part)).then_some(())
        });
        assert_eq!((ask(&served, &new_key), served.client.get("/contacts").status), (200, 401), "{text:?}");
    }
    std::fs::remove_file(&file).unwrap();
    served.process.signal("HUP");
    eventually("the error is logged", || {
        (served.process.log_lines("credentials cannot be reloaded").len() >= 4).then_some(())
    });
    assert_eq!((ask(&served, &new_key), served.client.get("/contacts").status), (200, 401));
    put(&file, &stored);

    // The identity provider has a new key.
    let next = || token(&NEXT, &header("ES256", "test-only-next"), &claims());
    assert_eq!(ask(&served, &token(&EC, &header("ES256", "test-only-es256"), &claims())), 200);
    assert_eq!(ask(&served, &next()), 401);
    put(&jwks, &std::fs::read_to_string(fixture("jwks-next.json")).unwrap());
    served.process.signal("HUP");
    eventually("the new token key is accepted", || (ask(&served, &next()) == 200).then_some(()));
    assert_eq!(ask(&served, &token(&EC, &header("ES256", "test-only-es256"), &claims())), 401);

    assert!(served.process.exit_status().is_none());
    assert_eq!(served.process.id(), process);
    let callers: Vec<String> =
        served.process.log_lines("credentials changed").iter().map(|line| line["callers"].to_string()).collect();
    assert!(callers.iter().any(|text| text.contains("2 API keys (key-1, web-shop)")), "{callers:?}");
    let hex = stored.rsplit(':').next().unwrap();
    served.assert_not_in_log(&["old-secret-key", "new-secret-key", &new_key, hex]);
    served.process.terminate();
}

#[test]
fn an_empty_list_of_keys_does_not_turn_authentication_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("contacts.toml");
    std::fs::write(&file, "[http]\napi_keys = [\"the-key\"]\n").unwrap();
    let data = folder.path().join("data");
    let arguments = ["standalone", "--data-dir", data.to_str().unwrap(), "--config", file.to_str().unwrap()];
    let mut process = Process::start(&arguments, &[]);
    let client = process.client();
    for text in ["[http]\napi_keys = []\n", "", "[http]\nallow_anonymous = true\n"] {
        let errors = process.log_lines("credentials cannot be reloaded").len();
        std::fs::write(&file, text).unwrap();
        process.signal("HUP");
        eventually("the error is logged", || {
            (process.log_lines("credentials cannot be reloaded").len() > errors).then_some(())
        });
        assert_eq!(client.get("/contacts").status, 401, "{text}");
        let headers = [("x-api-key", "the-key")];
        assert_eq!(client.send("GET", "/contacts", &headers, None).unwrap().status, 200, "{text}");
    }
}

#[test]
fn the_size_of_a_head_is_limited() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", KEY), ("CONTACTS__HTTP__MAX_URI", "1000")]);
    let ask = |path: &str, headers: &str| {
        served.raw(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"))
    };
    assert_eq!(status(&ask(&format!("/contacts?{}", "q".repeat(989)), "")), 401, "the request is handled");
    for path in
        ["/contacts?".to_owned() + &"q".repeat(991), "/".repeat(1_001), "/docs/".to_owned() + &"a".repeat(2_000)]
    {
        let answer = ask(&path, &format!("x-api-key: {KEY}\r\n"));
        assert!(status(&answer) == 414 && answer.contains("/problems/uri-too-long"), "{answer}");
    }
    let answer = ask("/contacts", &format!("x-a: {}\r\nx-b: {}\r\n", "a".repeat(20_000), "b".repeat(20_000)));
    assert!(status(&answer) == 431 && answer.contains("/problems/headers-too-large"), "{answer}");
    let cookies = format!("cookie: {}\r\n", "c".repeat(400)).repeat(90);
    assert_eq!(status(&ask("/contacts", &cookies)), 431, "many headers with the same name");
    // The HTTP library rejects these requests.
    assert_eq!(status(&ask("/contacts", &format!("x-a: {}\r\n", "a".repeat(200_000)))), 431);
    assert_eq!(status(&ask("/contacts", &"x-a: b\r\n".repeat(200))), 431);
    assert!(matches!(status(&ask(&"/".repeat(70_000), "")), 400 | 414 | 431));
    assert_eq!(served.with(KEY, "GET", "/contacts").status, 200, "other requests are served");
}

/// Waits until the service closes the connection, and returns what it sent before.
fn read_until_closed(mut socket: TcpStream) -> String {
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn slow_clients_are_disconnected() {
    let served = serve(&[
        ("CONTACTS__HTTP__READ_TIMEOUT", "1s"),
        ("CONTACTS__HTTP__WRITE_TIMEOUT", "2s"),
        ("CONTACTS__HTTP__KEEP_ALIVE", "2s"),
    ]);
    // An incomplete head, then an incomplete body.
    let mut socket = served.connect();
    socket.write_all(b"GET /contacts HTTP/1.1\r\nhost: localhost\r\nx-slow:").unwrap();
    assert_eq!(status(&read_until_closed(socket)), 408);
    let mut socket = served.connect();
    let head =
        "POST /contacts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).unwrap();
    assert_eq!(status(&read_until_closed(socket)), 408);
    // An incomplete head after a complete request, then an idle connection.
    for next in ["GET /contacts HTTP/1.1\r\nhost:", "G", ""] {
        let mut socket = served.connect();
        socket.write_all(b"GET /contacts HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 4_096];
        let length = socket.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        socket.write_all(next.as_bytes()).unwrap();
        assert_eq!(read_until_closed(socket), "", "{next}");
    }
    // A client that does not read the answers.
    let address: SocketAddr = served.address.parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let many = "GET /contacts/x HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    eventually("the connection is closed", || match socket.write(many.as_bytes()) {
        Ok(_) => None,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(_closed) => Some(()),
    });
    assert_eq!(served.client.get("/contacts").status, 200, "other requests are served");
}

#[test]
fn cors_allows_only_the_configured_origins() {
    let preflight = |served: &Served, origin: &str, method: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type,idempotency-key"),
        ];
        served.client.send("OPTIONS", "/contacts", &headers, None).unwrap()
    };
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    let page = "https://app.example.com";

    let served = serve(&[("CONTACTS__HTTP__API_KEYS", KEY)]);
    let answer = preflight(&served, page, "GET");
    assert_eq!((answer.status, allowed(&answer)), (401, String::new()));
    let answer = served.client.send("GET", "/contacts", &[("origin", page), ("x-api-key", KEY)], None).unwrap();
    assert_eq!((answer.status, allowed(&answer)), (200, String::new()));

    let origins = format!("{page},http://localhost:3000");
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", KEY), ("CONTACTS__HTTP__CORS_ORIGINS", &origins)]);
    for origin in [page, "http://localhost:3000"] {
        let answer = preflight(&served, origin, "DELETE");
        assert_eq!((answer.status, allowed(&answer)), (200, origin.to_owned()), "a preflight needs no key");
        assert!(answer.header("access-control-allow-headers").to_lowercase().contains("idempotency-key"));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        let answer = served.client.send("GET", "/contacts", &[("origin", origin), ("x-api-key", KEY)], None).unwrap();
        assert_eq!((answer.status, allowed(&answer)), (200, origin.to_owned()));
        assert!(answer.header("access-control-expose-headers").to_lowercase().contains("etag"));
        assert!(answer.header("vary").to_lowercase().contains("origin"));
        // Errors have the header, too. Otherwise a page could not read the problem.
        let answer = served.client.send("GET", "/contacts", &[("origin", origin)], None).unwrap();
        assert_eq!((answer.status, allowed(&answer)), (401, origin.to_owned()));
    }
    for origin in [
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "http://localhost",
        "null",
    ] {
        let answer = preflight(&served, origin, "GET");
        assert_eq!((answer.status, allowed(&answer)), (400, String::new()), "{origin}");
        let answer = served.client.send("GET", "/contacts", &[("origin", origin), ("x-api-key", KEY)], None).unwrap();
        assert_eq!((answer.status, allowed(&answer)), (200, String::new()), "{origin}");
    }
    assert_eq!(preflight(&served, page, "TRACE").status, 400);
    assert!(served.folder.path().exists());
}

/// A web page of another site can have a name that leads to this machine (DNS rebinding). The browser then sends its requests
/// here, with that name in `Host`.
#[test]
fn without_keys_only_requests_for_this_machine_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    let client = process.client();
    let with_host = |client: &Client, method: &str, path: &str, host: &str| {
        let body = (method == "POST").then_some(br#"{"name":"Ana Souza","phone":"(11) 98765-4321"}"#.as_slice());
        client.send(method, path, &[("host", host), ("content-type", "application/json")], body).unwrap()
    };
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
        for (method, path) in [("GET", "/contacts"), ("POST", "/contacts"), ("GET", "/changes")] {
            let answer = with_host(&client, method, path, host);
            assert_eq!((answer.status, answer.text("type").as_str()), (401, "/problems/unauthorized"), "{host}");
            assert!(answer.text("detail").contains("localhost"), "{}", answer.body);
        }
        assert_eq!(with_host(&client, "GET", "/openapi.json", host).status, 200, "documents are public");
    }
    for host in
        ["localhost", "LOCALHOST:1", "contacts.localhost.", "127.0.0.1:8080", "[::1]:8080", "::1", "[::ffff:127.0.0.1]"]
    {
        assert_eq!(with_host(&client, "GET", "/contacts", host).status, 200, "{host}");
    }
    process.terminate();

    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[("CONTACTS__HTTP__ALLOW_ANONYMOUS", "true")]);
    assert_eq!(with_host(&process.client(), "GET", "/contacts", "contacts.example").status, 200);
    process.terminate();
}
