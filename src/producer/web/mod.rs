//! Pages for browsers: the web page, the API reference, and the pages that explain problems.

mod api_docs;
mod page;
mod problem_examples;
mod problem_pages;

use actix_web::web::ServiceConfig;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.configure(page::routes).configure(api_docs::routes).configure(problem_pages::routes);
}
