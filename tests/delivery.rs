//! Every accepted change is applied exactly once: under load, with faults, and with malformed messages in the queue.

use crate::support::{Client, Process, Stack, eventually, json, new_contact, person, start_standalone, update};
use amiquip::AmqpProperties;
use contacts::domain::{ContactId, OperationId};
use contacts::message::encode;
use contacts::queue::QueueKind;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use uuid::Uuid;

const CLIENTS: usize = 32;

/// A free address, for a process that keeps it over restarts.
fn fixed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Creates contacts from many clients at once, until `finished` returns true for the number of started requests. A
/// client repeats a request with the same idempotency key until it is accepted. Returns the distinct contact ids and
/// operation ids of the answers with 202. `accepted_count` counts these answers.
fn create_many(
    address: &str,
    finished: impl Fn(usize) -> bool + Sync,
    accepted_count: &AtomicUsize,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let accepted = Mutex::new((BTreeSet::new(), BTreeSet::new()));
    let next = AtomicUsize::new(0);
    let client = Client::new(address);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if finished(number) {
                        return;
                    }
                    let (key, body) = (format!("create-{number}"), person(&format!("Ana {number}")).to_string());
                    let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
                    let answer = eventually("the request is accepted", || {
                        match client.send("POST", "/contacts", &headers, Some(body.as_bytes())) {
                            Ok(answer) if answer.status == 202 => Some(answer),
                            Ok(answer) => {
                                assert_eq!(answer.status, 503, "{answer:?}");
                                assert_ne!(answer.header("retry-after"), "");
                                None
                            }
                            // The process does not run at the moment.
                            Err(_) => None,
                        }
                    });
                    let mut accepted = accepted.lock().unwrap();
                    accepted.0.insert(answer.text("contact_id"));
                    accepted.1.insert(answer.text("operation_id"));
                    accepted_count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    accepted.into_inner().unwrap()
}

/// Waits until `more` further requests are accepted. The tests time their faults by this count, not by the clock.
fn wait_for_more(more: usize, accepted: &AtomicUsize) {
    let target = accepted.load(Ordering::Relaxed) + more;
    eventually("more requests are accepted", || (accepted.load(Ordering::Relaxed) >= target).then_some(()));
}

fn assert_all_applied_once(stack: &Stack, contacts: &BTreeSet<String>, operations: &BTreeSet<String>) {
    let expected = i64::try_from(operations.len()).unwrap();
    eventually("every operation is finished", || (stack.database.count("operations") >= expected).then_some(()));
    assert_eq!(stack.database.count("operations WHERE status = 'applied'"), expected);
    assert_eq!(stack.database.count("operations"), expected);
    assert_eq!(stack.database.count("contacts WHERE version = created_by"), i64::try_from(contacts.len()).unwrap());
    assert_eq!(contacts.len(), operations.len());
    eventually("the queues are empty", || {
        [QueueKind::Work, QueueKind::Retry].iter().all(|queue| stack.broker.depth(*queue) == 0).then_some(())
    });
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
}

#[test]
fn ten_thousand_creates_from_many_clients_are_applied_once() {
    let stack = Stack::new();
    let (mut producer, one, two) = (stack.start("producer"), stack.start("consumer"), stack.start("consumer"));
    producer.wait_until_ready();
    let address = producer.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    let (contacts, operations) = create_many(&address, |number| number >= 10_000, &AtomicUsize::new(0));
    assert_eq!(operations.len(), 10_000);
    assert_all_applied_once(&stack, &contacts, &operations);
    for process in [producer, one, two] {
        process.terminate();
    }
}

#[test]
fn no_change_is_lost_when_roles_are_killed() {
    let stack = Stack::new();
    let address = fixed_address();
    let start_producer = || stack.start_with("producer", &[("CONTACTS__HTTP__LISTEN", &address)]);
    let (done, progress) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (contacts, operations) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut producer, mut one, mut two) = (start_producer(), stack.start("consumer"), stack.start("consumer"));
            for kill in 0..12 {
                wait_for_more(300, &progress);
                match kill % 4 {
                    0 => {
                        producer.kill();
                        producer = start_producer();
                    }
                    1 => {
                        one.kill();
                        one = stack.start("consumer");
                    }
                    2 => {
                        producer.signal("TERM");
                        assert_eq!(producer.wait().code(), Some(0), "{}", producer.log());
                        producer = start_producer();
                    }
                    _ => {
                        two.signal("TERM");
                        assert_eq!(two.wait().code(), Some(0), "{}", two.log());
                        two = stack.start("consumer");
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
            [producer, one, two]
        });
        let accepted = create_many(&address, |_| done.load(Ordering::Relaxed), &progress);
        let processes = killer.join().unwrap();
        assert_all_applied_once(&stack, &accepted.0, &accepted.1);
        processes.into_iter().for_each(Process::terminate);
        accepted
    });
    let accepted = progress.load(Ordering::Relaxed);
    assert_eq!((contacts.len(), operations.len()), (accepted, accepted));
}

#[test]
fn no_change_is_lost_when_standalone_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let address = fixed_address();
    let start = || start_standalone(folder.path(), &[("CONTACTS__HTTP__LISTEN", &address)]);
    let (done, progress) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (contacts, mut process): (_, Process) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut process = start();
            for _ in 0..8 {
                wait_for_more(250, &progress);
                process.kill();
                process = start();
            }
            done.store(true, Ordering::Relaxed);
            process
        });
        let (contacts, _) = create_many(&address, |_| done.load(Ordering::Relaxed), &progress);
        (contacts, killer.join().unwrap())
    });
    let client = process.client();
    let found = eventually("all changes are applied", || {
        let (mut found, mut path) = (BTreeSet::new(), "/contacts?limit=200".to_owned());
        loop {
            let page = client.get(&path).json();
            let ids =
                page["items"].as_array().unwrap().iter().map(|contact| contact["id"].as_str().unwrap().to_owned());
            for id in ids {
                assert!(found.insert(id), "the list has it twice");
            }
            match page["next"].as_str() {
                Some(next) => path = format!("/contacts?limit=200&cursor={next}"),
                None => break,
            }
        }
        (found.len() >= contacts.len()).then_some(found)
    });
    assert_eq!(found, contacts);
    process.terminate();
}

#[test]
fn malformed_messages_are_dead_lettered_and_the_others_are_applied() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let before = producer.client().create("Before").text("operation_id");
    let good = String::from_utf8(encode(&update(new_contact(), 5, "Marked Person"))).unwrap();
    let malformed: Vec<(String, &str)> = vec![
        (String::new(), "undecodable"),
        ("not json".into(), "undecodable"),
        (good.replace("\"schema\":1", "\"schema\":2"), "unknown_schema"),
        (good.replace("\"operation\":\"update\"", "\"operation\":\"merge\""), "unknown_operation"),
        (good.replace("+5511987654321", "+5520987654321"), "invalid"),
        (good.replace("\"stamp\":5", "\"stamp\":0"), "invalid"),
    ];
    let bodies: Vec<&[u8]> = malformed.iter().map(|(body, _)| body.as_bytes()).collect();
    stack.broker.publish_raw(&bodies);
    let after = producer.client().create("After").text("operation_id");
    let consumer = stack.start("consumer");
    for operation in [before, after] {
        assert_eq!(producer.client().finished_operation(&operation)["status"], "applied");
    }
    let dead_letters = eventually("all malformed messages are dead-lettered", || {
        let dead_letters = stack.dead_letters();
        (dead_letters.len() == malformed.len()).then_some(dead_letters)
    });
    let mut found: Vec<(String, String)> = dead_letters
        .iter()
        .map(|dead_letter| {
            let failure = dead_letter.headers.failure().unwrap();
            assert!(!failure.detail.is_empty() && failure.first_at.is_some() && failure.last_at.is_some());
            (String::from_utf8(dead_letter.body.clone()).unwrap(), failure.reason)
        })
        .collect();
    let mut expected: Vec<(String, String)> =
        malformed.iter().map(|(body, reason)| (body.clone(), (*reason).to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // If the properties name the operation, it ends. A newer producer could have sent this message.
    let (operation, contact) = (Uuid::now_v7(), new_contact());
    let body = format!("{{\"schema\":9,\"contact_id\":\"{contact}\"}}");
    let properties = AmqpProperties::default()
        .with_message_id(operation.to_string())
        .with_type_("contact.update".to_owned())
        .with_timestamp(1_700_000_000);
    stack.broker.publish_messages(&[(body.as_bytes(), properties)]);
    let failed = eventually("the operation has failed", || {
        let answer = producer.client().get(&format!("/operations/{operation}"));
        (answer.status == 200).then(|| answer.json())
    });
    for (member, value) in [
        ("status", "failed"),
        ("reason", "unknown_schema"),
        ("operation", "update"),
        ("contact_id", &*contact.to_string()),
    ] {
        assert_eq!(failed[member], value, "{failed}");
    }
    assert!(!consumer.log().contains("Marked Person"), "the log has personal data");
    assert_eq!(stack.broker.depth(QueueKind::Work), 0);
}

#[test]
fn a_command_that_the_database_rejects_fails_alone() {
    let stack = Stack::new();
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT test CHECK (name <> 'Forbidden')");
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let client = producer.client();
    let operations: Vec<(String, &str)> = (0..40)
        .map(|number| {
            let name = if number == 23 { "Forbidden" } else { "Ana" };
            (client.create(name).text("operation_id"), name)
        })
        .collect();
    let _consumer = stack.start_with("consumer", &[("CONTACTS__CONSUMER__WORKERS", "1")]);
    for (operation, name) in operations {
        let operation = client.finished_operation(&operation);
        match name {
            "Forbidden" => assert_eq!(operation["reason"], "rejected_by_database", "{operation}"),
            _ => assert_eq!(operation["status"], "applied", "{operation}"),
        }
    }
    let dead_letters = eventually("the message is dead-lettered", || {
        Some(stack.dead_letters()).filter(|dead_letters| !dead_letters.is_empty())
    });
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].headers.failure().unwrap().reason, "rejected_by_database");
}

#[test]
fn an_update_without_its_create_fails_after_its_last_attempt() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    let _consumer = stack.start_with("consumer", &[("CONTACTS__RETRY__MAX_ATTEMPTS", "4")]);
    producer.wait_until_ready();
    let client = producer.client();
    let accepted = client.write("PUT", &format!("/contacts/{}", new_contact()), &[], &person("Nobody"));
    let id = accepted.text("operation_id");
    let operation = client.finished_operation(&id);
    assert_eq!((&operation["status"], &operation["reason"]), (&json!("failed"), &json!("contact_not_found")));
    let dead_letters = eventually("the message is dead-lettered", || {
        Some(stack.dead_letters()).filter(|dead_letters| !dead_letters.is_empty())
    });
    assert_eq!((dead_letters.len(), dead_letters[0].id.as_str()), (1, id.as_str()));
    assert_eq!(dead_letters[0].headers.attempts(), 4);
}

#[test]
fn an_update_that_overtakes_its_create_is_retried() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    let _consumer = stack.start("consumer");
    producer.wait_until_ready();
    let client = producer.client();
    // The same idempotency key gives the same contact id. So the id is known before the contact exists.
    let key = [("idempotency-key", "one")];
    let other = Stack::new();
    let mut elsewhere = other.start("producer");
    elsewhere.wait_until_ready();
    let id = elsewhere.client().write("POST", "/contacts", &key, &person("Ana")).text("contact_id");
    let early = client.write("PUT", &format!("/contacts/{id}"), &[], &person("Early"));
    eventually("the update is in the retry queue", || (stack.broker.depth(QueueKind::Retry) > 0).then_some(()));
    let late = client.write("POST", "/contacts", &key, &person("Ana"));
    for accepted in [late, early] {
        assert_eq!(client.finished_operation(&accepted.text("operation_id"))["status"], "applied");
    }
    assert_eq!(client.get(&format!("/contacts/{id}")).json()["name"], "Early");
}

#[test]
fn while_the_database_is_unavailable_the_consumer_pauses_and_dead_letters_nothing() {
    let stack = Stack::new();
    let (mut producer, mut consumer) = (
        stack.start("producer"),
        stack.start_with("consumer", &[("CONTACTS__CONSUMER__HOLD", "1s"), ("CONTACTS__RETRY__MAX_ATTEMPTS", "2")]),
    );
    producer.wait_until_ready();
    consumer.wait_until_ready();
    stack.database.execute("ALTER TABLE contacts RENAME TO contacts_hidden");
    let client = producer.client();
    let operations: Vec<String> = (0..50).map(|_| client.create("Ana").text("operation_id")).collect();
    let admin = consumer.admin();
    eventually("/readyz reports the pause", || {
        let answer = admin.get("/readyz");
        (answer.status == 503 && answer.body.contains("paused")).then_some(())
    });
    // Longer than `consumer.hold`: the workers return the messages to the queue and take them again.
    let sessions = || consumer.log_lines("worker connected").len();
    let before = sessions();
    std::thread::sleep(Duration::from_secs(3));
    assert!(sessions() <= before + 8);
    assert_eq!((stack.broker.depth(QueueKind::DeadLetter), stack.broker.depth(QueueKind::Retry)), (0, 0));
    stack.database.execute("ALTER TABLE contacts_hidden RENAME TO contacts");
    for operation in operations {
        assert_eq!(client.finished_operation(&operation)["status"], "applied");
    }
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.wait_until_ready();
    let count = consumer.log_lines("the database cannot be used: consuming is paused").len();
    assert!((1..20).contains(&count), "expected one line for each pause, not for each message: {count}");
}

#[test]
fn the_ids_in_an_answer_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    let accepted = process.client().create("Ana");
    accepted.text("operation_id").parse::<OperationId>().unwrap();
    accepted.text("contact_id").parse::<ContactId>().unwrap();
}
