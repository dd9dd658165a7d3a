//! The Portuguese of every text for people that a problem can hold, keyed by the English that the code is written in.
//!
//! The rule this file keeps: a text that is not here is answered in English, never refused; a test reads the sources
//! for texts that are missing. Codes, names of fields and of headers stay as they are. It must not know where a text
//! stands.

use std::borrow::Cow;

/// English and Portuguese, whole texts. Those in lower case are said of a field, or become a sentence.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    // Titles of the kinds.
    ("The request is not valid", "A requisição não é válida"),
    ("The body is not JSON", "O corpo não é JSON"),
    ("The Idempotency-Key was used for another request", "A Idempotency-Key já foi usada em outra requisição"),
    ("The contact has another version", "O contato está em outra versão"),
    ("The contact exists already", "O contato já existe"),
    ("The contact was deleted", "O contato foi excluído"),
    ("The change could not be applied", "A alteração não pôde ser aplicada"),
    ("Not found", "Não encontrado"),
    ("The method is not allowed here", "O método não é permitido aqui"),
    ("Nothing that you accept is served here", "Nada do que você aceita é servido aqui"),
    ("The body is too large", "O corpo é grande demais"),
    ("The path and query are too long", "O caminho e a consulta são longos demais"),
    ("The headers are too large", "Os cabeçalhos são grandes demais"),
    ("The body has a type that is not taken here", "O corpo é de um tipo que não é aceito aqui"),
    ("The body did not arrive in time", "O corpo não chegou a tempo"),
    ("A valid key or token is needed", "É necessária uma chave ou um token válido"),
    ("The key or token does not allow this", "A chave ou o token não permite isso"),
    ("Too many requests", "Requisições demais"),
    ("The change was not accepted", "A alteração não foi aceita"),
    ("The data cannot be read at the moment", "Os dados não podem ser lidos no momento"),
    ("Something went wrong here", "Algo deu errado do nosso lado"),

    // Whole requests.
    ("Send the whole body at once.", "Envie o corpo inteiro de uma vez."),
    ("The body ended before it was complete.", "O corpo terminou antes de estar completo."),
    ("The key or token that was sent is not known here, or not valid any more.",
     "A chave ou o token enviado não é conhecido aqui, ou não vale mais."),
    ("cannot be read as contacts", "não pode ser lido como contatos"),
    ("Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
     "Envie uma chave como `Authorization: Bearer CHAVE` ou `X-API-Key: CHAVE`."),
    ("There is nothing at this path; the API begins at /contacts.",
     "Não há nada neste caminho; a API começa em /contacts."),
    ("There is no contact with this id, or it was deleted, or its create is not applied yet.",
     "Não há contato com este id, ou ele foi excluído, ou a sua criação ainda não foi aplicada."),
    ("There is no operation with this id, or it ended so long ago that it is not remembered.",
     "Não há operação com este id, ou ela terminou há tanto tempo que já não é lembrada."),
    ("There is no problem type of this name; /problems lists all.",
     "Não há tipo de problema com este nome; /problems lista todos."),
    ("This key belongs to an earlier request that asked for something else: use a new key for a new request.",
     "Esta chave pertence a uma requisição anterior que pediu outra coisa: para uma requisição nova, use outra chave."),
    ("The version named by If-Match is not the current one: read the contact again and decide anew.",
     "A versão indicada em If-Match não é a atual: leia o contato de novo e reconsidere a alteração."),
    ("If-Match needs a strong ETag; ours do not begin with W/.",
     "If-Match exige uma ETag forte; as nossas não começam com W/."),
    ("The database does not answer. Changes may still be accepted.",
     "O banco de dados não responde. Alterações talvez ainda sejam aceitas."),
    ("Send `Content-Type: application/x-ndjson`, `text/csv` or `text/vcard`.",
     "Envie `Content-Type: application/x-ndjson`, `text/csv` ou `text/vcard`."),
    ("Accept application/x-ndjson, text/csv or text/vcard.", "Aceite application/x-ndjson, text/csv ou text/vcard."),
    ("Two exports run already: ask again when one has ended.",
     "Já há duas exportações em andamento: peça de novo quando uma tiver terminado."),
    ("The data cannot be read by this version.", "Os dados não podem ser lidos por esta versão."),
    ("This is more than one caller may ask for.", "Isso é mais do que um cliente pode pedir."),
    ("Too many wrong keys came from this address.", "Vieram chaves erradas demais deste endereço."),
    ("It is not known who calls.", "Não se sabe quem fez a requisição."),
    ("There is no such file; the description of the API is at /docs.",
     "Não há esse arquivo; a descrição da API está em /docs."),
    ("This file is kept as gzip, which is refused.", "Este arquivo só existe em gzip, que foi recusado."),

    // Fields, parameters and headers.
    ("is required", "é obrigatório"),
    ("must not be empty", "não pode ficar vazio"),
    ("must be a string", "deve ser um texto (string)"),
    ("must be a UUID", "deve ser um UUID"),
    ("must be sent once", "deve ser enviado uma só vez"),
    ("must be sent once, in plain ASCII", "deve ser enviado uma só vez, em ASCII puro"),
    ("must be one ETag of this contact in double quotes, or *",
     "deve ser uma ETag deste contato entre aspas duplas, ou *"),
    ("must be an object with name, phone and email", "deve ser um objeto com name, phone e email"),
    ("must be a cursor from the `next` of an earlier page", "deve ser um cursor do `next` de uma página anterior"),
    ("must be a cursor from the `next` of a page with the same filters",
     "deve ser um cursor do `next` de uma página com os mesmos filtros"),
    ("is not a parameter: there is none here", "não é um parâmetro; aqui não há nenhum"),
    ("must not contain control characters or line breaks",
     "não pode conter caracteres de controle nem quebras de linha"),
    ("must be an e-mail address, such as ana@example.com", "deve ser um endereço de e-mail, como ana@example.com"),
    ("must be a Brazilian phone number with its area code, such as (11) 98765-4321 or +55 11 98765-4321",
     "deve ser um telefone brasileiro com DDD, como (11) 98765-4321 ou +55 11 98765-4321"),
    ("must belong to an area code: 0800, 0300 and 4004 numbers are refused",
     "deve pertencer a um DDD: números 0800, 0300 e 4004 são recusados"),
    ("must have, after the area code, 9 digits that begin with 9 (mobile) or 8 that begin with 2 to 5 (landline)",
     "deve ter, depois do DDD, 9 dígitos que começam por 9 (celular) ou 8 que começam por 2 a 5 (fixo)"),
    ("must be a Brazilian number: the country code is +55", "deve ser um número do Brasil: o código do país é +55"),
    ("must be an area code (DDD) of two digits, such as 11", "deve ser um DDD de dois dígitos, como 11"),
    ("is not one of Brazil's 67 area codes (DDD), such as 11 or 85", "não é um dos 67 DDDs do Brasil, como 11 ou 85"),

    ("must be true or false", "deve ser true ou false"),
    ("must be ndjson, csv, vcard or vcard3", "deve ser ndjson, csv, vcard ou vcard3"),

    // Files, and their records.
    ("belongs to an earlier import that had another contact in this line",
     "pertence a uma importação anterior que tinha outro contato nesta linha"),
    ("The service is shutting down: send the rest again, with the same Idempotency-Key.",
     "O serviço está sendo encerrado: envie o resto de novo, com a mesma Idempotency-Key."),
    ("The body cannot be read.", "O corpo não pode ser lido."),
    ("The queue takes no changes now: send the rest again later, with the same Idempotency-Key.",
     "A fila não recebe alterações agora: envie o resto de novo mais tarde, com a mesma Idempotency-Key."),
    ("The body did not go on in time.", "O corpo não continuou a tempo."),
    ("must have at most 64 KiB", "deve ter no máximo 64 KiB"),
    ("must be encoded as UTF-8", "deve estar codificado em UTF-8"),
    ("must be in UTF-8, not in another charset", "deve estar em UTF-8, não em outro conjunto de caracteres"),
    ("must be plain text, not QUOTED-PRINTABLE or BASE64", "deve ser texto puro, não QUOTED-PRINTABLE nem BASE64"),
    ("must be a JSON object with name, phone and email, all on one line",
     "deve ser um objeto JSON com name, phone e email, todo em uma linha"),
    ("must be a vCard of version 3.0 or 4.0", "deve ser um vCard da versão 3.0 ou 4.0"),
    ("must be within BEGIN:VCARD and END:VCARD", "deve estar entre BEGIN:VCARD e END:VCARD"),
    ("must end with END:VCARD", "deve terminar com END:VCARD"),
    ("must consist of lines such as NAME:value; a folded line goes on after a blank",
     "deve consistir em linhas como NOME:valor; uma linha dobrada continua depois de um espaço"),
    ("must be a global number, such as tel:+55-11-98765-4321", "deve ser um número global, como tel:+55-11-98765-4321"),
    ("There is no header line.", "Não há linha de cabeçalho."),
    ("A quote is opened here and not closed before the end.", "Aspas são abertas aqui e não são fechadas até o fim."),
    ("A record may have 64 KiB and 1024 cells at most; perhaps a quote is not closed.",
     "Um registro pode ter no máximo 64 KiB e 1024 células; talvez aspas não tenham sido fechadas."),

    // Why a command failed.
    ("another operation created a contact with this id", "outra operação criou um contato com este id"),
    ("no contact with this id was created", "nenhum contato com este id foi criado"),
    ("the contact was deleted", "o contato foi excluído"),
    ("the version named by If-Match is not the current one", "a versão indicada em If-Match não é a atual"),
    ("it is older than what is remembered of ended operations, so it may have taken effect before",
     "é mais antiga do que o que se guarda de operações terminadas, portanto pode já ter tido efeito"),
    ("the body is not a message of this system", "o corpo não é uma mensagem deste sistema"),
    ("this version of the program does not know the message's schema number",
     "esta versão do programa não conhece o número de esquema da mensagem"),
    ("this version of the program does not know the operation", "esta versão do programa não conhece a operação"),
    ("a value breaks a rule that contacts must keep", "um valor viola uma regra que os contatos devem cumprir"),
    ("the database refused the data of this command", "o banco de dados recusou os dados deste comando"),
    ("applying the command failed inside the program", "a aplicação do comando falhou dentro do programa"),
    ("the message was handed out too often without an answer", "a mensagem foi entregue vezes demais sem resposta"),

    // Why a change was not accepted, and what to do.
    ("too many messages are waiting to be published", "há mensagens demais à espera de publicação"),
    ("the broker refuses messages while its memory or disk alarm is on",
     "o broker recusa mensagens enquanto o seu alarme de memória ou de disco está ativo"),
    ("there is no connection to the broker", "não há conexão com o broker"),
    ("the broker did not confirm in time", "o broker não confirmou a tempo"),
    ("the broker has no queue for the message", "o broker não tem fila para a mensagem"),
    ("the broker refused the message", "o broker recusou a mensagem"),
    ("the service is shutting down", "o serviço está sendo encerrado"),
    ("It is not known whether the change will be applied: send it again with the same Idempotency-Key.",
     "Não se sabe se a alteração será aplicada: envie-a de novo com a mesma Idempotency-Key."),
    ("Send it again later, with the same Idempotency-Key.", "Envie-a de novo mais tarde, com a mesma Idempotency-Key."),
];

/// Texts with values in them; each `{}` is carried over as it is.
#[rustfmt::skip]
const PATTERNS: &[(&str, &str)] = &[
    ("Not valid: {}.", "Inválido: {}."),
    ("The header line has no column for: {}. Name the column to use; there are: {}.",
     "A linha de cabeçalho não tem coluna para: {}. Indique a coluna a usar; há: {}."),
    ("At line {} column {}: not valid JSON.", "Na linha {}, coluna {}: não é JSON válido."),
    ("The body may have at most {} bytes.", "O corpo pode ter no máximo {} bytes."),
    ("This path takes {}.", "Este caminho aceita {}."),
    ("The path and query may have {} bytes.", "O caminho e a consulta podem ter {} bytes."),
    ("All headers together may have {} bytes.", "Todos os cabeçalhos juntos podem ter {} bytes."),
    ("This needs the scope {}, which the key or token lacks.",
     "Isso exige o escopo {}, que falta à chave ou ao token."),
    ("Try again in {} s.", "Tente de novo em {} s."),
    ("must be names with commas between them: {}", "deve ser uma lista de nomes separados por vírgulas: {}"),
    ("Send `{}`.", "Envie `{}`."),
    ("is not a field of a contact: {}", "não é um campo de contato; os campos são: {}"),
    ("is not a parameter: {}", "não é um parâmetro; os parâmetros são: {}"),
    ("is not a state (UF): {}", "não é uma UF; as UFs são: {}"),
    ("is not a region: {}", "não é uma região; as regiões são: {}"),
    ("must have at most {} characters", "deve ter no máximo {} caracteres"),
    ("must have at most {} bytes", "deve ter no máximo {} bytes"),
    ("must have {} to {} characters", "deve ter de {} a {} caracteres"),
    ("must be a whole number from {} to {}", "deve ser um número inteiro de {} a {}"),
];

/// The Portuguese of a text: of a whole one, of one with values, of words made a sentence, or of two sentences.
pub(super) fn portuguese(english: &str) -> Option<Cow<'static, str>> {
    one(english).or_else(|| {
        let (first, second) = english.split_once(". ")?;
        Some(format!("{} {}", one(&format!("{first}."))?, one(second)?).into())
    })
}

fn one(english: &str) -> Option<Cow<'static, str>> {
    whole(english)
        .map(Cow::Borrowed)
        .or_else(|| PATTERNS.iter().find_map(|(from, to)| filled(english, from, to)).map(Cow::Owned))
        .or_else(|| {
            let words = with_first(english.strip_suffix('.')?, char::to_ascii_lowercase);
            Some(format!("{}.", with_first(whole(&words)?, char::to_ascii_uppercase)).into())
        })
}

fn whole(english: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(from, _)| *from == english).map(|(_, to)| *to)
}

/// A text with its first letter changed; none of ours begins with an accent.
fn with_first(text: &str, change: impl Fn(&char) -> char) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| change(&first)).into_iter().chain(letters).collect()
}

/// The translation of a pattern, with what a text has in the places of its `{}`; nothing if it is no such text.
fn filled(text: &str, from: &str, to: &str) -> Option<String> {
    let (first, from) = from.split_once("{}")?;
    let (from, last) = from.rsplit_once("{}").map_or((None, from), |(middle, last)| (Some(middle), last));
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut values = Vec::new();
    for between in from.into_iter().flat_map(|middle| middle.split("{}")) {
        let (value, after) = rest.split_once(between)?;
        values.push(value);
        rest = after;
    }
    values.push(rest);
    // Put between the pieces, as a value may have braces, too.
    let mut pieces = to.split("{}");
    let mut translated = pieces.next()?.to_owned();
    for (value, piece) in values.into_iter().zip(pieces) {
        translated.push_str(value);
        translated.push_str(piece);
    }
    Some(translated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AreaCode, Email, Invalid, Name, NameKey, Phone, Reason, Region, State};
    use crate::producer::problems::{Kind, Problem};
    use crate::queue::PublishError;
    use std::path::{Path, PathBuf};

    #[test]
    fn every_text_is_translated_once_and_to_something_else() {
        for table in [TEXTS, PATTERNS] {
            for (from, to) in table {
                assert_eq!(table.iter().filter(|(other, _)| other == from).count(), 1, "{from}");
                assert_eq!(from.matches("{}").count(), to.matches("{}").count(), "{from}");
                assert!(from != to && from.ends_with('.') == to.ends_with('.'), "{from}");
            }
        }
    }

    #[test]
    fn every_refusal_of_the_domain_has_a_portuguese_text() {
        let (long, address) = ("x".repeat(101), format!("a@{}.com", "b".repeat(260)));
        let names = ["", &long, &"x".repeat(2000), "a\nb"];
        let phones = ["", "x", "0800 123 4567", "20 98765-4321", "11 88765-4321", "+1 212 555 0123", "aa 98765-4321"];
        let mut refusals: Vec<Invalid> = Vec::new();
        refusals.extend(names.iter().filter_map(|text| Name::parse(text).err()));
        refusals.extend(names.iter().filter_map(|text| NameKey::prefix(text).err()));
        refusals.extend(phones.iter().filter_map(|text| Phone::parse(text).err()));
        refusals.extend(["", "ana", &address].iter().filter_map(|text| Email::parse(text).err()));
        refusals.extend(["1", "20"].iter().filter_map(|text| AreaCode::parse(text).err()));
        refusals.extend(State::parse("XX").err());
        refusals.extend(Region::parse("Leste").err());
        let mut texts: Vec<&str> = refusals.iter().map(|invalid| invalid.detail).collect();
        texts.sort_unstable();
        texts.dedup();
        assert!(texts.len() >= 13, "{texts:#?}");
        for text in texts {
            assert!(portuguese(text).is_some(), "{text}");
        }
    }

    #[test]
    fn every_reason_title_and_failure_to_publish_has_a_portuguese_text() {
        for reason in Reason::ALL {
            assert!(portuguese(reason.sentence()).is_some(), "{reason:?}");
            assert_translated(&Problem::failed(*reason));
        }
        for kind in Kind::ALL {
            assert!(portuguese(kind.title()).is_some(), "{kind:?}");
        }
        for error in PublishError::ALL {
            assert_translated(&error.into());
        }
        assert_translated(&Problem::unauthorized(false));
        assert_translated(&Problem::unauthorized(true));
        assert_translated(&Problem::reads_unavailable());
    }

    fn assert_translated(problem: &Problem) {
        let text = problem.to_string();
        let detail = text.strip_prefix(problem.kind().title()).unwrap().strip_prefix(": ").unwrap();
        assert!(portuguese(detail).is_some(), "{detail}");
    }

    #[test]
    fn values_are_carried_over() {
        for (english, expected) in [
            ("Not valid: name, {}, a. b.", "Inválido: name, {}, a. b."),
            ("At line 1 column 22: not valid JSON.", "Na linha 1, coluna 22: não é JSON válido."),
            ("must have 1 to 255 characters", "deve ter de 1 a 255 caracteres"),
            ("The contact was deleted.", "O contato foi excluído."),
            (
                "The service is shutting down. Send it again later, with the same Idempotency-Key.",
                "O serviço está sendo encerrado. Envie-a de novo mais tarde, com a mesma Idempotency-Key.",
            ),
        ] {
            assert_eq!(portuguese(english).as_deref(), Some(expected));
        }
        for english in ["", ".", "x", "Not valid: ", "not known. Send it again later, with the same Idempotency-Key."] {
            assert_eq!(portuguese(english), None, "{english}");
        }
    }

    /// The string literals of some code, and `7` for each value of a format.
    fn literals(code: &str) -> Vec<String> {
        let (mut found, mut letters) = (Vec::new(), code.chars().peekable());
        while letters.by_ref().any(|letter| letter == '"') {
            let mut text = String::new();
            while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                match letter {
                    '\\' if letters.peek() == Some(&'\n') => while letters.next_if(|l| l.is_whitespace()).is_some() {},
                    '\\' => text.extend(letters.next()),
                    '{' => {
                        letters.by_ref().find(|letter| *letter == '}');
                        text.push('7');
                    }
                    _ => text.push(letter),
                }
            }
            found.push(text);
        }
        found
    }

    /// What follows, up to the parenthesis or brace that ends it.
    fn arguments(code: &str) -> &str {
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        let end = code.find(|letter| {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '(' | '{' if !quoted => depth += 1,
                ')' | '}' if !quoted => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        &code[..end.unwrap()]
    }

    /// What stands before a text for people.
    const STARTS: [&str; 9] = [
        "Problem::new(",
        "Problem::field(",
        "Self::new(Kind::",
        "Invalid::new(",
        "Invalid {",
        "::reads_unavailable_because(",
        " ending(",
        ".stopped(",
        ".refusal(",
    ];

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_text_written_in_the_sources_has_a_portuguese_one() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut missing, mut seen) = (Vec::new(), 0);
        for folder in ["producer", "domain", "formats"] {
            // `openapi/checks.rs` is a test.
            let is_test = |path: &PathBuf| path.ends_with("openapi/checks.rs");
            for path in files_below(&source.join(folder)).into_iter().filter(|path| !is_test(path)) {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                for start in STARTS {
                    for (at, _) in code.match_indices(start) {
                        let found = literals(arguments(&code[at + start.len()..]));
                        // Beside the text stand only names and codes.
                        let Some(text) = found.into_iter().filter(|text| text.contains(' ')).max_by_key(String::len)
                        else {
                            continue;
                        };
                        seen += 1;
                        // What stands before is a sentence of its own.
                        if portuguese(text.strip_prefix("7 ").unwrap_or(&text)).is_none() {
                            missing.push(format!("{}: {text}", path.display()));
                        }
                    }
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
        assert!(seen > 35, "{seen}");
    }
}
