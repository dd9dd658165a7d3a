//! The runbook as a page: `docs/OPERATIONS.md` and `docs/DEAD-LETTERS.md`, as they were when the program was built.

use super::problem::{self, Problem};
use actix_web::HttpResponse;
use actix_web::web::{self, Path, ServiceConfig};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use std::sync::OnceLock;

/// A document of the runbook.
struct Document {
    /// The path below `/console/`.
    name: &'static str,
    /// The file, as other documents link it.
    file: &'static str,
    text: &'static str,
    html: OnceLock<String>,
}

static DOCUMENTS: [Document; 2] = [
    Document {
        name: "runbook",
        file: "OPERATIONS.md",
        text: include_str!("../../docs/OPERATIONS.md"),
        html: OnceLock::new(),
    },
    Document {
        name: "runbook-dead-letters",
        file: "DEAD-LETTERS.md",
        text: include_str!("../../docs/DEAD-LETTERS.md"),
        html: OnceLock::new(),
    },
];

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/{document:runbook[a-z-]*}", web::get().to(document));
}

async fn document(name: Path<String>) -> Result<HttpResponse, Problem> {
    match DOCUMENTS.iter().find(|document| document.name == *name) {
        Some(document) => {
            let html = document.html.get_or_init(|| render(document.text));
            Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html.as_str()))
        }
        None => problem::not_found().await,
    }
}

/// A page. Its headings have the ids that GitHub gives them, so that its links work in both places.
fn render(markdown: &str) -> String {
    let mut title = String::new();
    let mut events: Vec<Event<'_>> = Vec::new();
    // The heading that is open, and the links that are open: whether each leads somewhere.
    let (mut heading, mut links): (Option<usize>, Vec<bool>) = (None, Vec::new());
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(events.len()),
            Event::End(TagEnd::Heading(_)) => {
                let start = heading.take().unwrap_or_default();
                let text: String = events.get(start..).unwrap_or_default().iter().filter_map(text_of).collect();
                if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(start) {
                    *id = Some(anchor(&text).into());
                }
                if title.is_empty() {
                    title = text;
                }
            }
            Event::Start(Tag::Link { ref dest_url, .. }) => {
                let target = served(dest_url);
                links.push(target.is_some());
                let Some(target) = target else { continue };
                let Event::Start(Tag::Link { link_type, title, id, .. }) = event else { continue };
                events.push(Event::Start(Tag::Link { link_type, dest_url: target, title, id }));
                continue;
            }
            // The text of a link that leads to no served document stays.
            Event::End(TagEnd::Link) if links.pop() == Some(false) => continue,
            _ => {}
        }
        events.push(event);
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    // Long tables and long lines scroll by themselves. Only then they need the keyboard.
    let body =
        body.replace("<table>", "<div class=\"table\" tabindex=\"0\"><table>").replace("</table>", "</table></div>");
    let body = body.replace("<pre>", "<pre tabindex=\"0\">");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"assets/console.css\">\n</head>\n<body class=\"runbook\">\n\
         <header><a href=\"./\">contacts console</a></header>\n<main>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}

fn text_of<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// The id of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Where a link leads here. `None`: to a document that is not served. The page loads nothing from elsewhere, but an
/// operator may follow a link to another site.
fn served<'a>(link: &str) -> Option<CowStr<'a>> {
    if link.starts_with('#') || link.starts_with("https://") {
        return Some(link.to_owned().into());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let document = DOCUMENTS.iter().find(|document| document.file == file)?;
    Some(if anchor.is_empty() { document.name.into() } else { format!("{}#{anchor}", document.name).into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The values of an attribute.
    fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
        let begin = format!(" {name}=\"");
        html.split(begin.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
    }

    #[test]
    fn every_link_of_the_runbook_leads_to_a_section_or_another_site() {
        let pages: Vec<(&str, String)> = DOCUMENTS.iter().map(|one| (one.name, render(one.text))).collect();
        let mut inner = 0;
        for (name, page) in &pages {
            for link in attributes(page, "href") {
                if link == "./" || link.starts_with("https://") || link.starts_with("assets/") {
                    continue;
                }
                let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if target.is_empty() { name } else { target };
                let (_, html) =
                    pages.iter().find(|(name, _)| *name == target).unwrap_or_else(|| panic!("{name}: {link}"));
                let ids: BTreeSet<&str> = attributes(html, "id").into_iter().collect();
                assert!(anchor.is_empty() || ids.contains(anchor), "{name}: {link}");
                inner += 1;
            }
        }
        assert!(inner > 30, "{inner}");
    }

    #[test]
    fn a_page_has_no_style_and_no_script_of_its_own() {
        for document in &DOCUMENTS {
            let page = render(document.text);
            assert!(
                !page.contains(" style=") && !page.contains("<script") && !page.contains("<img"),
                "{}",
                document.file
            );
        }
    }

    #[test]
    fn headings_have_the_ids_of_github() {
        let page = render("# Reading `/readyz`\n\n[a](#b) [c](OTHER.md) [d](DEAD-LETTERS.md#e)\n");
        assert!(page.contains("<h1 id=\"reading-readyz\">Reading <code>/readyz</code></h1>"), "{page}");
        assert!(page.contains("<a href=\"#b\">a</a> c <a href=\"runbook-dead-letters#e\">d</a>"), "{page}");
        assert!(page.contains("<title>Reading /readyz</title>"));
    }
}
