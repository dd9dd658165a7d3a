//! The explanation of each problem type, in English and Portuguese. The pages at `/problems` show them.
//!
//! Rule of this file: every problem type has an explanation, or the code does not compile. No text contains the value
//! of a setting, because it differs between installations.

use crate::producer::language::Language;
use crate::producer::problems::Kind;
use Retry::{AfterOtherChange, ChangeFirst, Wait};

/// A text in English and in Portuguese.
pub(crate) struct Bilingual(pub(crate) &'static str, pub(crate) &'static str);

impl Bilingual {
    pub(crate) const fn in_language(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.0,
            Language::Portuguese => self.1,
        }
    }
}

/// When it makes sense to send the same request again.
#[derive(Clone, Copy)]
pub(crate) enum Retry {
    /// Only after the request was changed.
    ChangeFirst,
    /// After some time.
    Wait,
    /// Only after something else has changed.
    AfterOtherChange,
}

impl Retry {
    pub(crate) const fn text(self) -> Bilingual {
        match self {
            ChangeFirst => Bilingual(
                "No. The same request gets the same answer. Change the request first.",
                "Não. A mesma requisição recebe a mesma resposta. Mude a requisição antes.",
            ),
            Wait => Bilingual(
                "Yes. Wait as long as Retry-After says. If the header is missing, wait a few seconds, and longer after \
                 each try.",
                "Sim. Espere o tempo indicado em Retry-After. Se esse cabeçalho faltar, espere alguns segundos, e mais \
                 a cada tentativa.",
            ),
            AfterOtherChange => Bilingual(
                "Only after something else has changed, for example when the contact has been created.",
                "Só depois que outra coisa mudar, por exemplo quando o contato tiver sido criado.",
            ),
        }
    }
}

/// The explanation of a problem type.
pub(crate) struct Explanation {
    pub(crate) meaning: Bilingual,
    pub(crate) advice: &'static [Bilingual],
    pub(crate) retry: Retry,
}

const fn explanation(retry: Retry, meaning: Bilingual, advice: &'static [Bilingual]) -> Explanation {
    Explanation { meaning, advice, retry }
}

/// The explanation of this problem type.
#[rustfmt::skip]
pub(crate) const fn explain(kind: Kind) -> Explanation {
    match kind {
        Kind::Validation => explanation(ChangeFirst,
            Bilingual("A field of the body, a parameter, the path or a header is invalid. The member errors lists all \
                       field errors at once.",
                      "Um campo do corpo, um parâmetro, o caminho ou um cabeçalho é inválido. O membro errors lista \
                       todos os erros de uma vez."),
            &[Bilingual("Show each detail next to its field. The member in says where the field is; the member field \
                         is its name.",
                        "Mostre cada detail ao lado do seu campo. O membro in diz onde o campo está; o membro field é \
                         o nome dele."),
              Bilingual("In programs, use code. It never changes. The detail is a text for people.",
                        "Em programas, use code. Ele nunca muda. O detail é um texto para pessoas.")]),
        Kind::MalformedJson => explanation(ChangeFirst,
            Bilingual("The body is not valid JSON, or it is incomplete. The detail names the line and the column.",
                      "O corpo não é JSON válido ou está incompleto. O detail indica a linha e a coluna."),
            &[Bilingual("Write the body with a JSON library, in UTF-8, and send it completely.",
                        "Escreva o corpo com uma biblioteca de JSON, em UTF-8, e envie-o completo.")]),
        Kind::IdempotencyKeyReused => explanation(ChangeFirst,
            Bilingual("The Idempotency-Key belongs to an earlier request that was different. This request changed \
                       nothing.",
                      "A Idempotency-Key pertence a uma requisição anterior que era diferente. Esta requisição não \
                       mudou nada."),
            &[Bilingual("Create a new key for each new change, for example a random UUID.",
                        "Crie uma chave nova para cada alteração nova, por exemplo um UUID aleatório."),
              Bilingual("Use the same key again only to repeat the same request.",
                        "Use a mesma chave de novo apenas para repetir a mesma requisição.")]),
        Kind::VersionConflict => explanation(ChangeFirst,
            Bilingual("If-Match does not name the current version of the contact. Usually another caller changed the \
                       contact in the meantime. This change was not applied.",
                      "If-Match não indica a versão atual do contato. Em geral, outro cliente alterou o contato nesse \
                       meio-tempo. Esta alteração não foi aplicada."),
            &[Bilingual("Read the contact again. If the change still makes sense, send it with the new ETag.",
                        "Leia o contato de novo. Se a alteração ainda fizer sentido, envie-a com a nova ETag."),
              Bilingual("Use a new Idempotency-Key.",
                        "Use uma Idempotency-Key nova.")]),
        Kind::AlreadyExists => explanation(ChangeFirst,
            Bilingual("The request waited for its operation, and the operation failed. Another operation had created \
                       a contact with this id.",
                      "A requisição esperou pela sua operação, e a operação falhou. Outra operação já havia criado um \
                       contato com este id."),
            &[Bilingual("Read the contact and update it. Or create another contact with a new Idempotency-Key.",
                        "Leia o contato e atualize-o. Ou crie outro contato com uma Idempotency-Key nova.")]),
        Kind::ContactDeleted => explanation(ChangeFirst,
            Bilingual("The request waited for its operation, and the operation failed. The contact was deleted, and \
                       its id is never used again.",
                      "A requisição esperou pela sua operação, e a operação falhou. O contato foi excluído, e o id \
                       dele nunca é reutilizado."),
            &[Bilingual("Do not use the id again. If you need the contact, create a new one.",
                        "Não use mais o id. Se precisar do contato, crie um novo.")]),
        Kind::ChangeFailed => explanation(ChangeFirst,
            Bilingual("The service accepted the change, but the operation failed. The member reason says why. The \
                       change is now a dead-lettered message, and an operator decides about it.",
                      "O serviço aceitou a alteração, mas a operação falhou. O membro reason diz por quê. A alteração \
                       é agora uma mensagem não processada (dead letter), e um operador decide sobre ela."),
            &[Bilingual("Tell the operator the id of the operation and the reason. Most of these failures need a \
                         person.",
                        "Informe ao operador o id da operação e o reason. A maioria dessas falhas precisa de uma \
                         pessoa."),
              Bilingual("Read the contact before you send the change again, because the operator may apply it later.",
                        "Leia o contato antes de enviar a alteração de novo, porque o operador pode aplicá-la mais \
                         tarde.")]),
        Kind::NotFound => explanation(AfterOtherChange,
            Bilingual("This path, contact, operation or problem type does not exist. A new contact can be read after \
                       its operation is applied.",
                      "Este caminho, contato, operação ou tipo de problema não existe. Um contato novo pode ser lido \
                       depois que a sua operação é aplicada."),
            &[Bilingual("Check the path and the id. An id is a UUID.",
                        "Confira o caminho e o id. Um id é um UUID."),
              Bilingual("After a create, read the operation that Location names until its status is no longer \
                         pending.",
                        "Depois de criar um contato, leia a operação indicada em Location até que o status deixe de \
                         ser pending.")]),
        Kind::MethodNotAllowed => explanation(ChangeFirst,
            Bilingual("The path exists, but it does not support this method.",
                      "O caminho existe, mas não aceita este método."),
            &[Bilingual("Use a method that the header Allow names. To change a contact, send all its fields with PUT.",
                        "Use um método indicado no cabeçalho Allow. Para alterar um contato, envie todos os seus \
                         campos com PUT.")]),
        Kind::NotAcceptable => explanation(ChangeFirst,
            Bilingual("The path has none of the formats that the request accepts.",
                      "O caminho não tem nenhum dos formatos que a requisição aceita."),
            &[Bilingual("Accept one of the formats in the detail, or send no Accept header.",
                        "Aceite um dos formatos do detail ou não envie o cabeçalho Accept.")]),
        Kind::BodyTooLarge => explanation(ChangeFirst,
            Bilingual("The body is larger than this path allows.",
                      "O corpo é maior do que este caminho permite."),
            &[Bilingual("Send a smaller body, or divide it into several requests. The detail names the limit, which \
                         the operator sets.",
                        "Envie um corpo menor ou divida-o em várias requisições. O detail indica o limite, que o \
                         operador define.")]),
        Kind::UriTooLong => explanation(ChangeFirst,
            Bilingual("The path and the query together are longer than the service allows.",
                      "O caminho e a consulta, juntos, são mais longos do que o serviço permite."),
            &[Bilingual("Use fewer or shorter parameters. Do not change the next link of a page.",
                        "Use menos parâmetros ou parâmetros mais curtos. Não altere o link next de uma página.")]),
        Kind::HeadersTooLarge => explanation(ChangeFirst,
            Bilingual("The headers of the request are larger than the service allows.",
                      "Os cabeçalhos da requisição são maiores do que o serviço permite."),
            &[Bilingual("Do not send headers that the API does not use, for example cookies.",
                        "Não envie cabeçalhos que a API não usa, por exemplo cookies.")]),
        Kind::UnsupportedMediaType => explanation(ChangeFirst,
            Bilingual("The path does not accept a body with this Content-Type.",
                      "O caminho não aceita um corpo com este Content-Type."),
            &[Bilingual("Send a contact as application/json. The detail names the types that the path accepts.",
                        "Envie um contato como application/json. O detail indica os tipos que o caminho aceita.")]),
        Kind::RequestTimeout => explanation(Wait,
            Bilingual("The body did not arrive in time. The request changed nothing.",
                      "O corpo não chegou a tempo. A requisição não mudou nada."),
            &[Bilingual("Send the whole body at once. If the problem happens often, check the connection.",
                        "Envie o corpo inteiro de uma vez. Se o problema for frequente, verifique a conexão.")]),
        Kind::Unauthorized => explanation(ChangeFirst,
            Bilingual("The request has no API key or token, or the key or token is not valid.",
                      "A requisição não tem chave de API nem token, ou a chave ou o token não é válido."),
            &[Bilingual("Send the key as Authorization: Bearer KEY or as X-API-Key: KEY.",
                        "Envie a chave como Authorization: Bearer CHAVE ou como X-API-Key: CHAVE."),
              Bilingual("If you have no key, ask the operator for one. If your token has expired, get a new one.",
                        "Se você não tem uma chave, peça uma ao operador. Se o seu token expirou, obtenha um novo.")]),
        Kind::Forbidden => explanation(ChangeFirst,
            Bilingual("The key or token is valid, but it does not have the scope for this request. Reads need \
                       contacts:read; changes need contacts:write.",
                      "A chave ou o token é válido, mas não tem o escopo para esta requisição. Leituras exigem \
                       contacts:read; alterações exigem contacts:write."),
            &[Bilingual("Use a key with this scope, or ask the operator for the scope.",
                        "Use uma chave com este escopo ou peça o escopo ao operador.")]),
        Kind::RateLimited => explanation(Wait,
            Bilingual("The caller sent more requests than its rate limit allows, or too many invalid keys. The \
                       service did not process this request.",
                      "O cliente enviou mais requisições do que o seu limite permite, ou chaves inválidas demais. O \
                       serviço não processou esta requisição."),
            &[Bilingual("Wait as long as Retry-After says. If callers have a rate limit, the header RateLimit says \
                         how many requests remain.",
                        "Espere o tempo indicado em Retry-After. Se os clientes têm um limite, o cabeçalho RateLimit \
                         diz quantas requisições restam."),
              Bilingual("To create many contacts, send one POST /contacts/import.",
                        "Para criar muitos contatos, envie um só POST /contacts/import.")]),
        Kind::NotAccepted => explanation(Wait,
            Bilingual("The queue did not confirm the change in time. The member reason says why. If it is timed_out \
                       or closed, the change may still be applied. Otherwise the change was not accepted.",
                      "A fila não confirmou a alteração a tempo. O membro reason diz por quê. Se ele for timed_out ou \
                       closed, a alteração ainda pode ser aplicada. Caso contrário, a alteração não foi aceita."),
            &[Bilingual("Send the request again with the same Idempotency-Key. The change takes effect only once.",
                        "Envie a requisição de novo com a mesma Idempotency-Key. A alteração tem efeito uma só vez."),
              Bilingual("If the request had no key, first check whether the change was applied.",
                        "Se a requisição não tinha chave, verifique antes se a alteração foi aplicada.")]),
        Kind::ReadsUnavailable => explanation(Wait,
            Bilingual("The database cannot be read now. The service may still accept changes. They are safe in the \
                       queue.",
                      "O banco de dados não pode ser lido agora. O serviço ainda pode aceitar alterações. Elas ficam \
                       seguras na fila."),
            &[Bilingual("Try again later. Do not repeat changes that the service answered with 202.",
                        "Tente de novo mais tarde. Não repita alterações que o serviço respondeu com 202.")]),
        Kind::CursorExpired => explanation(ChangeFirst,
            Bilingual("The service cannot say what changed after this cursor: changes were removed because of their age, or \
                       the database was restored from a backup.",
                      "O serviço não sabe dizer o que mudou depois deste cursor: alterações foram removidas por serem \
                       antigas, ou o banco de dados foi restaurado de um backup."),
            &[Bilingual("Start again: read /changes?after=latest and keep its cursor. Then read /contacts/export, and \
                         replace everything that you have. Then read the changes after the cursor.",
                        "Comece de novo: leia /changes?after=latest e guarde o cursor. Depois leia /contacts/export e \
                         substitua tudo o que você tem. Depois leia as alterações após o cursor."),
              Bilingual("Read the changes more often than the operator removes old operations.",
                        "Leia as alterações com mais frequência do que o operador remove operações antigas.")]),
        Kind::Internal => explanation(Wait,
            Bilingual("The service failed because of its own error. The request is not the cause.",
                      "O serviço falhou por um erro próprio. A requisição não é a causa."),
            &[Bilingual("Try again once. Repeat a change with the same Idempotency-Key.",
                        "Tente mais uma vez. Repita uma alteração com a mesma Idempotency-Key."),
              Bilingual("If the error remains, tell the operator the time of the request and its traceparent.",
                        "Se o erro continuar, informe ao operador a hora da requisição e o seu traceparent.")]),
    }
}
