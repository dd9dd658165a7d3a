//! A new version comes, one process after the other, while clients write: no request fails and no change is lost.

use crate::support::{Client, Process, Stack, eventually, person};
use contacts::queue::QueueKind;
use std::collections::BTreeSet;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Sends each new connection to the next of those in rotation, as a Service does.
#[derive(Clone)]
struct Balancer {
    address: String,
    rotation: Arc<Mutex<Vec<String>>>,
    /// Connections that are not closed yet, by where they lead.
    open: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let balancer = Self { address, rotation: Arc::default(), open: Arc::default() };
        let shared = balancer.clone();
        std::thread::spawn(move || {
            for (turn, client) in listener.incoming().flatten().enumerate() {
                let target = {
                    let rotation = shared.rotation.lock().unwrap();
                    let target = rotation[turn % rotation.len()].clone();
                    // Counted before the lock is let go: nobody leaves the rotation in between.
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
        let at = open.iter().position(|other| other == target).unwrap();
        open.remove(at);
    }

    fn add(&self, producer: &Process) {
        self.rotation.lock().unwrap().push(address(producer));
    }

    /// No new connections for this one, and none left: what an endpoint's removal and a preStop pause do.
    fn drain(&self, producer: &Process) {
        let address = address(producer);
        self.rotation.lock().unwrap().retain(|other| *other != address);
        eventually("its connections have ended", || (!self.open.lock().unwrap().contains(&address)).then_some(()));
    }
}

fn address(producer: &Process) -> String {
    producer.said("listening")[0]["address"].as_str().unwrap().to_owned()
}

/// Ends the clients when the test does, however it does.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What clients were answered.
#[derive(Default)]
struct Answers {
    accepted: Mutex<BTreeSet<String>>,
    wrong: Mutex<Vec<String>>,
    requests: AtomicUsize,
}

impl Answers {
    fn note(&self, answer: Result<crate::support::Answer, ureq::Error>) -> Option<String> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match answer {
            Ok(answer) if answer.status == 202 => {
                self.accepted.lock().unwrap().insert(answer.text("operation_id"));
                Some(answer.text("contact_id"))
            }
            other => {
                self.wrong.lock().unwrap().push(format!("{other:?}"));
                None
            }
        }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Waits until clients have got so many more answers.
    fn more(&self, number: usize) {
        let enough = self.count() + number;
        eventually("clients go on", || {
            (self.count() >= enough || !self.wrong.lock().unwrap().is_empty()).then_some(())
        });
    }
}

#[test]
fn a_rolling_change_fails_no_request_and_loses_no_change() {
    let stack = Stack::new();
    let producer = || {
        let mut process = stack.start("producer");
        process.ready();
        process
    };
    let consumer = || {
        let mut process = stack.start("consumer");
        process.ready();
        process
    };
    let balancer = Balancer::start();
    let (answers, enough) = (Answers::default(), AtomicBool::new(false));
    let mut producers = vec![producer(), producer()];
    producers.iter().for_each(|producer| balancer.add(producer));
    let mut consumers = vec![consumer()];

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each request has a connection of its own, so that the balancer decides about each.
                let client = Client::new(&balancer.address);
                let headers = [("content-type", "application/json"), ("connection", "close")];
                while !enough.load(Ordering::Relaxed) {
                    let body = person("Ana").to_string();
                    let id = answers.note(client.send("POST", "/contacts", &headers, Some(body.as_bytes())));
                    let Some(id) = id else { return };
                    let body = person("Bia").to_string();
                    let path = format!("/contacts/{id}");
                    answers.note(client.send("PUT", &path, &headers, Some(body.as_bytes())));
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let _enough = Enough(&enough);
        answers.more(50);
        // More consumers.
        consumers.extend((0..3).map(|_| consumer()));
        answers.more(50);
        // The schema of the version to come, beside the running one: it only adds.
        stack.database.execute(
            "ALTER TABLE contacts ADD COLUMN of_a_newer_version text; \
             INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
        );
        // One producer after the other.
        for _ in 0..2 {
            let new = producer();
            balancer.add(&new);
            producers.push(new);
            answers.more(50);
            let old = producers.remove(0);
            balancer.drain(&old);
            old.terminate();
            answers.more(50);
        }
        // One consumer after the other, down to one that knows the newer schema.
        consumers.push(consumer());
        while consumers.len() > 1 {
            consumers.remove(0).terminate();
            answers.more(20);
        }
    });

    let wrong = answers.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), answers.requests.load(Ordering::Relaxed));
    let accepted = answers.accepted.lock().unwrap();
    assert!(accepted.len() > 300);
    let ended = || stack.database.count("operations WHERE status IN ('applied', 'superseded')");
    eventually("all is applied", || (usize::try_from(ended()).unwrap() == accepted.len()).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert_eq!(stack.database.count("contacts WHERE name <> 'Bia'"), 0, "each was created and then changed");
}
