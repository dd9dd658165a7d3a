//! A rolling update replaces one process after the other while clients write. No request fails and no change is lost. The
//! processes are all of this version, or (`make upgrade`) also of the release before it, in both directions.

use crate::support::{Broker, Client, Database, Process, Stack, create, eventually, new_contact, person};
use contacts::message::Message;
use contacts::queue::QueueKind;
use serde_json::json;
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
    // A separate thread writes the log, so a process can be ready before its line arrives.
    let line = eventually("the producer logs its address", || producer.log_lines("listening").into_iter().next());
    line["address"].as_str().unwrap().to_owned()
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

/// Four clients create and update contacts until `stop`.
fn run_clients(balancer: &Balancer, answers: &Answers, stop: &AtomicBool) {
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
    });
}

/// Checks that every request was accepted, and that every change is applied.
fn check(stack: &Stack, answers: &Answers) {
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

fn started(mut process: Process) -> Process {
    process.wait_until_ready();
    process
}

/// Replaces the producers one after the other, without a failed request.
fn replace_producers(
    balancer: &Balancer,
    answers: &Answers,
    producers: &mut Vec<Process>,
    start: &dyn Fn() -> Process,
) {
    for _ in 0..producers.len() {
        let new = started(start());
        balancer.add(&new);
        producers.push(new);
        answers.wait_for_more(50);
        let old = producers.remove(0);
        balancer.drain(&old);
        old.terminate();
        answers.wait_for_more(50);
    }
}

#[test]
fn a_rolling_update_fails_no_request_and_loses_no_change() {
    let stack = Stack::new();
    let balancer = Balancer::start();
    let (answers, stop) = (Answers::default(), AtomicBool::new(false));
    let mut producers: Vec<_> = (0..2).map(|_| started(stack.start("producer"))).collect();
    producers.iter().for_each(|producer| balancer.add(producer));
    let mut consumers = vec![started(stack.start("consumer"))];

    std::thread::scope(|scope| {
        scope.spawn(|| run_clients(&balancer, &answers, &stop));
        let _stop = StopOnDrop(&stop);
        answers.wait_for_more(50);
        // Scale out.
        consumers.extend((0..3).map(|_| started(stack.start("consumer"))));
        answers.wait_for_more(50);
        // Migrate to the schema of the new version while the old version runs. The migration only adds.
        stack.database.execute(
            "ALTER TABLE contacts ADD COLUMN added_by_new_version text; \
             INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
        );
        replace_producers(&balancer, &answers, &mut producers, &|| stack.start("producer"));
        // Stop one consumer after the other, until only the newest is left.
        consumers.push(started(stack.start("consumer")));
        while consumers.len() > 1 {
            consumers.remove(0).terminate();
            answers.wait_for_more(20);
        }
    });
    check(&stack, &answers);
}

/// `make upgrade`: the program of the release before this version.
fn previous_release() -> String {
    std::env::var("CONTACTS_TEST_PREVIOUS_RELEASE").expect("`make upgrade` sets the path of the previous release")
}

/// As docs/DEPLOY.md describes it: migrate, then the consumers, then the producers; and the way back, with the new schema.
#[test]
#[ignore = "needs the release before this version: `make upgrade` runs it"]
fn an_upgrade_and_the_way_back_fail_no_request_and_lose_no_change() {
    let previous = previous_release();
    let stack = Stack { broker: Broker::new(), database: Database::new() };
    let old = |role: &str| Process::from_command(Process::command_of(&previous, &[role], &stack.settings(&[])));
    let migrated = old("migrate").wait();
    assert!(migrated.success());
    let balancer = Balancer::start();
    let (answers, stop) = (Answers::default(), AtomicBool::new(false));
    let mut producers: Vec<_> = (0..2).map(|_| started(old("producer"))).collect();
    producers.iter().for_each(|producer| balancer.add(producer));
    let mut consumers = vec![started(old("consumer"))];
    let replace_consumers = |consumers: &mut Vec<Process>, start: &dyn Fn() -> Process| {
        consumers.push(started(start()));
        // Both versions take messages.
        answers.wait_for_more(50);
        consumers.remove(0).terminate();
        answers.wait_for_more(50);
    };

    std::thread::scope(|scope| {
        scope.spawn(|| run_clients(&balancer, &answers, &stop));
        let _stop = StopOnDrop(&stop);
        answers.wait_for_more(50);
        let (status, log) = Process::run(&["migrate"], &stack.settings(&[]));
        assert!(status.success(), "{log}");
        answers.wait_for_more(50);
        replace_consumers(&mut consumers, &|| stack.start("consumer"));
        replace_producers(&balancer, &answers, &mut producers, &|| stack.start("producer"));
        // The way back. The schema stays new.
        replace_producers(&balancer, &answers, &mut producers, &|| old("producer"));
        replace_consumers(&mut consumers, &|| old("consumer"));
        // Forward again.
        replace_consumers(&mut consumers, &|| stack.start("consumer"));
        replace_producers(&balancer, &answers, &mut producers, &|| stack.start("producer"));
    });
    check(&stack, &answers);
}

/// Messages that the release before does not know wait in its dead letter queue, and the new version applies them.
#[test]
#[ignore = "needs the release before this version: `make upgrade` runs it"]
fn what_the_previous_release_cannot_apply_waits_for_the_new_one() {
    let previous = previous_release();
    let stack = Stack::new();
    let mut producer = started(stack.start("producer"));
    let client = producer.client();
    let old = Process::from_command(Process::command_of(&previous, &["consumer"], &stack.settings(&[])));
    let old = started(old);
    let created = client.create("Ana");
    let contact = created.text("contact_id");
    let merge_patch = [("content-type", "application/merge-patch+json")];
    let path = format!("/contacts/{contact}");
    let patched = client.send("PATCH", &path, &merge_patch, Some(br#"{"name":"Bia"}"#)).unwrap();
    assert_eq!(patched.status, 202, "{patched:?}");
    // A contact without an e-mail address is new, too.
    let without_email = client.write("POST", "/contacts", &[], &json!({"name": "Caio", "phone": "11987654321"}));
    assert_eq!(without_email.status, 202, "{without_email:?}");
    // A pack, as producers of this version publish it under load. Consumers are replaced first, so this is a mistake.
    let packed: Vec<_> = (0..3).map(|_| Message::new(&create(new_contact(), "Davi"))).collect();
    stack.publish_in_packs(packed, 64);
    eventually("all are dead-lettered", || {
        let applied = stack.database.count("contacts WHERE name = 'Davi'");
        // The first message may have left alone.
        let dead_letters = stack.broker.depth(QueueKind::DeadLetter);
        (stack.broker.depth(QueueKind::Work) == 0 && dead_letters >= 3 && applied < 3).then_some(())
    });
    old.terminate();
    let new = started(stack.start("consumer"));
    let (status, log) = Process::run(&["dlq-drain", "replay", "--all", "--yes"], &stack.settings(&[]));
    assert!(status.success(), "{log}");
    eventually("all are applied", || {
        (stack.database.count("contacts WHERE name IN ('Bia', 'Caio', 'Davi')") == 5).then_some(())
    });
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    new.terminate();
}
