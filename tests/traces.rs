//! Tests of the spans that a collector receives by OTLP over HTTP. Only with the feature `otlp` (`make test-otlp`).

use crate::support::{Process, Stack, eventually, json};
use contacts::queue::QueueKind;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A received span.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
}

/// Receives all exports and stores their bodies.
#[derive(Clone)]
struct Collector {
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    url: String,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let stored = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stored = stored.clone();
                std::thread::spawn(move || {
                    while let Some(body) = receive(&stream) {
                        stored.lock().unwrap().push(body)
                    }
                });
            }
        });
        Self { bodies, url }
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let resource_spans = bodies.iter().flat_map(|body| fields(body, 1));
        let scope_spans = resource_spans.flat_map(|resource| fields(resource, 2));
        let spans = scope_spans.flat_map(|scope| fields(scope, 2));
        let text = |span, number| -> String { fields(span, number).iter().map(|bytes| hex(bytes)).collect() };
        spans
            .map(|span| Span {
                trace: text(span, 1),
                id: text(span, 2),
                parent: text(span, 4),
                name: String::from_utf8(fields(span, 5)[0].to_vec()).unwrap(),
            })
            .collect()
    }
}

/// Reads a request, answers it, and returns its body.
fn receive(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("post /v1/traces") && head.contains("application/x-protobuf"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()?;
    Some(body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of a protobuf message with this number that contain bytes.
fn fields(mut message: &[u8], number: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                varint(&mut message);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)).unwrap(),
            5 => 4,
            wire => panic!("wire type {wire}"),
        };
        let (value, rest) = message.split_at(length);
        if key >> 3 == number && key & 7 == 2 {
            found.push(value);
        }
        message = rest;
    }
    found
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn roles(stack: &Stack, settings: &[(&str, &str)]) -> (Process, Process) {
    let (mut producer, mut consumer) = (stack.start_with("producer", settings), stack.start_with("consumer", settings));
    producer.wait_until_ready();
    consumer.wait_until_ready();
    (producer, consumer)
}

fn marked() -> serde_json::Value {
    json!({ "name": "Zyxwvut Qponmlk", "phone": "(11) 98700-1234", "email": "zyx.mark@example.com" })
}

#[test]
fn a_trace_has_a_span_for_each_step_from_http_to_sql() {
    let (stack, collector) = (Stack::new(), Collector::start());
    let settings = [("CONTACTS__TRACE__OTLP_URL", collector.url.as_str()), ("CONTACTS__RETRY__MAX_ATTEMPTS", "2")];
    let (mut producer, consumer) = roles(&stack, &settings);
    let traceparent = format!("00-{TRACE_ID}-{CALLER}-01");
    let client = producer.client();
    let answer = client.write("POST", "/contacts", &[("traceparent", &traceparent)], &marked());
    client.finished_operation(&answer.text("operation_id"));
    // A request whose operation fails, and a request that is not sampled.
    let missing = format!("/contacts/{}", crate::support::new_contact());
    client.write("PUT", &missing, &[], &marked());
    let unsampled = "00-11111111111111111111111111111111-2222222222222222-00";
    client.write("POST", "/contacts", &[("traceparent", unsampled)], &marked());
    eventually("the operation has failed", || (stack.broker.depth(QueueKind::DeadLetter) == 1).then_some(()));
    // The roles send the remaining spans when they stop.
    producer.terminate();
    consumer.terminate();

    let spans = collector.spans();
    let mut parent = CALLER.to_owned();
    for name in ["POST /contacts", "publish contato", "process contato", "apply"] {
        let of_trace: Vec<&Span> = spans.iter().filter(|span| span.trace == TRACE_ID && span.name == name).collect();
        assert_eq!(of_trace.len(), 1, "{name}: {spans:#?}");
        assert_eq!(of_trace[0].parent, parent, "{name}: {spans:#?}");
        parent.clone_from(&of_trace[0].id);
    }
    let roots: Vec<&Span> = spans.iter().filter(|span| span.name.starts_with("PUT ")).collect();
    assert!(roots.len() == 1 && roots[0].parent.is_empty(), "{roots:?}");
    let tries = spans.iter().filter(|span| span.trace == roots[0].trace && span.name == "process contato");
    assert_eq!(tries.count(), 2, "{spans:#?}");
    assert!(!spans.iter().any(|span| span.trace.starts_with("1111")), "{spans:#?}");
    for body in collector.bodies.lock().unwrap().iter() {
        let body = String::from_utf8_lossy(body);
        for mark in ["Zyxwvut", "Qponmlk", "987001234", "zyx.mark"] {
            assert!(!body.contains(mark), "a span contains {mark}");
        }
        assert!(body.contains("contacts-producer") || body.contains("contacts-consumer"));
    }
}

#[test]
fn traces_that_are_not_sampled_are_not_sent() {
    let (stack, collector) = (Stack::new(), Collector::start());
    let settings = [("CONTACTS__TRACE__OTLP_URL", collector.url.as_str()), ("CONTACTS__TRACE__SAMPLE_RATIO", "0.0")];
    let (mut producer, consumer) = roles(&stack, &settings);
    let client = producer.client();
    client.finished_operation(&client.create("Ana").text("operation_id"));
    producer.terminate();
    consumer.terminate();
    assert!(collector.spans().is_empty());
}

#[test]
fn an_unavailable_collector_does_not_disturb_the_roles() {
    let stack = Stack::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/v1/traces");
    let (mut producer, consumer) = roles(&stack, &[("CONTACTS__TRACE__OTLP_URL", &url)]);
    let client = producer.client();
    client.finished_operation(&client.create("Ana").text("operation_id"));
    producer.terminate();
    consumer.terminate();
}
