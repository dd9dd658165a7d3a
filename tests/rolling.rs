//! A rolling update replaces one process after the other while clients write. No request fails and no change is lost.

use crate::support::{Client, Process, Stack, eventually, person};
use contacts::queue::QueueKind;
use std::collections::BTreeSet;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A TCP load balancer: sends each new connection to the next producer, as a Kubernetes Service does.
#[derive(Clone)]
struct Balancer {
    address: String,
    rotation: Arc<Mutex<Vec<String>>>,
    /// The target of each open connection.
    open: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let balancer = Self { address, rotation: Arc::default(), open: Arc::default() };
        let shared = balancer.clone();
        std::thread::spawn(move || {
            for (count, client) in listener.incoming().flatten().enumerate() {
                let target = {
                    let rotation = shared.rotation.lock().unwrap();
                    let target = rotation[count % rotation.len()].clone();
                    // Counted under the lock, so that `drain` cannot run between the choice and the count.
                    shared.open.lock().unwrap().push(target.clone());
                    target
                };
                let shared = shared.clone();
                std::thread::spawn(move || shared.serve(client, &target));
            }
        });
        balancer
    }

    fn serve(&self, client: TcpStream, target: &str) {
        if let Ok(server) = TcpStream::connect(target) {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let (mut client, mut server) = (client, server);
            let sending = std::thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut down, &mut client);
            let _ = client.shutdown(Shutdown::Both);
            let _ = sending.join();
        }
        let mut open = self.open.lock().unwrap();
        let index = open.iter().position(|other| other == target).unwrap();
        open.remove(index);
    }

    fn add(&self, producer: &Process) {
        self.rotation.lock().unwrap().push(address(producer));
    }

    /// Sends no new connections to this producer, and waits until its open connections are closed. In Kubernetes the
    /// removal of the endpoint and the preStop pause do this.
    fn drain(&self, producer: &Process) {
        let address = address(producer);
        self.rotation.lock().unwrap().retain(|other| *other != address);
        eventually("its connections are closed", || (!self.open.lock().unwrap().contains(&address)).then_some(()));
    }
}

fn address(producer: &Process) -> String {
    producer.log_lines("listening")[0]["address"].as_str().unwrap().to_owned()
}

/// Stops the clients when the test ends, also when it fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The answers to all clients.
#[derive(Default)]
struct Answers {
    accepted: Mutex<BTreeSet<String>>,
    unexpected: Mutex<Vec<String>>,
    requests: AtomicUsize,
}

impl Answers {
    /// Records an answer. Returns the contact id if the request was accepted.
    fn record(&self, answer: Result<crate::support::Answer, ureq::Error>) -> Option<String> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(answer) if answer.status == 202 => {
                self.accepted.lock().unwrap().insert(answer.text("operation_id"));
                Some(answer.text("contact_id"))
            }
            other => {
                self.unexpected.lock().unwrap().push(format!("{other:?}"));
                None
            }
        }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Waits until `number` more requests are accepted.
    fn wait_for_more(&self, number: usize) {
        let target = self.count() + number;
        eventually("more requests are accepted", || {
            (self.count() >= target || !self.unexpected.lock().unwrap().is_empty()).then_some(())
        });
    }
}

#[test]
fn a_rolling_update_fails_no_request_and_loses_no_change() {
    let stack = Stack::new();
    let producer = || {
        let mut process = stack.start("producer");
        process.wait_until_ready();
        process
    };
    let consumer = || {
        let mut process = stack.start("consumer");
        process.wait_until_ready();
        process
    };
    let balancer = Balancer::start();
    let (answers, stop) = (Answers::default(), AtomicBool::new(false));
    let mut producers = vec![producer(), producer()];
    producers.iter().for_each(|producer| balancer.add(producer));
    let mut consumers = vec![consumer()];

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each request has its own connection, so that the balancer chooses a producer for each request.
                let client = Client::new(&balancer.address);
                let headers = [("content-type", "application/json"), ("connection", "close")];
                while !stop.load(Ordering::Relaxed) {
                    let body = person("Ana").to_string();
                    let id = answers.record(client.send("POST", "/contacts", &headers, Some(body.as_bytes())));
                    let Some(id) = id else { return };
                    let body = person("Bia").to_string();
                    let path = format!("/contacts/{id}");
                    answers.record(client.send("PUT", &path, &headers, Some(body.as_bytes())));
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let _stop = StopOnDrop(&stop);
        answers.wait_for_more(50);
        // Scale out.
        consumers.extend((0..3).map(|_| consumer()));
        answers.wait_for_more(50);
        // Migrate to the schema of the new version while the old version runs. The migration only adds.
        stack.database.execute(
            "ALTER TABLE contacts ADD COLUMN added_by_new_version text; \
             INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
        );
        // Replace one producer after the other.
        for _ in 0..2 {
            let new = producer();
            balancer.add(&new);
            producers.push(new);
            answers.wait_for_more(50);
            let old = producers.remove(0);
            balancer.drain(&old);
            old.terminate();
            answers.wait_for_more(50);
        }
        // Stop one consumer after the other, until only the newest is left.
        consumers.push(consumer());
        while consumers.len() > 1 {
            consumers.remove(0).terminate();
            answers.wait_for_more(20);
        }
    });

    let unexpected = answers.unexpected.lock().unwrap();
    assert!(
        unexpected.is_empty(),
        "{} of {}: {unexpected:?}",
        unexpected.len(),
        answers.requests.load(Ordering::Relaxed)
    );
    let accepted = answers.accepted.lock().unwrap();
    assert!(accepted.len() > 300);
    let finished = || stack.database.count("operations WHERE status IN ('applied', 'superseded')");
    eventually("all changes are applied", || (usize::try_from(finished()).unwrap() == accepted.len()).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert_eq!(stack.database.count("contacts WHERE name <> 'Bia'"), 0, "a contact is not updated");
}
