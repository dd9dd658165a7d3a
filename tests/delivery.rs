//! Accepted means applied, once: under load, under faults, with rubbish in the queue.

use crate::support::{Client, Process, Stack, eventually, json, new_contact, person, standalone, update};
use contacts::domain::{ContactId, OperationId};
use contacts::message::encode;
use contacts::queue::QueueKind;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const CLIENTS: usize = 32;

/// An address that stays the same over restarts.
fn fixed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Creates contacts from many clients at once until `enough` says so of the number of those begun. A request that is not
/// accepted is sent again with its key, as the API asks for. Answers the distinct contacts and operations of the 202s,
/// which `accepted_so_far` counts.
fn create_many(
    address: &str,
    enough: impl Fn(usize) -> bool + Sync,
    accepted_so_far: &AtomicUsize,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let accepted = Mutex::new((BTreeSet::new(), BTreeSet::new()));
    let next = AtomicUsize::new(0);
    let client = Client::new(address);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if enough(number) {
                        return;
                    }
                    let (key, body) = (format!("create-{number}"), person(&format!("Ana {number}")).to_string());
                    let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
                    let answer = eventually("accepted", || {
                        match client.send("POST", "/contacts", &headers, Some(body.as_bytes())) {
                            Ok(answer) if answer.status == 202 => Some(answer),
                            Ok(answer) => {
                                assert_eq!(answer.status, 503, "{answer:?}");
                                assert_ne!(answer.header("retry-after"), "");
                                None
                            }
                            // The process is not there at the moment.
                            Err(_) => None,
                        }
                    });
                    let mut accepted = accepted.lock().unwrap();
                    accepted.0.insert(answer.text("contact_id"));
                    accepted.1.insert(answer.text("operation_id"));
                    accepted_so_far.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    accepted.into_inner().unwrap()
}

/// Waits until `more` have been accepted than now: moments are set by the work that is done, not by the clock.
fn wait_for_more(more: usize, accepted: &AtomicUsize) {
    let mark = accepted.load(Ordering::Relaxed) + more;
    eventually("the clients get on", || (accepted.load(Ordering::Relaxed) >= mark).then_some(()));
}

fn assert_all_applied_once(stack: &Stack, contacts: &BTreeSet<String>, operations: &BTreeSet<String>) {
    let expected = i64::try_from(operations.len()).unwrap();
    eventually("every operation ends", || (stack.database.count("operations") >= expected).then_some(()));
    assert_eq!(stack.database.count("operations WHERE status = 'applied'"), expected);
    assert_eq!(stack.database.count("operations"), expected);
    assert_eq!(stack.database.count("contacts WHERE version = created_by"), i64::try_from(contacts.len()).unwrap());
    assert_eq!(contacts.len(), operations.len());
    eventually("the queues are empty", || {
        [QueueKind::Work, QueueKind::Retry].iter().all(|lane| stack.broker.depth(*lane) == 0).then_some(())
    });
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
}

#[test]
fn ten_thousand_creates_from_many_clients() {
    let stack = Stack::new();
    let (mut producer, one, two) = (stack.start("producer"), stack.start("consumer"), stack.start("consumer"));
    producer.ready();
    let address = producer.said("listening")[0]["address"].as_str().unwrap().to_owned();
    let (contacts, operations) = create_many(&address, |number| number >= 10_000, &AtomicUsize::new(0));
    assert_eq!(operations.len(), 10_000);
    assert_all_applied_once(&stack, &contacts, &operations);
    for process in [producer, one, two] {
        process.terminate();
    }
}

#[test]
fn killing_any_role_at_any_moment_loses_nothing() {
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
fn killing_standalone_at_any_moment_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let address = fixed_address();
    let start = || standalone(folder.path(), &[("CONTACTS__HTTP__LISTEN", &address)]);
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
    let found = eventually("all are applied", || {
        let (mut found, mut path) = (BTreeSet::new(), "/contacts?limit=200".to_owned());
        loop {
            let page = client.get(&path).json();
            let ids =
                page["items"].as_array().unwrap().iter().map(|contact| contact["id"].as_str().unwrap().to_owned());
            for id in ids {
                assert!(found.insert(id), "twice in the list");
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
fn rubbish_goes_to_the_dead_letters_and_its_neighbours_are_applied() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.ready();
    let before = producer.client().create("Before").text("operation_id");
    let good = String::from_utf8(encode(&update(new_contact(), 5, "Marked Person"))).unwrap();
    let rubbish: Vec<(String, &str)> = vec![
        (String::new(), "undecodable"),
        ("not json".into(), "undecodable"),
        (good.replace("\"schema\":1", "\"schema\":2"), "unknown_schema"),
        (good.replace("\"operation\":\"update\"", "\"operation\":\"merge\""), "unknown_operation"),
        (good.replace("+5511987654321", "+5520987654321"), "invalid"),
        (good.replace("\"stamp\":5", "\"stamp\":0"), "invalid"),
    ];
    let bodies: Vec<&[u8]> = rubbish.iter().map(|(body, _)| body.as_bytes()).collect();
    stack.broker.publish_raw(&bodies);
    let after = producer.client().create("After").text("operation_id");
    let consumer = stack.start("consumer");
    for operation in [before, after] {
        assert_eq!(producer.client().ended(&operation)["status"], "applied");
    }
    let letters = eventually("all are dead letters", || {
        let letters = stack.dead_letters();
        (letters.len() == rubbish.len()).then_some(letters)
    });
    let mut found: Vec<(String, String)> = letters
        .iter()
        .map(|letter| {
            let failure = letter.headers.failure().unwrap();
            assert!(!failure.detail.is_empty() && failure.first_at.is_some() && failure.last_at.is_some());
            (String::from_utf8(letter.body.clone()).unwrap(), failure.reason)
        })
        .collect();
    let mut expected: Vec<(String, String)> =
        rubbish.iter().map(|(body, reason)| (body.clone(), (*reason).to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(!consumer.log().contains("Marked Person"), "no personal data in the log");
    assert_eq!(stack.broker.depth(QueueKind::Work), 0);
}

#[test]
fn a_command_that_sql_refuses_fails_alone() {
    let stack = Stack::new();
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT test CHECK (name <> 'Forbidden')");
    let mut producer = stack.start("producer");
    producer.ready();
    let client = producer.client();
    let operations: Vec<(String, &str)> = (0..40)
        .map(|number| {
            let name = if number == 23 { "Forbidden" } else { "Ana" };
            (client.create(name).text("operation_id"), name)
        })
        .collect();
    let _consumer = stack.start_with("consumer", &[("CONTACTS__CONSUMER__WORKERS", "1")]);
    for (operation, name) in operations {
        let ended = client.ended(&operation);
        match name {
            "Forbidden" => assert_eq!(ended["reason"], "rejected_by_database", "{ended}"),
            _ => assert_eq!(ended["status"], "applied", "{ended}"),
        }
    }
    let letters =
        eventually("it is a dead letter", || Some(stack.dead_letters()).filter(|letters| !letters.is_empty()));
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].headers.failure().unwrap().reason, "rejected_by_database");
}

#[test]
fn a_change_of_a_contact_that_never_comes_fails_after_its_tries() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    let _consumer = stack.start_with("consumer", &[("CONTACTS__RETRY__MAX_ATTEMPTS", "4")]);
    producer.ready();
    let client = producer.client();
    let accepted = client.write("PUT", &format!("/contacts/{}", new_contact()), &[], &person("Nobody"));
    let operation = accepted.text("operation_id");
    let ended = client.ended(&operation);
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("failed"), &json!("contact_not_found")));
    let letters =
        eventually("it is a dead letter", || Some(stack.dead_letters()).filter(|letters| !letters.is_empty()));
    assert_eq!((letters.len(), letters[0].id.as_str()), (1, operation.as_str()));
    assert_eq!(letters[0].headers.attempts(), 4);
}

#[test]
fn an_update_that_overtakes_its_create_waits_for_it() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    let _consumer = stack.start("consumer");
    producer.ready();
    let client = producer.client();
    // The same key makes the same contact id, so the id is known before the contact is there.
    let key = [("idempotency-key", "one")];
    let other = Stack::new();
    let mut elsewhere = other.start("producer");
    let id = elsewhere.client().write("POST", "/contacts", &key, &person("Ana")).text("contact_id");
    let early = client.write("PUT", &format!("/contacts/{id}"), &[], &person("Early"));
    eventually("it waits", || (stack.broker.depth(QueueKind::Retry) > 0).then_some(()));
    let late = client.write("POST", "/contacts", &key, &person("Ana"));
    for accepted in [late, early] {
        assert_eq!(client.ended(&accepted.text("operation_id"))["status"], "applied");
    }
    assert_eq!(client.get(&format!("/contacts/{id}")).json()["name"], "Early");
}

#[test]
fn while_sql_is_away_consuming_pauses_and_nothing_is_a_dead_letter() {
    let stack = Stack::new();
    let (mut producer, mut consumer) = (
        stack.start("producer"),
        stack.start_with("consumer", &[("CONTACTS__CONSUMER__HOLD", "1s"), ("CONTACTS__RETRY__MAX_ATTEMPTS", "2")]),
    );
    producer.ready();
    consumer.ready();
    stack.database.execute("ALTER TABLE contacts RENAME TO contacts_away");
    let client = producer.client();
    let operations: Vec<String> = (0..50).map(|_| client.create("Ana").text("operation_id")).collect();
    let admin = consumer.admin();
    eventually("it says so", || {
        let answer = admin.get("/readyz");
        (answer.status == 503 && answer.body.contains("paused")).then_some(())
    });
    // Beyond the time that messages are held: they go back to the queue and are taken again.
    let sessions = || consumer.said("worker connected").len();
    let (before, patience) = (sessions(), Duration::from_millis(3_000));
    std::thread::sleep(patience);
    assert!(sessions() <= before + 8);
    assert_eq!((stack.broker.depth(QueueKind::DeadLetter), stack.broker.depth(QueueKind::Retry)), (0, 0));
    stack.database.execute("ALTER TABLE contacts_away RENAME TO contacts");
    for operation in operations {
        assert_eq!(client.ended(&operation)["status"], "applied");
    }
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.ready();
    let said = consumer.said("the database cannot be used: consuming is paused").len();
    assert!((1..20).contains(&said), "once for each pause, not for each message: {said}");
}

#[test]
fn ids_are_what_the_api_says_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let accepted = process.client().create("Ana");
    accepted.text("operation_id").parse::<OperationId>().unwrap();
    accepted.text("contact_id").parse::<ContactId>().unwrap();
}
