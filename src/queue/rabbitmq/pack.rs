//! Packs: several messages for the work queue in one message of the broker. They share one confirm, one entry in the
//! log of the queue, and one delivery.
//!
//! The body of a pack is JSON: the properties and the body of each message.

use super::super::{PACK_KIND, Publication, QueueKind};
use super::properties;
use crate::message::{Headers, Message};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The kind of a pack. A consumer recognizes a pack by it.
const KIND: &str = PACK_KIND;
/// The maximum size of a pack, in bytes. A frame has 128 KiB.
pub(super) const MAX_SIZE: usize = 32 * 1024;
/// More than the size of the properties without ids and headers.
const PROPERTIES_SIZE: usize = 80;
/// The maximum number of messages in a pack, and of `broker.pack_max`.
const MAX_MESSAGES: usize = 1_000;
/// The maximum size of a text in the properties of AMQP, in bytes.
const MAX_SHORT_TEXT: usize = 255;

/// The average number of changes in a message of the work queue. Of each process: those that it sent or took last.
pub(super) struct AverageSize(AtomicU32);

impl AverageSize {
    /// About how many messages the average covers.
    const WEIGHT: f32 = 64.0;

    pub(super) fn record(&self, size: usize) {
        let average = self.get();
        // Another thread may record at the same time. Then one of the two is not counted, which is no matter.
        self.0.store((average + (size as f32 - average) / Self::WEIGHT).to_bits(), Relaxed);
    }

    pub(super) fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }
}

impl Default for AverageSize {
    fn default() -> Self {
        Self(AtomicU32::new(1_f32.to_bits()))
    }
}

/// A body as it is read. The schema is another one than that of a message, so an older consumer dead-letters a pack as a
/// message of a newer version.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Vec<Packed<'a>>,
}

/// The beginning and the end of a body as it is written.
const BODY_BEGIN: &[u8] = br#"{"schema":2,"operation":"pack","messages":["#;
const BODY_END: &[u8] = b"]}";

/// A message in a pack.
#[derive(Deserialize)]
struct Packed<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    timestamp: u64,
    #[serde(default)]
    headers: Headers,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A message in a pack as it is written, without its body.
#[derive(Serialize)]
struct Properties<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
}

/// About how many bytes a message takes in a pack. `None` if it must not be packed.
pub(super) fn size(publication: &Publication) -> Option<usize> {
    let Message { id, kind, headers, body, .. } = &publication.message;
    let is_packable = publication.queue == QueueKind::Work && kind != KIND && is_object(body);
    let headers: usize = headers.iter().map(|(name, header)| name.len() + header.size() + 8).sum();
    is_packable.then(|| PROPERTIES_SIZE + id.len() + kind.len() + headers + body.len())
}

/// Whether a body is a JSON object without space around it. It is then the same after it was in a pack.
fn is_object(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Packs messages. Their bodies are objects.
pub(super) fn encode<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Message {
    let mut body = Vec::with_capacity(MAX_SIZE);
    body.extend_from_slice(BODY_BEGIN);
    for message in messages.clone() {
        let Message { id, kind, timestamp, headers, .. } = message;
        // Strings and numbers can always be written to memory.
        let _ = serde_json::to_writer(&mut body, &Properties { id, kind, timestamp: *timestamp, headers });
        // The body becomes the last member of the object.
        body.pop();
        body.extend_from_slice(br#","body":"#);
        body.extend_from_slice(&message.body);
        body.extend_from_slice(b"},");
    }
    body.pop();
    body.extend_from_slice(BODY_END);
    let (id, timestamp) =
        messages.into_iter().next().map(|first| (first.id.clone(), first.timestamp)).unwrap_or_default();
    Message { id, kind: KIND.into(), timestamp, body, ..Message::default() }
}

/// The messages of a pack. `None` if a message is not a pack, or not a valid one.
pub(super) fn decode(pack: &Message) -> Option<Vec<Message>> {
    if pack.kind != KIND {
        return None;
    }
    let Body { messages } = serde_json::from_slice(&pack.body).ok()?;
    let is_valid = (1..=MAX_MESSAGES).contains(&messages.len()) && messages.iter().all(Packed::can_leave_alone);
    let unpacked = |packed: Packed<'_>| {
        let mut headers = packed.headers;
        headers.raise_replays(pack.headers.replays());
        Message {
            id: packed.id.into_owned(),
            kind: packed.kind.into_owned(),
            timestamp: packed.timestamp,
            headers,
            body: packed.body.get().as_bytes().to_vec(),
        }
    };
    is_valid.then(|| messages.into_iter().map(unpacked).collect())
}

impl Packed<'_> {
    /// Whether AMQP allows it as a message of its own. Otherwise it could never be retried or dead-lettered.
    fn can_leave_alone(&self) -> bool {
        let is_short = |text: &str| text.len() <= MAX_SHORT_TEXT;
        // RabbitMQ reads two more queues from these headers.
        let is_header = |name: &str| is_short(name) && name != "CC" && name != "BCC";
        is_short(&self.id)
            && is_short(&self.kind)
            && self.headers.iter().all(|(name, _)| is_header(name))
            && properties::headers_size(&self.headers) < properties::MAX_HEADERS_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;
    use proptest::prelude::*;

    fn messages() -> impl Strategy<Value = Vec<Message>> {
        let header = prop_oneof![any::<i64>().prop_map(Header::Number), ".{0,40}".prop_map(Header::Text)];
        let headers = prop::collection::vec(("[a-z-]{1,20}", header), 0..4);
        let message = (".{0,40}", "contact.[a-z]{1,8}", any::<u64>(), headers, ".{0,80}").prop_map(
            |(id, kind, timestamp, headers, body)| {
                let body = serde_json::json!({ "text": body }).to_string().into_bytes();
                let mut message = Message { id, kind, timestamp, body, ..Message::default() };
                headers.into_iter().for_each(|(name, value)| message.headers.set(name, value));
                message
            },
        );
        prop::collection::vec(message.prop_filter("not a pack", |message| message.kind != KIND), 1..20)
    }

    proptest! {
        #[test]
        fn a_pack_has_its_messages(messages in messages()) {
            let pack = encode(messages.iter());
            prop_assert_eq!((&pack.id, pack.timestamp), (&messages[0].id, messages[0].timestamp));
            prop_assert_eq!(decode(&pack), Some(messages));
        }

        #[test]
        fn no_other_message_is_unpacked(body: Vec<u8>) {
            for kind in [KIND, "contact.insert"] {
                let message = Message { kind: kind.into(), body: body.clone(), ..Message::default() };
                prop_assert_eq!(decode(&message), None);
            }
        }
    }

    #[test]
    fn a_pack_whose_messages_could_not_leave_it_stays_as_it_is() {
        let packed = |change: &dyn Fn(&mut Message)| {
            let mut message =
                Message { id: "1".into(), kind: "contact.insert".into(), body: b"{}".to_vec(), ..Message::default() };
            change(&mut message);
            decode(&encode([&message, &message].into_iter())).map_or(1, |messages| messages.len())
        };
        let long = "x".repeat(256);
        assert_eq!(packed(&|_| {}), 2);
        assert_eq!(packed(&|message| message.id = long.clone()), 1);
        assert_eq!(packed(&|message| message.kind = long.clone()), 1);
        assert_eq!(packed(&|message| message.headers.set(long.clone(), Header::Number(1))), 1);
        assert_eq!(packed(&|message| message.headers.set("CC", Header::Text("contato".into()))), 1);
        assert_eq!(packed(&|message| message.headers.set("x", Header::Text("x".repeat(70_000)))), 1);
        let many = Message { id: "1".into(), body: b"{}".to_vec(), ..Message::default() };
        assert_eq!(decode(&encode(std::iter::repeat_n(&many, MAX_MESSAGES + 1))), None);
        assert_eq!(decode(&encode(std::iter::repeat_n(&many, MAX_MESSAGES))).unwrap().len(), MAX_MESSAGES);
    }

    #[test]
    fn an_older_consumer_takes_a_pack_for_a_message_of_a_newer_version() {
        let message = Message { body: b"{}".to_vec(), ..Message::default() };
        let error = crate::message::decode(&encode([&message, &message].into_iter()).body).unwrap_err();
        assert_eq!(error.reason, crate::domain::Reason::UnknownSchema);
    }

    #[test]
    fn only_objects_without_space_around_them_are_packed() {
        assert!(is_object(br#"{"a": [1]}"#));
        for body in [&b""[..], b" {}", b"{}\n", b"{", b"{}{}", b"[]", b"{\"a\":\"\xff\"}"] {
            assert!(!is_object(body), "{body:?}");
        }
    }
}
