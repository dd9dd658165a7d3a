//! What the page of each kind of problem says, in English and Portuguese.
//!
//! The rule this file keeps: a kind without a text does not compile, and no text names a setting's value, which may be
//! another at each place. It must not know HTML.

use crate::producer::language::Language;
use crate::producer::problems::Kind;
use Again::{Changed, Elsewhere, Later};

/// A text in English and in Portuguese.
pub(crate) struct Both(pub(crate) &'static str, pub(crate) &'static str);

impl Both {
    pub(crate) const fn spoken(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.0,
            Language::Portuguese => self.1,
        }
    }
}

/// Whether it helps to send the same request again.
#[derive(Clone, Copy)]
pub(crate) enum Again {
    /// Not before it is changed.
    Changed,
    /// After a while.
    Later,
    /// Only if what it is about changes.
    Elsewhere,
}

impl Again {
    pub(crate) const fn text(self) -> Both {
        match self {
            Changed => Both(
                "No. The same request gets the same answer: change it first.",
                "Não. A mesma requisição recebe a mesma resposta: mude-a antes.",
            ),
            Later => Both(
                "Yes, after the time that Retry-After names, or else after some seconds. Wait longer after each \
                 try.",
                "Sim, depois do tempo indicado em Retry-After ou, sem ele, depois de alguns segundos. Espere mais a \
                 cada tentativa.",
            ),
            Elsewhere => Both(
                "Only once something else has changed: what the request is about is not, or not yet, as it \
                 expects.",
                "Só depois que algo mais mudar: aquilo de que a requisição trata não está, ou ainda não está, como ela \
                 espera.",
            ),
        }
    }
}

/// What a page says.
pub(crate) struct Text {
    pub(crate) meaning: Both,
    pub(crate) advice: &'static [Both],
    pub(crate) again: Again,
}

const fn text(again: Again, meaning: Both, advice: &'static [Both]) -> Text {
    Text { meaning, advice, again }
}

/// The text of a kind.
#[rustfmt::skip]
pub(crate) const fn of(kind: Kind) -> Text {
    match kind {
        Kind::Validation => text(Changed,
            Both("A field of the body, a parameter, a part of the path or a header is wrong. All that is wrong is \
                  named at once, in errors.",
                 "Um campo do corpo, um parâmetro, uma parte do caminho ou um cabeçalho está errado. Tudo o que está \
                  errado é indicado de uma vez, em errors."),
            &[Both("Show each detail beside the field that it is about: in says where that stands, field what it is \
                    called.",
                   "Mostre cada detail junto do campo a que se refere: in diz onde ele está, field como se chama."),
              Both("Let programs look at code, which never changes; detail is for people.",
                   "Faça os programas olharem para code, que nunca muda; detail é para pessoas.")]),
        Kind::MalformedJson => text(Changed,
            Both("The body is not JSON, or it was cut off. The detail names the line and the column.",
                 "O corpo não é JSON, ou foi cortado. O detail indica a linha e a coluna."),
            &[Both("Write the body with a JSON library, in UTF-8, and send the whole of it.",
                   "Escreva o corpo com uma biblioteca de JSON, em UTF-8, e envie-o inteiro.")]),
        Kind::IdempotencyKeyReused => text(Changed,
            Both("The Idempotency-Key belongs to an earlier request that asked for something else. This request did \
                  nothing.",
                 "A Idempotency-Key pertence a uma requisição anterior que pediu outra coisa. Esta requisição não fez \
                  nada."),
            &[Both("Make a new key for each new change, such as a random UUID.",
                   "Crie uma chave nova para cada alteração nova, por exemplo um UUID aleatório."),
              Both("Use a key again only to repeat the very same request.",
                   "Use uma chave de novo apenas para repetir exatamente a mesma requisição.")]),
        Kind::VersionConflict => text(Changed,
            Both("The version in If-Match is not the contact's current one: somebody else changed it meanwhile. This \
                  change was not applied.",
                 "A versão em If-Match não é a atual do contato: alguém o alterou nesse meio-tempo. Esta alteração não \
                  foi aplicada."),
            &[Both("Read the contact again, decide whether the change still makes sense, and send it with the new \
                    ETag.",
                   "Leia o contato de novo, decida se a alteração ainda faz sentido e envie-a com a nova ETag."),
              Both("Use a new Idempotency-Key for it.", "Use uma Idempotency-Key nova para ela.")]),
        Kind::AlreadyExists => text(Changed,
            Both("The change was waited for and has ended: another operation had created a contact with this id \
                  before.",
                 "A alteração foi aguardada e terminou: outra operação já havia criado um contato com este id."),
            &[Both("Read the contact and change it, or create another with a new Idempotency-Key.",
                   "Leia o contato e altere-o, ou crie outro com uma Idempotency-Key nova.")]),
        Kind::ContactDeleted => text(Changed,
            Both("The change was waited for and has ended: the contact was deleted. Its id is never used again.",
                 "A alteração foi aguardada e terminou: o contato foi excluído. O id dele nunca é reutilizado."),
            &[Both("Forget the id; if the contact is needed again, create a new one.",
                   "Esqueça o id; se o contato voltar a ser necessário, crie um novo.")]),
        Kind::ChangeFailed => text(Changed,
            Both("The change was accepted and waited for, but it cannot be applied; reason says why. It stays with the \
                  operator as a dead letter.",
                 "A alteração foi aceita e aguardada, mas não pode ser aplicada; reason diz por quê. Ela fica com o \
                  operador como mensagem não entregue (dead letter)."),
            &[Both("Tell the operator the operation's id and the reason: most of these need a person.",
                   "Informe ao operador o id da operação e o reason: a maioria destes casos precisa de uma pessoa."),
              Both("Read the contact before you send the change anew: the operator may apply it later.",
                   "Leia o contato antes de enviar a alteração outra vez: o operador pode aplicá-la mais tarde.")]),
        Kind::NotFound => text(Elsewhere,
            Both("There is no such path, contact, operation or problem type. A contact that was just created can be \
                  read once its operation is applied.",
                 "Não há esse caminho, contato, operação ou tipo de problema. Um contato recém-criado pode ser lido \
                  quando a sua operação estiver aplicada."),
            &[Both("Check the path and the id; an id is a UUID.", "Confira o caminho e o id; um id é um UUID."),
              Both("After a create, follow the operation named by Location until it is no longer pending.",
                   "Depois de criar, acompanhe a operação indicada em Location até que deixe de estar pending.")]),
        Kind::MethodNotAllowed => text(Changed,
            Both("The path exists, but not with this method.", "O caminho existe, mas não com este método."),
            &[Both("Use one of the methods in the Allow header. A contact is replaced as a whole, by PUT.",
                   "Use um dos métodos do cabeçalho Allow. Um contato é substituído por inteiro, com PUT.")]),
        Kind::NotAcceptable => text(Changed,
            Both("None of the formats in Accept can be given at this path.",
                 "Nenhum dos formatos em Accept está disponível neste caminho."),
            &[Both("Name one of the formats in the detail, or leave Accept out.",
                   "Indique um dos formatos do detail, ou não envie Accept.")]),
        Kind::BodyTooLarge => text(Changed,
            Both("The body has more bytes than may be sent to this path.",
                 "O corpo tem mais bytes do que este caminho permite."),
            &[Both("Send a smaller body, or divide what you send. The detail names the limit, which the operator \
                    sets.",
                   "Envie um corpo menor, ou divida o que envia. O detail indica o limite, que o operador define.")]),
        Kind::UriTooLong => text(Changed,
            Both("The path and the query together are longer than allowed.",
                 "O caminho e a consulta, juntos, são mais longos do que o permitido."),
            &[Both("Use fewer or shorter parameters, and follow next as it is given.",
                   "Use menos parâmetros, ou mais curtos, e siga next tal como foi dado.")]),
        Kind::HeadersTooLarge => text(Changed,
            Both("The headers of the request are larger, or more in number, than allowed.",
                 "Os cabeçalhos da requisição são maiores, ou mais numerosos, do que o permitido."),
            &[Both("Leave out what this API does not need, such as cookies.",
                   "Não envie o que esta API não usa, como cookies.")]),
        Kind::UnsupportedMediaType => text(Changed,
            Both("The body has a Content-Type that this path does not take.",
                 "O corpo tem um Content-Type que este caminho não aceita."),
            &[Both("Send a contact as application/json. The detail names what the path takes.",
                   "Envie um contato como application/json. O detail indica o que o caminho aceita.")]),
        Kind::RequestTimeout => text(Later,
            Both("The body did not arrive within the time that a request may take. Nothing was changed.",
                 "O corpo não chegou no tempo que uma requisição pode levar. Nada foi alterado."),
            &[Both("Send the whole body at once, and look at the connection if it happens often.",
                   "Envie o corpo inteiro de uma vez, e verifique a conexão se isso acontecer com frequência.")]),
        Kind::Unauthorized => text(Changed,
            Both("The request has no API key or token, or one that is not, or no longer, valid.",
                 "A requisição não tem chave de API nem token, ou o que ela tem não é, ou já não é, válido."),
            &[Both("Send the key as Authorization: Bearer KEY or as X-API-Key: KEY.",
                   "Envie a chave como Authorization: Bearer CHAVE ou como X-API-Key: CHAVE."),
              Both("Ask the operator for a key if you have none, and get a new token if yours has expired.",
                   "Peça uma chave ao operador se não tiver uma, e obtenha um token novo se o seu expirou.")]),
        Kind::Forbidden => text(Changed,
            Both("The key or token is valid, but lacks the scope that this needs: contacts:read to read, \
                  contacts:write to change.",
                 "A chave ou o token é válido, mas não tem o escopo necessário: contacts:read para ler, contacts:write \
                  para alterar."),
            &[Both("Use a key that has the scope, or ask the operator for it.",
                   "Use uma chave que tenha o escopo, ou peça-o ao operador.")]),
        Kind::RateLimited => text(Later,
            Both("The caller sent more requests than its share. This one was not looked at.",
                 "O cliente enviou mais requisições do que a sua cota. Esta não foi examinada."),
            &[Both("Wait as long as Retry-After says, then go on. RateLimit in every answer says how many requests are \
                    left.",
                   "Espere o tempo indicado em Retry-After e continue. RateLimit, em cada resposta, diz quantas \
                    requisições restam."),
              Both("To bring in many contacts, use one POST /contacts/import.",
                   "Para incluir muitos contatos, use um só POST /contacts/import.")]),
        Kind::NotAccepted => text(Later,
            Both("The queue did not confirm the change in time; reason says why. With timed_out and closed it is not \
                  known whether the change will be applied; with any other it was not taken.",
                 "A fila não confirmou a alteração a tempo; reason diz por quê. Com timed_out e closed não se sabe se \
                  a alteração será aplicada; com qualquer outro, ela não foi recebida."),
            &[Both("Send it again with the same Idempotency-Key: it takes effect once, however often it is sent.",
                   "Envie-a de novo com a mesma Idempotency-Key: ela tem efeito uma só vez, por mais que seja \
                    enviada."),
              Both("Without a key, look first whether the change was applied.",
                   "Sem chave, veja antes se a alteração foi aplicada.")]),
        Kind::ReadsUnavailable => text(Later,
            Both("The database does not answer at the moment. Changes may still be accepted, and wait safely in the \
                  queue.",
                 "O banco de dados não responde no momento. Alterações talvez ainda sejam aceitas, e esperam em \
                  segurança na fila."),
            &[Both("Try again in a while. Do not send changes again that were answered with 202.",
                   "Tente de novo daqui a pouco. Não reenvie alterações que já receberam 202.")]),
        Kind::Internal => text(Later,
            Both("Something failed in a way that is a fault of this service, not of the request.",
                 "Algo falhou por um defeito deste serviço, não da requisição."),
            &[Both("Try again once, a change with the same Idempotency-Key.",
                   "Tente mais uma vez; uma alteração, com a mesma Idempotency-Key."),
              Both("If it stays, tell the operator the time of the request and its traceparent.",
                   "Se continuar, informe ao operador a hora da requisição e o seu traceparent.")]),
    }
}
