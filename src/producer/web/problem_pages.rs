//! The pages at the type URIs of problems: `/problems` and `/problems/{slug}`.
//!
//! Rule of this file: every text in a page is escaped. All links are relative, so that the pages work behind a gateway
//! with a path prefix.

use crate::producer::http::static_file::{Asset, add_security_headers};
use crate::producer::language::{Language, negotiate};
use crate::producer::problems::explanations::{self, Bilingual};
use crate::producer::problems::{Kind, Problem, method_not_allowed};
use crate::producer::web::problem_examples::{example, reasons, render_example};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use actix_web::{HttpRequest, HttpResponse, web};

/// The content policy: the pages may only load our style sheet.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static STYLE: Asset = Asset::new("pages.css", "text/css; charset=utf-8", include_bytes!("problem_pages.css"));

const ALL_TYPES: Bilingual = Bilingual("Problem types", "Tipos de problema");
const INTRODUCTION: Bilingual = Bilingual(
    "Every error of this API is a JSON document (RFC 9457). Its type is the path of one of these pages.",
    "Todo erro desta API é um documento JSON (RFC 9457). O type dele é o caminho de uma destas páginas.",
);
const WHAT_TO_DO: Bilingual = Bilingual("What to do", "O que fazer");
const AGAIN: Bilingual = Bilingual("Can I send the request again?", "Posso enviar a requisição de novo?");
const REASONS: Bilingual = Bilingual("Reasons", "Motivos (reason)");
const EXAMPLE: Bilingual = Bilingual("Example", "Exemplo");

/// The pages and their style sheet. The style sheet must come before `{slug}`, which would match its name.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/problems")
                .route(web::get().to(index))
                .route(web::head().to(index))
                .default_service(web::to(|| method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/problems/pages.css")
                .route(web::get().to(style))
                .route(web::head().to(style))
                .default_service(web::to(|| method_not_allowed("GET, HEAD"))),
        )
        .service(
            web::resource("/problems/{slug}")
                .route(web::get().to(page))
                .route(web::head().to(page))
                .default_service(web::to(|| method_not_allowed("GET, HEAD"))),
        );
}

pub(crate) async fn index(request: HttpRequest) -> HttpResponse {
    let language = negotiate(&request);
    answer(language, index_html(language))
}

pub(crate) async fn page(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Problem> {
    let language = negotiate(&request);
    match Kind::ALL.into_iter().find(|kind| kind.slug() == path.as_str()) {
        Some(kind) => Ok(answer(language, page_html(kind, language))),
        None => Err(Problem::new(
            Kind::NotFound,
            "There is no problem type with this name. The page /problems lists all types.",
        )),
    }
}

pub(crate) async fn style(request: HttpRequest) -> Result<HttpResponse, Problem> {
    STYLE.answer(&request)
}

fn answer(language: Language, html: String) -> HttpResponse {
    add_security_headers(&mut HttpResponse::Ok())
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_LANGUAGE, language.tag()))
        .insert_header((VARY, "Accept-Language"))
        .body(html)
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(character),
        }
    }
    safe
}

/// A complete page. `content` is HTML.
fn html(language: Language, title: &str, style: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"stylesheet\" href=\"{}\">\n</head>\n\
         <body>\n<main>\n{content}</main>\n</body>\n</html>\n",
        language.tag(),
        escape(title),
        escape(style),
    )
}

fn heading(words: &Bilingual, language: Language) -> String {
    format!("<h2>{}</h2>\n", escape(words.in_language(language)))
}

fn index_html(language: Language) -> String {
    let title = ALL_TYPES.in_language(language);
    let mut content =
        format!("<h1>{}</h1>\n<p>{}</p>\n<ul>\n", escape(title), escape(INTRODUCTION.in_language(language)));
    for kind in Kind::ALL {
        content.push_str(&format!(
            "<li><span class=\"status\">{}</span> <a href=\"problems/{slug}\">{}</a> <code>{slug}</code></li>\n",
            kind.status().as_u16(),
            escape(&language.translate(kind.title())),
            slug = escape(kind.slug()),
        ));
    }
    content.push_str("</ul>\n");
    html(language, title, "problems/pages.css", &content)
}

fn page_html(kind: Kind, language: Language) -> String {
    let (title, text) = (language.translate(kind.title()), explanations::explain(kind));
    let mut content = format!(
        "<p><a href=\"../problems\">{}</a></p>\n<h1>{}</h1>\n\
         <p><span class=\"status\">{}</span> <code>/problems/{}</code></p>\n<p>{}</p>\n{}<ul>\n",
        escape(ALL_TYPES.in_language(language)),
        escape(&title),
        escape(&kind.status().to_string()),
        escape(kind.slug()),
        escape(text.meaning.in_language(language)),
        heading(&WHAT_TO_DO, language),
    );
    for advice in text.advice {
        content.push_str(&format!("<li>{}</li>\n", escape(advice.in_language(language))));
    }
    let again = escape(text.retry.text().in_language(language));
    content.push_str(&format!("</ul>\n{}<p>{again}</p>\n", heading(&AGAIN, language)));
    let reasons = reasons(kind);
    if !reasons.is_empty() {
        content.push_str(&format!("{}<dl>\n", heading(&REASONS, language)));
        for (reason, words) in reasons {
            let words = escape(&language.translate(&words));
            content.push_str(&format!("<dt><code>{}</code></dt><dd>{words}</dd>\n", escape(reason)));
        }
        content.push_str("</dl>\n");
    }
    let shown = escape(&render_example(&example(kind), language));
    content.push_str(&format!("{}<pre><code>{shown}</code></pre>\n", heading(&EXAMPLE, language)));
    html(language, &title, "pages.css", &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::App;
    use actix_web::http::header::ACCEPT_LANGUAGE;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};

    #[test]
    fn every_problem_type_has_a_page_with_its_status_title_and_example() {
        for language in Language::ALL {
            let index = index_html(language);
            for kind in Kind::ALL {
                let (title, page) = (escape(&language.translate(kind.title())), page_html(kind, language));
                assert!(
                    page.contains(&format!("<title>{title}</title>")) && page.contains(&format!("<h1>{title}</h1>"))
                );
                assert!(page.contains(&format!("<span class=\"status\">{}</span>", kind.status())), "{page}");
                let line =
                    format!("{}</span> <a href=\"problems/{}\">{title}</a>", kind.status().as_u16(), kind.slug());
                assert!(index.contains(&line), "{index}");
                assert!(!page.contains("style=") && !page.contains("<script"));
            }
        }
    }

    #[test]
    fn every_explanation_has_a_text_in_both_languages() {
        let differs = |text: &Bilingual| {
            assert!(text.0 != text.1 && text.0.ends_with('.') && text.1.ends_with('.'), "{} {}", text.0, text.1);
            assert!(!text.0.contains("  ") && !text.1.contains("  "), "{} {}", text.0, text.1);
        };
        for kind in Kind::ALL {
            let text = explanations::explain(kind);
            assert!(!text.advice.is_empty());
            differs(&text.meaning);
            differs(&text.retry.text());
            text.advice.iter().for_each(differs);
        }
    }

    #[test]
    fn texts_in_a_page_are_escaped() {
        assert_eq!(escape("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
        assert!(page_html(Kind::Validation, Language::English).contains("&quot;pointer&quot;: &quot;/name&quot;"));
    }

    #[test]
    fn pages_are_in_the_language_of_the_caller() {
        actix_web::rt::System::new().block_on(async {
            let service = init_service(App::new().configure(routes)).await;
            let get = |path: &str, language: &str| {
                TestRequest::get().uri(path).insert_header((ACCEPT_LANGUAGE, language)).to_request()
            };
            for (path, language, tag, part) in [
                ("/problems", "en", "en", "<h1>Problem types</h1>"),
                ("/problems", "pt-PT", "pt-BR", "<h1>Tipos de problema</h1>"),
                ("/problems/not-found", "de", "en", "<h1>Not found</h1>"),
                ("/problems/not-found", "pt", "pt-BR", "<h1>Não encontrado</h1>"),
            ] {
                let answer = call_service(&service, get(path, language)).await;
                let header = |name| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
                assert_eq!((answer.status().as_u16(), header("content-language")), (200, tag.into()));
                assert_eq!(
                    (header("vary"), header("x-content-type-options")),
                    ("Accept-Language".into(), "nosniff".into())
                );
                assert_eq!(header("content-type"), "text/html; charset=utf-8");
                let body = String::from_utf8(read_body(answer).await.to_vec()).unwrap();
                assert!(body.contains(part) && body.contains(&format!("<html lang=\"{tag}\">")), "{body}");
            }
            let answer = call_service(&service, get("/problems/pages.css", "pt")).await;
            assert_eq!(answer.headers().get("content-type").unwrap(), "text/css; charset=utf-8");
            for (request, status) in [
                (get("/problems/none", "en"), 404),
                (TestRequest::post().uri("/problems").to_request(), 405),
                (TestRequest::delete().uri("/problems/internal").to_request(), 405),
                (TestRequest::with_uri("/problems/internal").method(actix_web::http::Method::HEAD).to_request(), 200),
            ] {
                assert_eq!(call_service(&service, request).await.status().as_u16(), status);
            }
        });
    }
}
