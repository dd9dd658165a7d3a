//! The tables for diesel. `migrations/sqlite` creates them.

diesel::table! {
    contacts (id) {
        id -> Binary,
        version -> Binary,
        stamp -> BigInt,
        created_by -> Binary,
        created_at -> BigInt,
        updated_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        name -> Nullable<Text>,
        phone -> Nullable<Text>,
        ddd -> Nullable<Integer>,
        email -> Nullable<Text>,
        name_key -> Nullable<Text>,
        member_writes -> Nullable<Text>,
        words -> Nullable<Text>,
    }
}

diesel::table! {
    retention (one) {
        one -> Integer,
        pruned_before -> BigInt,
    }
}

diesel::table! {
    operations (id) {
        id -> Binary,
        contact_id -> Binary,
        operation -> Text,
        status -> Text,
        reason -> Nullable<Text>,
        replays -> Integer,
        fingerprint -> Nullable<Binary>,
        accepted_at -> BigInt,
        completed_at -> BigInt,
        position -> Nullable<BigInt>,
        caller -> Nullable<Text>,
        trace_id -> Nullable<Binary>,
        attempts -> Nullable<Integer>,
        changed -> Nullable<SmallInt>,
        old_values -> Nullable<Text>,
    }
}

diesel::table! {
    events (one) {
        one -> Integer,
        position -> BigInt,
        operation -> Binary,
    }
}

diesel::table! {
    changes (one) {
        one -> Integer,
        last -> BigInt,
        pruned -> BigInt,
        pruned_operation -> Nullable<Binary>,
    }
}

diesel::table! {
    erasures (id) {
        id -> Binary,
        erased_at -> BigInt,
        digests -> Binary,
    }
}

diesel::table! {
    erasure_key (one) {
        one -> Integer,
        secret -> Binary,
    }
}
