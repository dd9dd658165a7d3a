//! The Portuguese translation of every text in a problem. The key is the English text in the code.
//!
//! Rule of this file: a text without a translation is answered in English. A test finds texts in the source code that
//! have no translation. Codes and the names of fields and headers are not translated.

use std::borrow::Cow;

/// Complete texts in English and Portuguese. Texts in lower case follow the name of a field, or become a sentence.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    // Titles of the problem types.
    ("The request is not valid", "A requisição não é válida"),
    ("The body is not valid JSON", "O corpo não é um JSON válido"),
    ("The Idempotency-Key was used for another request", "A Idempotency-Key já foi usada em outra requisição"),
    ("The contact has another version", "O contato está em outra versão"),
    ("The contact already exists", "O contato já existe"),
    ("The contact was deleted", "O contato foi excluído"),
    ("The change could not be applied", "A alteração não pôde ser aplicada"),
    ("Not found", "Não encontrado"),
    ("The path does not support this method", "O caminho não aceita este método"),
    ("None of the accepted formats is available", "Nenhum dos formatos aceitos está disponível"),
    ("The body is too large", "O corpo é grande demais"),
    ("The path and query are too long", "O caminho e a consulta são longos demais"),
    ("The headers are too large", "Os cabeçalhos são grandes demais"),
    ("The media type of the body is not supported", "O tipo de mídia do corpo não é aceito"),
    ("The body did not arrive in time", "O corpo não chegou a tempo"),
    ("A valid key or token is required", "É necessária uma chave ou um token válido"),
    ("The key or token does not have the required scope", "A chave ou o token não tem o escopo necessário"),
    ("Too many requests", "Requisições demais"),
    ("The change was not accepted", "A alteração não foi aceita"),
    ("The data cannot be read now", "Os dados não podem ser lidos agora"),
    ("The cursor has expired", "O cursor expirou"),
    ("Internal error of the service", "Erro interno do serviço"),

    // The request as a whole.
    ("Send the whole body at once.", "Envie o corpo inteiro de uma vez."),
    ("The body ended before it was complete.", "O corpo terminou antes de estar completo."),
    ("The key or token is unknown or no longer valid.", "A chave ou o token é desconhecido ou já não é válido."),
    ("cannot be read as contacts", "não pode ser lido como contatos"),
    ("Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
     "Envie uma chave como `Authorization: Bearer CHAVE` ou `X-API-Key: CHAVE`."),
    ("Without API keys the service answers only requests for localhost. Set http.api_keys, or http.allow_anonymous if a \
      proxy on this machine authenticates the callers.",
     "Sem chaves de API, o serviço responde somente a requisições para localhost. Defina http.api_keys, ou \
      http.allow_anonymous se um proxy nesta máquina autentica quem chama."),
    ("This path does not exist. The API begins at /contacts.", "Este caminho não existe. A API começa em /contacts."),
    ("There is no contact with this id. Perhaps it was deleted, or its create is not applied yet.",
     "Não há contato com este id. Talvez ele tenha sido excluído, ou a sua criação ainda não tenha sido aplicada."),
    ("This service has never made this operation id.", "Este serviço nunca criou este id de operação."),
    ("There is no problem type with this name. The page /problems lists all types.",
     "Não há tipo de problema com este nome. A página /problems lista todos os tipos."),
    ("This key belongs to an earlier request that was different. Use a new key for a new request.",
     "Esta chave pertence a uma requisição anterior que era diferente. Use uma chave nova para uma requisição nova."),
    ("If-Match names a version that is not the current one. Read the contact again before you repeat the change.",
     "If-Match indica uma versão que não é a atual. Leia o contato de novo antes de repetir a alteração."),
    ("If-Match needs a strong ETag. The ETags of this API never begin with W/.",
     "If-Match exige uma ETag forte. As ETags desta API nunca começam com W/."),
    ("The database does not answer. Changes may still be accepted.",
     "O banco de dados não responde. O serviço ainda pode aceitar alterações."),
    ("Send `Content-Type: application/x-ndjson`, `text/csv` or `text/vcard`.",
     "Envie `Content-Type: application/x-ndjson`, `text/csv` ou `text/vcard`."),
    ("Send the file in UTF-8, or a CSV or vCard also in Windows-1252.",
     "Envie o arquivo em UTF-8, ou um CSV ou vCard também em Windows-1252."),
    ("Accept application/x-ndjson, text/csv or text/vcard.", "Aceite application/x-ndjson, text/csv ou text/vcard."),
    ("Two exports are already running. Try again later.",
     "Já há duas exportações em andamento. Tente de novo mais tarde."),
    ("There are as many streams of changes as this process allows. Try again later, or read pages.",
     "Já há tantos fluxos de alterações quantos este processo permite. Tente de novo mais tarde ou leia páginas."),
    ("Changes after this cursor were removed, or the database was restored. Start again: read /changes?after=latest and \
      keep its cursor, then read /contacts/export, then the changes after the cursor.",
     "Alterações após este cursor foram removidas, ou o banco de dados foi restaurado. Comece de novo: leia \
      /changes?after=latest e guarde o cursor, depois leia /contacts/export, depois as alterações após o cursor."),
    ("This version cannot read the data.", "Esta versão não consegue ler os dados."),
    ("This caller sends too many requests.", "Este cliente envia requisições demais."),
    ("This address sent too many invalid keys.", "Este endereço enviou chaves inválidas demais."),
    ("The caller of the request is unknown.", "O autor da requisição é desconhecido."),
    ("This file does not exist. The API reference is at /docs.",
     "Este arquivo não existe. A referência da API está em /docs."),
    ("This file is available only as gzip.", "Este arquivo só está disponível em gzip."),

    // Fields, parameters and headers.
    ("is required", "é obrigatório"),
    ("must not be empty", "não pode ficar vazio"),
    ("must be a string", "deve ser um texto (string)"),
    ("must be a UUID", "deve ser um UUID"),
    ("must be sent once", "deve ser enviado uma só vez"),
    ("must be sent once, in plain ASCII", "deve ser enviado uma só vez, em ASCII puro"),
    ("must be ETags of this contact in double quotes, separated by commas (at most 20), or *",
     "deve conter ETags deste contato entre aspas duplas, separadas por vírgulas (no máximo 20), ou *"),
    ("must be an object with phone, email, name or id", "deve ser um objeto com phone, email, name ou id"),
    ("must have at least one of phone, email, name, id", "deve ter pelo menos um de phone, email, name, id"),
    ("is not a field: phone, email, name, id", "não é um campo. Os campos são: phone, email, name, id"),
    ("must be an object with name, phone and email", "deve ser um objeto com name, phone e email"),
    ("must be `latest`, or a cursor of the change feed", "deve ser `latest` ou um cursor do fluxo de alterações"),
    ("must be a cursor of the change feed", "deve ser um cursor do fluxo de alterações"),
    ("must be contact", "deve ser contact"),
    ("must be a cursor from the `next` of an earlier page", "deve ser um cursor do `next` de uma página anterior"),
    ("must be a cursor from the `next` of a page with the same filters",
     "deve ser um cursor do `next` de uma página com os mesmos filtros"),
    ("is not a parameter: this path has no parameters", "não é um parâmetro: este caminho não tem parâmetros"),
    ("must not contain control characters or line breaks",
     "não pode conter caracteres de controle nem quebras de linha"),
    ("must be an e-mail address, such as ana@example.com", "deve ser um endereço de e-mail, como ana@example.com"),
    ("must be a Brazilian phone number with its area code, such as (11) 98765-4321 or +55 11 98765-4321",
     "deve ser um telefone brasileiro com DDD, como (11) 98765-4321 ou +55 11 98765-4321"),
    ("must belong to an area code: 0800, 0300 and 4004 numbers are refused",
     "deve pertencer a um DDD: números 0800, 0300 e 4004 são recusados"),
    ("must have, after the area code, 9 digits that begin with 9 (mobile) or 8 that begin with 2 to 5 (landline)",
     "deve ter, depois do DDD, 9 dígitos que começam por 9 (celular) ou 8 que começam por 2 a 5 (fixo)"),
    ("must have 9 digits after the area code: since 2016 every mobile number begins with an additional 9",
     "deve ter 9 dígitos depois do DDD: desde 2016 todo celular começa com mais um 9"),
    ("must not have an extension: a contact stores only the number",
     "não pode ter ramal: um contato guarda só o número"),
    ("must not contain characters that change the text direction",
     "não pode conter caracteres que mudam a direção do texto"),
    ("must contain a visible character", "deve conter um caractere visível"),
    ("If-None-Match: * needs a contact that does not exist.",
     "If-None-Match: * exige um contato que não exista."),
    ("must be * in a write; use If-Match", "deve ser * em uma escrita; use If-Match"),
    ("Send the body without a Content-Encoding.", "Envie o corpo sem Content-Encoding."),
    ("must occur once", "deve aparecer uma só vez"),
    ("Send `Content-Type: application/merge-patch+json`, in UTF-8.", "Envie `Content-Type: application/merge-patch+json`, em UTF-8."),
    ("must not be null: every contact has a name and a phone number",
     "não pode ser null: todo contato tem um nome e um telefone"),
    ("must have at least one of name, phone and email", "deve ter pelo menos um entre name, phone e email"),
    ("must be id, name or -updated_at", "deve ser id, name ou -updated_at"),
    ("must be estimated", "deve ser estimated"),
    ("belongs to an earlier import of this record, and its operation failed; use another key",
     "pertence a uma importação anterior deste registro, cuja operação falhou; use outra chave"),
    ("must be phone or email", "deve ser phone ou email"),
    ("The contacts cannot be read now. Send the rest again later, with the same Idempotency-Key.",
     "Não é possível ler os contatos agora. Envie o resto de novo mais tarde, com a mesma Idempotency-Key."),
    ("Send JSON in UTF-8 (RFC 8259 section 8.1).", "Envie o JSON em UTF-8 (RFC 8259, seção 8.1)."),
    ("Another search for a person runs. Send the request again later.",
     "Outra busca por uma pessoa está em andamento. Envie a requisição de novo mais tarde."),
    ("The database or the dead letter queue cannot be used now. An erasure that began is finished by the same request.",
     "O banco de dados ou a fila de mensagens com falha não pode ser usado agora. A mesma requisição termina um apagamento que já \
      começou."),
    ("The search did not finish.", "A busca não terminou."),
    ("A member occurs more than once.", "Um membro aparece mais de uma vez."),
    ("must be a Brazilian number: the country code is +55", "deve ser um número do Brasil: o código do país é +55"),
    ("must be an area code (DDD) of two digits, such as 11", "deve ser um DDD de dois dígitos, como 11"),
    ("is not one of Brazil's 67 area codes (DDD), such as 11 or 85", "não é um dos 67 DDDs do Brasil, como 11 ou 85"),

    ("must be true or false", "deve ser true ou false"),
    ("must be ndjson, csv, vcard or vcard3", "deve ser ndjson, csv, vcard ou vcard3"),

    // Files and their records.
    ("The service is shutting down. Send the rest again, with the same Idempotency-Key.",
     "O serviço está sendo encerrado. Envie o resto de novo, com a mesma Idempotency-Key."),
    ("The body cannot be read.", "O corpo não pode ser lido."),
    ("The queue accepts no changes now. Send the rest again later, with the same Idempotency-Key.",
     "A fila não aceita alterações agora. Envie o resto de novo mais tarde, com a mesma Idempotency-Key."),
    ("The next part of the body did not arrive in time.", "A parte seguinte do corpo não chegou a tempo."),
    ("must have at most 64 KiB", "deve ter no máximo 64 KiB"),
    ("must be encoded as UTF-8", "deve estar codificado em UTF-8"),
    ("must be in UTF-8 or another charset of the WHATWG Encoding Standard",
     "deve estar em UTF-8 ou em outro conjunto de caracteres do WHATWG Encoding Standard"),
    ("must be plain text or QUOTED-PRINTABLE, not BASE64",
     "deve ser texto simples ou QUOTED-PRINTABLE, não BASE64"),
    ("must be a JSON object with name, phone and email, all on one line",
     "deve ser um objeto JSON com name, phone e email, todo em uma linha"),
    ("must be a vCard of version 2.1, 3.0 or 4.0",
     "deve ser um vCard da versão 2.1, 3.0 ou 4.0"),
    ("must be within BEGIN:VCARD and END:VCARD", "deve estar entre BEGIN:VCARD e END:VCARD"),
    ("must end with END:VCARD", "deve terminar com END:VCARD"),
    ("must consist of lines such as NAME:value; a folded line goes on after a blank",
     "deve consistir em linhas como NOME:valor; uma linha dobrada continua depois de um espaço"),
    ("must be a global number, such as tel:+55-11-98765-4321", "deve ser um número global, como tel:+55-11-98765-4321"),
    ("There is no header line.", "Não há linha de cabeçalho."),
    ("A quote is opened here and not closed before the end.", "Aspas são abertas aqui e não são fechadas até o fim."),
    ("A record may have 64 KiB and 1024 cells at most; perhaps a quote is not closed.",
     "Um registro pode ter no máximo 64 KiB e 1024 células; talvez aspas não tenham sido fechadas."),

    // Why an operation failed.
    ("another operation created a contact with this id", "outra operação criou um contato com este id"),
    ("no contact with this id was created", "nenhum contato com este id foi criado"),
    ("the contact was deleted", "o contato foi excluído"),
    ("the version named by If-Match is not the current one", "a versão indicada em If-Match não é a atual"),
    ("it is older than the operations that are still stored, so it may have taken effect before",
     "é mais antiga do que as operações que ainda estão guardadas, portanto pode já ter tido efeito"),
    ("the person was erased after the change was accepted", "a pessoa foi apagada depois que a alteração foi aceita"),
    ("the body is not a message of this system", "o corpo não é uma mensagem deste sistema"),
    ("this version of the program does not know the message's schema number",
     "esta versão do programa não conhece o número de esquema da mensagem"),
    ("this version of the program does not know the operation", "esta versão do programa não conhece a operação"),
    ("a value breaks a rule that contacts must keep", "um valor viola uma regra que os contatos devem cumprir"),
    ("the database refused the data of this command", "o banco de dados recusou os dados deste comando"),
    ("applying the command failed inside the program", "a aplicação do comando falhou dentro do programa"),
    ("the message was delivered too often without an acknowledgement",
     "a mensagem foi entregue vezes demais sem confirmação"),

    // Why the queue did not accept a change, and what to do.
    ("too many messages are waiting to be published", "há mensagens demais à espera de publicação"),
    ("the broker refuses messages while its memory or disk alarm is on",
     "o broker recusa mensagens enquanto o seu alarme de memória ou de disco está ativo"),
    ("there is no connection to the broker", "não há conexão com o broker"),
    ("the broker did not confirm in time", "o broker não confirmou a tempo"),
    ("the broker has no queue for the message", "o broker não tem fila para a mensagem"),
    ("the broker refused the message", "o broker recusou a mensagem"),
    ("the service is shutting down", "o serviço está sendo encerrado"),
    ("The change may still be applied. Send it again, with the same Idempotency-Key.",
     "A alteração ainda pode ser aplicada. Envie-a de novo, com a mesma Idempotency-Key."),
    ("Send it again later, with the same Idempotency-Key.", "Envie-a de novo mais tarde, com a mesma Idempotency-Key."),
];

/// Texts with values. Each `{}` is a value, which is copied.
#[rustfmt::skip]
const PATTERNS: &[(&str, &str)] = &[
    ("Not valid: {}.", "Inválido: {}."),
    ("The header line has no column for: {}. Name the column to use; there are: {}.",
     "A linha de cabeçalho não tem coluna para: {}. Indique a coluna a usar; há: {}."),
    ("At line {} column {}: not valid JSON.", "Na linha {}, coluna {}: não é JSON válido."),
    ("The member {} occurs more than once.", "O membro {} aparece mais de uma vez."),
    ("The body may have at most {} bytes.", "O corpo pode ter no máximo {} bytes."),
    ("This path supports {}.", "Este caminho aceita {}."),
    ("The path and query may have at most {} bytes.", "O caminho e a consulta podem ter no máximo {} bytes."),
    ("All headers together may have at most {} bytes.", "Todos os cabeçalhos juntos podem ter no máximo {} bytes."),
    ("This request needs the scope {}. The key or token does not have it.",
     "Esta requisição exige o escopo {}. A chave ou o token não o tem."),
    ("Try again in {} s.", "Tente de novo em {} s."),
    ("must be names separated by commas: {}", "deve ser uma lista de nomes separados por vírgulas: {}"),
    ("Send `{}`.", "Envie `{}`."),
    ("is not a field of a contact: {}", "não é um campo de contato. Os campos são: {}"),
    ("is not a parameter: {}", "não é um parâmetro. Os parâmetros são: {}"),
    ("is not a state (UF): {}", "não é uma UF. As UFs são: {}"),
    ("is not a region: {}", "não é uma região. As regiões são: {}"),
    ("must have at most {} characters", "deve ter no máximo {} caracteres"),
    ("must have at most {} bytes", "deve ter no máximo {} bytes"),
    ("must have {} to {} characters", "deve ter de {} a {} caracteres"),
    ("must be a whole number from {} to {}", "deve ser um número inteiro de {} a {}"),
];

/// Translates a text: a complete text, a text with values, a sentence made from a text in lower case, or two of these.
pub(super) fn translate(english: &str) -> Option<Cow<'static, str>> {
    translate_sentence(english).or_else(|| {
        let (first, second) = english.split_once(". ")?;
        Some(format!("{} {}", translate_sentence(&format!("{first}."))?, translate_sentence(second)?).into())
    })
}

fn translate_sentence(english: &str) -> Option<Cow<'static, str>> {
    translate_text(english)
        .map(Cow::Borrowed)
        .or_else(|| PATTERNS.iter().find_map(|(from, to)| fill_pattern(english, from, to)).map(Cow::Owned))
        .or_else(|| {
            let words = with_first_letter(english.strip_suffix('.')?, char::to_ascii_lowercase);
            Some(format!("{}.", with_first_letter(translate_text(&words)?, char::to_ascii_uppercase)).into())
        })
}

fn translate_text(english: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(from, _)| *from == english).map(|(_, to)| *to)
}

/// Changes the first letter of a text. No text begins with an accented letter.
fn with_first_letter(text: &str, change: impl Fn(&char) -> char) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| change(&first)).into_iter().chain(characters).collect()
}

/// Translates a text that matches the pattern `from`, and copies the values. Returns `None` if the text does not match.
fn fill_pattern(text: &str, from: &str, to: &str) -> Option<String> {
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
    // Joins pieces and values instead of replacing `{}`, because a value may contain braces, too.
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
    fn every_text_has_one_translation_that_differs_from_it() {
        for table in [TEXTS, PATTERNS] {
            for (from, to) in table {
                assert_eq!(table.iter().filter(|(other, _)| other == from).count(), 1, "{from}");
                assert_eq!(from.matches("{}").count(), to.matches("{}").count(), "{from}");
                assert!(from != to && from.ends_with('.') == to.ends_with('.'), "{from}");
            }
        }
    }

    #[test]
    fn every_invalid_value_of_the_domain_has_a_translation() {
        let (long, address) = ("x".repeat(101), format!("a@{}.com", "b".repeat(260)));
        let names = ["", &long, &"x".repeat(2000), "a\nb"];
        let phones = ["", "x", "0800 123 4567", "20 98765-4321", "11 88765-4321", "+1 212 555 0123", "aa 98765-4321"];
        let mut invalid_values: Vec<Invalid> = Vec::new();
        invalid_values.extend(names.iter().filter_map(|text| Name::parse(text).err()));
        invalid_values.extend(names.iter().filter_map(|text| NameKey::prefix(text).err()));
        invalid_values.extend(phones.iter().filter_map(|text| Phone::parse(text).err()));
        invalid_values.extend(["", "ana", &address].iter().filter_map(|text| Email::parse(text).err()));
        invalid_values.extend(["1", "20"].iter().filter_map(|text| AreaCode::parse(text).err()));
        invalid_values.extend(State::parse("XX").err());
        invalid_values.extend(Region::parse("Leste").err());
        let mut texts: Vec<&str> = invalid_values.iter().map(|invalid| invalid.detail).collect();
        texts.sort_unstable();
        texts.dedup();
        assert!(texts.len() >= 13, "{texts:#?}");
        for text in texts {
            assert!(translate(text).is_some(), "{text}");
        }
    }

    #[test]
    fn every_reason_title_and_publish_error_has_a_translation() {
        for reason in Reason::ALL {
            assert!(translate(reason.sentence()).is_some(), "{reason:?}");
            assert_translated(&Problem::failed(*reason));
        }
        for kind in Kind::ALL {
            assert!(translate(kind.title()).is_some(), "{kind:?}");
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
        assert!(translate(detail).is_some(), "{detail}");
    }

    #[test]
    fn values_are_copied() {
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
            assert_eq!(translate(english).as_deref(), Some(expected));
        }
        for english in ["", ".", "x", "Not valid: ", "not known. Send it again later, with the same Idempotency-Key."] {
            assert_eq!(translate(english), None, "{english}");
        }
    }

    /// The string literals of some code. Each value of a format string becomes `7`.
    fn literals(code: &str) -> Vec<String> {
        let (mut found, mut characters) = (Vec::new(), code.chars().peekable());
        while characters.by_ref().any(|character| character == '"') {
            let mut text = String::new();
            while let Some(character) = characters.next().filter(|character| *character != '"') {
                match character {
                    '\\' if characters.peek() == Some(&'\n') => {
                        while characters.next_if(|l| l.is_whitespace()).is_some() {}
                    }
                    '\\' => text.extend(characters.next()),
                    '{' => {
                        characters.by_ref().find(|character| *character == '}');
                        text.push('7');
                    }
                    _ => text.push(character),
                }
            }
            found.push(text);
        }
        found
    }

    /// The code up to the closing parenthesis or brace.
    fn arguments(code: &str) -> &str {
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        let end = code.find(|character| {
            match character {
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

    /// The code before a text for people.
    const STARTS: [&str; 8] = [
        "Problem::new(",
        "Problem::field(",
        "Self::new(Kind::",
        "Invalid::new(",
        "::reads_unavailable_because(",
        " ending(",
        ".abort(",
        ".too_many_requests(",
    ];

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_text_in_the_source_code_has_a_translation() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut missing, mut seen) = (Vec::new(), 0);
        for folder in ["producer", "domain", "formats"] {
            // `openapi/checks.rs` contains only tests.
            let is_test = |path: &PathBuf| path.ends_with("openapi/checks.rs");
            for path in files_below(&source.join(folder)).into_iter().filter(|path| !is_test(path)) {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                for start in STARTS {
                    for (at, _) in code.match_indices(start) {
                        let found = literals(arguments(&code[at + start.len()..]));
                        // The other literals are names and codes without spaces.
                        let Some(text) = found.into_iter().filter(|text| text.contains(' ')).max_by_key(String::len)
                        else {
                            continue;
                        };
                        seen += 1;
                        // A value at the start is a sentence of its own.
                        if translate(text.strip_prefix("7 ").unwrap_or(&text)).is_none() {
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
