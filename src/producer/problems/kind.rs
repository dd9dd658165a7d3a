//! The problem types: slug, title and status of each (RFC 9457 section 3.1).
//!
//! Rule of this file: a problem type is never renamed or removed. Each one has a page (`/problems/SLUG`).

use actix_web::http::StatusCode;

/// A problem type. Each one has a stable type URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field, parameter or header is invalid.
    Validation,
    /// The body is not JSON.
    MalformedJson,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// `If-Match` names a version that is not current.
    VersionConflict,
    /// The operation failed: another operation created the contact.
    AlreadyExists,
    /// The operation failed: the contact was deleted.
    ContactDeleted,
    /// The operation failed for another reason.
    ChangeFailed,
    /// The path, contact, operation or problem type does not exist.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// The path has none of the formats that the caller accepts.
    NotAcceptable,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The path and query are longer than allowed.
    UriTooLong,
    /// The headers are larger than allowed.
    HeadersTooLarge,
    /// The path does not accept the media type of the body.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The request has no valid key or token.
    Unauthorized,
    /// The key or token does not have the scope.
    Forbidden,
    /// The caller exceeds its rate limit.
    RateLimited,
    /// The queue did not confirm the change.
    NotAccepted,
    /// The database cannot be read now.
    ReadsUnavailable,
    /// Changes after the cursor of a reader can be missing.
    CursorExpired,
    /// An error of the service. It must be the last one: it defines the length of [`Kind::ALL`].
    Internal,
}

impl Kind {
    /// All problem types, in the order of the documentation.
    pub const ALL: [Self; Self::Internal as usize + 1] = [
        Self::Validation,
        Self::MalformedJson,
        Self::IdempotencyKeyReused,
        Self::VersionConflict,
        Self::AlreadyExists,
        Self::ContactDeleted,
        Self::ChangeFailed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::UnsupportedMediaType,
        Self::RequestTimeout,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RateLimited,
        Self::NotAccepted,
        Self::ReadsUnavailable,
        Self::CursorExpired,
        Self::Internal,
    ];

    /// The last part of the type URI, `/problems/SLUG`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::MalformedJson => "malformed-json",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::VersionConflict => "version-conflict",
            Self::AlreadyExists => "already-exists",
            Self::ContactDeleted => "contact-deleted",
            Self::ChangeFailed => "change-failed",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotAcceptable => "not-acceptable",
            Self::BodyTooLarge => "body-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::HeadersTooLarge => "headers-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::RequestTimeout => "request-timeout",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate-limited",
            Self::NotAccepted => "not-accepted",
            Self::ReadsUnavailable => "reads-unavailable",
            Self::CursorExpired => "cursor-expired",
            Self::Internal => "internal",
        }
    }

    /// The title in English. It is the same for every problem of the type.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Validation => "The request is not valid",
            Self::MalformedJson => "The body is not valid JSON",
            Self::IdempotencyKeyReused => "The Idempotency-Key was used for another request",
            Self::VersionConflict => "The contact has another version",
            Self::AlreadyExists => "The contact already exists",
            Self::ContactDeleted => "The contact was deleted",
            Self::ChangeFailed => "The change could not be applied",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The path does not support this method",
            Self::NotAcceptable => "None of the accepted formats is available",
            Self::BodyTooLarge => "The body is too large",
            Self::UriTooLong => "The path and query are too long",
            Self::HeadersTooLarge => "The headers are too large",
            Self::UnsupportedMediaType => "The media type of the body is not supported",
            Self::RequestTimeout => "The body did not arrive in time",
            Self::Unauthorized => "A valid key or token is required",
            Self::Forbidden => "The key or token does not have the required scope",
            Self::RateLimited => "Too many requests",
            Self::NotAccepted => "The change was not accepted",
            Self::ReadsUnavailable => "The data cannot be read now",
            Self::CursorExpired => "The cursor has expired",
            Self::Internal => "Internal error of the service",
        }
    }

    /// The status code of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Validation | Self::IdempotencyKeyReused | Self::ChangeFailed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::VersionConflict => StatusCode::PRECONDITION_FAILED,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::ContactDeleted | Self::CursorExpired => StatusCode::GONE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotAccepted | Self::ReadsUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn every_problem_type_is_listed_once_and_has_a_unique_slug() {
        for (position, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
            assert!(kind.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.slug());
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert_eq!(Kind::ALL.iter().filter(|other| other.slug() == kind.slug()).count(), 1);
        }
    }
}
