//! Our rule for phone numbers, compared with the metadata of libphonenumber (crate `phonenumber`).

use contacts::domain::{AREAS, Phone};
use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, Type};
use std::collections::BTreeMap;

/// Why our rule differs from the crate for a number.
fn known_difference(subscriber: &str, theirs: Option<Type>) -> Option<&'static str> {
    match (subscriber.len(), subscriber.as_bytes().first(), theirs) {
        (_, _, Some(Type::SharedCost | Type::TollFree | Type::Uan | Type::PremiumRate)) => {
            Some("a number of a company, without an area code: we refuse it, because contacts are people")
        }
        (8, Some(b'7'), Some(Type::Mobile)) => Some("a trunk radio number (Nextel): the service ended in 2018"),
        (9, Some(b'7'), Some(Type::Mobile)) => Some("the crate accepts a trunk radio number with a digit too many"),
        _ => None,
    }
}

#[test]
fn our_rule_and_libphonenumber_agree_except_for_known_differences() {
    let (mut compared, mut known) = (0, BTreeMap::<&str, usize>::new());
    for area in 10..=99_u8 {
        for length in [8_usize, 9] {
            for start in 0..100_u32 {
                let subscriber = format!("{start:02}{}", &"1234567"[..length - 2]);
                let text = format!("+55{area}{subscriber}");
                let ours = Phone::parse(&text);
                let theirs = phonenumber::parse(Some(Id::BR), &text).ok().filter(phonenumber::is_valid);
                compared += 1;
                match (&ours, &theirs) {
                    (Ok(ours), Some(theirs)) => {
                        assert_eq!(ours.to_string(), theirs.format().mode(Mode::E164).to_string());
                    }
                    (Err(_), None) => {}
                    _ => {
                        let kind = theirs.as_ref().map(|theirs| theirs.number_type(&DATABASE));
                        let reason = known_difference(&subscriber, kind)
                            .unwrap_or_else(|| panic!("{text}: ours {ours:?}, theirs {theirs:?}"));
                        *known.entry(reason).or_default() += 1;
                    }
                }
            }
        }
    }
    assert!(compared >= 18_000, "{compared}");
    // A difference that no longer occurs must leave the list.
    assert_eq!(known.len(), 3, "{known:?}");
}

#[test]
fn notations_with_prefixes_parse_like_libphonenumber() {
    let mut compared = 0;
    for (area, _) in AREAS {
        for subscriber in ["98765-4321", "3456-7890", "2345 6789", "91234.5678"] {
            for text in [
                format!("({area}) {subscriber}"),
                format!("0{area} {subscriber}"),
                format!("0 15 {area} {subscriber}"),
                format!("021 {area} {subscriber}"),
                format!("+55 {area} {subscriber}"),
                format!("tel:+55-{area}-{subscriber}"),
                format!("+55 {area} {subscriber} ext. 12"),
            ] {
                let (ours, extension) = Phone::parse_with_extension(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                let ours = ours.to_string();
                assert!(ours.starts_with(&format!("+55{area}")), "{text}");
                assert_eq!(extension.is_some(), text.contains("ext"), "{text}");
                if area == 55 && !text.contains("+55") {
                    // The crate takes the area code 55 (Santa Maria) for the country code, and loses the area.
                    continue;
                }
                let theirs = phonenumber::parse(Some(Id::BR), &text).unwrap();
                assert_eq!(ours, theirs.format().mode(Mode::E164).to_string(), "{text}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1_800, "{compared}");
}
