//! Converts between a message and the properties of AMQP.

use crate::domain::{Reason, Timestamp};
use crate::message::{Header, Headers, Message};
use amiquip::{AmqpProperties, AmqpValue, FieldTable};
use std::time::Duration;

/// The maximum size of all kept headers, in bytes. A frame has 128 KiB.
pub(super) const MAX_HEADERS_SIZE: usize = 64 * 1024;
/// The size of a header without its name and value. It limits the number of headers: many small ones take long to
/// write.
const HEADER_OVERHEAD: usize = 64;
/// The delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// The properties of a message. After `delay` the message leaves the queue; `None` means never.
pub(super) fn from_message(message: &Message, delay: Option<Duration>) -> AmqpProperties {
    let mut properties = AmqpProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_app_id("contacts".into())
        .with_message_id(message.id.clone())
        .with_type_(message.kind.clone())
        .with_timestamp(message.timestamp);
    if !message.headers.is_empty() {
        let mut table = FieldTable::new();
        for (name, header) in message.headers.iter() {
            let value = match header {
                Header::Text(text) => AmqpValue::LongString(text.clone()),
                Header::Number(number) => AmqpValue::LongLongInt(*number),
            };
            table.insert(name.to_owned(), value);
        }
        properties = properties.with_headers(table);
    }
    if let Some(delay) = delay {
        properties = properties.with_expiration(delay.as_millis().max(1).to_string());
    }
    properties
}

/// The message of a delivery, and its redeliveries.
pub(super) fn to_message(properties: &AmqpProperties, body: Vec<u8>) -> (Message, u32) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut message = Message {
        id: text(properties.message_id()),
        kind: text(properties.type_()),
        timestamp: properties.timestamp().unwrap_or_default(),
        body,
        ..Message::default()
    };
    let (mut redeliveries, mut remaining_size) = (0, MAX_HEADERS_SIZE);
    for (name, value) in properties.headers().iter().flatten() {
        let header = match value {
            AmqpValue::LongString(text) => Header::Text(text.clone()),
            AmqpValue::ShortShortInt(number) => Header::Number((*number).into()),
            AmqpValue::ShortShortUInt(number) => Header::Number((*number).into()),
            AmqpValue::ShortInt(number) => Header::Number((*number).into()),
            AmqpValue::ShortUInt(number) => Header::Number((*number).into()),
            AmqpValue::LongInt(number) => Header::Number((*number).into()),
            AmqpValue::LongUInt(number) => Header::Number((*number).into()),
            AmqpValue::LongLongInt(number) => Header::Number(*number),
            _ => continue,
        };
        match (name.as_str(), &header) {
            // The quorum queue counts the redeliveries. The header is not part of the message.
            ("x-delivery-count", Header::Number(count)) => redeliveries = u32::try_from(*count).unwrap_or(0),
            // A similar count of newer versions, which includes browsing.
            ("x-acquired-count", _) => {}
            // The broker's history of dead-lettering. It is not needed: it contains every retry.
            (name, _) if name.starts_with("x-first-death-") || name.starts_with("x-last-death-") => {}
            // All headers together must fit into one frame. Otherwise the message could not be published again.
            (name, header) => {
                remaining_size = remaining_size.saturating_sub(header_size(name, header));
                if remaining_size > 0 {
                    message.headers.set(name, header.clone());
                }
            }
        }
    }
    if let Some(at) = delivery_limit_reached(properties) {
        message.headers.record_failure(Reason::DeliveryLimit, Reason::DeliveryLimit.sentence(), at);
    }
    (message, redeliveries)
}

/// The size of all headers, in bytes.
pub(super) fn headers_size(headers: &Headers) -> usize {
    headers.iter().map(|(name, header)| header_size(name, header)).sum()
}

const fn header_size(name: &str, header: &Header) -> usize {
    name.len() + header.size() + HEADER_OVERHEAD
}

/// When the broker dead-lettered the message because of its delivery limit, if it did. The first entry of `x-death` is
/// the latest.
fn delivery_limit_reached(properties: &AmqpProperties) -> Option<Timestamp> {
    let AmqpValue::FieldArray(deaths) = properties.headers().as_ref()?.get("x-death")? else { return None };
    let AmqpValue::FieldTable(death) = deaths.iter().next()? else { return None };
    match (death.get("reason")?, death.get("time")?) {
        (AmqpValue::LongString(reason), AmqpValue::Timestamp(at)) if reason == "delivery_limit" => {
            Timestamp::from_timestamp(i64::try_from(*at).ok()?, 0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_broker_are_not_headers_of_the_message() {
        let mut table = FieldTable::new();
        table.insert("x-delivery-count".into(), AmqpValue::LongLongInt(3));
        table.insert("x-acquired-count".into(), AmqpValue::LongLongInt(5));
        let (message, redeliveries) = to_message(&AmqpProperties::default().with_headers(table), Vec::new());
        assert!(message.headers.is_empty() && redeliveries == 3, "{message:?}");
    }

    #[test]
    fn a_message_is_the_same_after_both_conversions() {
        let mut message = Message {
            id: "an-id".into(),
            kind: "contact.insert".into(),
            timestamp: 1_700_000_000,
            body: b"{}".to_vec(),
            ..Message::default()
        };
        message.headers.set("x-contacts-attempts", Header::Number(3));
        message.headers.set("traceparent", Header::Text("00-1-2-01".into()));
        let properties = from_message(&message, Some(Duration::from_millis(1_500)));
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!(properties.expiration(), &Some("1500".into()));
        assert_eq!(to_message(&properties, message.body.clone()), (message, 0));
    }
}
