//! Limits the size of the path, the query and the headers.

use crate::producer::problems::{Kind, Problem};
use actix_web::dev::ServiceRequest;

/// The maximum size of all headers together, in bytes.
const MAX_HEADERS: usize = 32 * 1024;

/// Returns a problem if the path and query, or the headers, are too large.
pub(crate) fn check_head(request: &ServiceRequest, max_uri: usize) -> Result<(), Problem> {
    let uri = request.uri();
    let host = uri.authority().map_or(0, |host| host.as_str().len());
    if uri.path_and_query().map_or(0, |path| path.as_str().len()) + host > max_uri {
        return Err(Problem::new(Kind::UriTooLong, format!("The path and query may have at most {max_uri} bytes.")));
    }
    // Each header also has ": " and the end of the line.
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > MAX_HEADERS {
        return Err(Problem::new(
            Kind::HeadersTooLarge,
            format!("All headers together may have at most {MAX_HEADERS} bytes."),
        ));
    }
    Ok(())
}
