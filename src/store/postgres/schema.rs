//! The tables for diesel. `migrations/postgres` creates them.

diesel::table! {
    contacts (id) {
        id -> Uuid,
        version -> Uuid,
        stamp -> BigInt,
        created_by -> Uuid,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        name -> Nullable<Text>,
        phone -> Nullable<Text>,
        ddd -> Nullable<SmallInt>,
        email -> Nullable<Text>,
        name_key -> Nullable<Text>,
        member_writes -> Nullable<Text>,
    }
}

diesel::table! {
    retention (one) {
        one -> Bool,
        pruned_before -> Timestamptz,
    }
}

diesel::table! {
    events (one) {
        one -> Bool,
        position -> BigInt,
        operation -> Uuid,
    }
}

diesel::table! {
    operations (id) {
        id -> Uuid,
        contact_id -> Uuid,
        operation -> Text,
        status -> Text,
        reason -> Nullable<Text>,
        replays -> Integer,
        fingerprint -> Nullable<Uuid>,
        accepted_at -> Timestamptz,
        completed_at -> Timestamptz,
        position -> Nullable<BigInt>,
        caller -> Nullable<Text>,
        trace_id -> Nullable<Uuid>,
        attempts -> Nullable<Integer>,
        changed -> Nullable<SmallInt>,
        old_values -> Nullable<Text>,
    }
}

diesel::table! {
    erasures (id) {
        id -> Uuid,
        erased_at -> Timestamptz,
        digests -> Binary,
    }
}

diesel::table! {
    erasure_key (one) {
        one -> Bool,
        secret -> Binary,
    }
}
