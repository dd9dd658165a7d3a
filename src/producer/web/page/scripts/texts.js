// The texts of the page in both languages, and the names of states and regions. Data only.
//
// `{name}` is replaced by a value. A text with `one` and `other` depends on a count. See `t` in language.js.

export const TEXTS = {
  en: {
    // The page
    title: 'Contacts', skip: 'Skip to the list', links: 'Links', reference: 'API reference',
    otherLanguage: 'Português',
    howChangesWork: 'The service first stores a change, then applies it. This page shows both steps.',
    tryAgain: 'Try again', dismiss: 'Dismiss', cancel: 'Cancel', close: 'Close', stop: 'Stop',

    // The list
    searchLabel: 'Search by name, e-mail or phone', searchHint: 'Name, e-mail or phone…',
    order: 'Order', orderDefault: 'Default', orderName: 'Name', orderChanged: 'Last change', duplicatesPhone: 'Duplicates by phone', duplicatesEmail: 'Duplicates by e-mail',
    region: 'Region', state: 'State', areaCode: 'Area code', any: 'Any', anyRegion: 'Any',
    clear: 'Clear the search and its filters',
    name: 'Name', phone: 'Phone', email: 'E-mail', emailOptional: 'E-mail (optional)', area: 'Area', updated: 'Changed', actions: 'Actions',
    create: 'New contact', edit: 'Edit', editNamed: 'Edit {name}',
    remove: 'Delete', removeNamed: 'Delete {name}',
    history: 'History', historyNamed: 'History of {name}',
    more: 'Show more',
    count: { one: '{count} contact', other: '{count} contacts' }, countFirst: 'The first {count} contacts',
    noContacts: 'No contacts yet', noContactsHelp: 'Create the first one, or import a file.',
    noMatches: 'No matches', noMatchesHelp: 'No contact matches this search.',
    unreadable: 'The list cannot be read now. The service may still accept changes.',

    // The changes of this tab
    changes: 'Recent changes', changesClear: 'Clear finished',
    kinds: { create: 'New contact', update: 'Edit', delete: 'Deletion' },
    states: {
      sending: 'Sending', accepted: 'Accepted', applied: 'Applied', superseded: 'Superseded', failed: 'Failed',
      refused: 'Not accepted', unknown: 'Unknown',
    },
    explanations: {
      accepted: 'The service has stored the change and will apply it.',
      waiting: 'The service has stored the change. It is not applied yet.',
      unreadable: 'The service has stored the change. Its status cannot be read now.',
      superseded: 'A newer change was applied first, so this one changed nothing.',
      unknown: 'The service no longer has the result of this change.',
    },
    advice: {
      version_conflict: 'Somebody changed the contact after you opened it. Check it, then decide again.',
      contact_deleted: 'A deleted contact cannot be restored. You can create a new one.',
      contact_not_found: 'You can create it as a new contact.',
    },
    review: 'Show the current contact', recreate: 'Create as a new contact',

    // The dialogs for one contact
    editTitle: 'Edit contact', basedOn: 'Based on the version of {time}', phoneHelp: 'Brazilian, with area code',
    save: 'Save', saveOver: 'Replace and save', sending: 'Sending…',
    currentValue: 'Now: {value}', useCurrent: 'Use this',
    reload: 'Load the current contact, keep my text',
    reloaded: 'Below each field that differs you see its current value. If you save, your text replaces it.',
    editedSinceTry: 'You changed the text after the last try, so it is sent as a new change. '
      + 'The earlier change may still take effect.',
    removeTitle: 'Delete this contact?', removeHelp: 'You cannot undo this.',
    reloadedRemove: 'This is the current contact.', gone: 'The contact no longer exists.',
    historyCaller: 'by {caller}', historyBefore: 'before: {value}', historyNoValue: 'none',
    historyUnchanged: 'It changed no field.', historyEmpty: 'The service has no changes of this contact.',
    historyPruned: 'Changes from before {time} may be missing.',
    historyCount: { one: '{count} change', other: '{count} changes' },

    // Problems
    explain: 'What this means', unknownProblem: 'The service answered with status {status}.',
    tooManyRequests: 'Too many requests. The page continues in {seconds} s.',
    offlineTitle: 'The service cannot be reached', offlineRead: 'Check the connection, then try again.',
    offlineWrite: 'The change may have arrived. You can safely try again: it takes effect only once.',

    // The API key
    keyTitle: 'API key', keyLabel: 'Key or token', keySend: 'Use this key', keyForget: 'Forget the key',
    keyOther: 'Use another key', keyEnter: 'Enter a key',
    keyNeeded: 'This service needs an API key.', keyRefused: 'The service does not accept this key.',
    keyHelp: 'Only this tab stores the key, until you close the tab.',
    keyInvalid: 'A key has only printable ASCII characters and no spaces.',

    // Export and import
    export: 'Export', exportAll: 'All contacts', exportFound: 'The contacts of this search',
    exportCsv: 'for spreadsheets', exportVcard: 'for address books', exportNdjson: 'for programs',
    exporting: 'Preparing the file…', exported: '{file} is ready.',
    exportIncomplete: 'The file was incomplete, so it was not saved.',
    import: 'Import', importTitle: 'Import contacts', importFile: 'File: CSV, vCard or NDJSON',
    importHelp: 'The service checks the file first. The check changes nothing.',
    importColumns: 'The columns have other names', importCheck: 'Check again',
    importChecking: 'Checking: {records} records…', importChecked: '{valid} of {records} records are valid.',
    importSkips: 'The others are left out. Correct them and import them later.',
    importNotKept: 'Contacts do not keep: {fields}.',
    importNothing: 'This file has no contacts to import.',
    importSend: { one: 'Import {count} contact', other: 'Import {count} contacts' },
    importRunning: '{accepted} of {valid} accepted…',
    importDone: '{accepted} accepted. The list shows each contact after it is applied.',
    importRest: '{refused} were not accepted. You can safely try again: nothing is imported twice.',
    importStopped: 'The import stopped before the end. You can safely try again: nothing is imported twice.',
    line: 'Line {line}', linesMore: 'and {count} more',
  },

  'pt-BR': {
    // The page
    title: 'Contatos', skip: 'Ir para a lista', links: 'Links', reference: 'Referência da API',
    otherLanguage: 'English',
    howChangesWork: 'O serviço primeiro guarda uma alteração e depois a aplica. Esta página mostra as duas etapas.',
    tryAgain: 'Tentar de novo', dismiss: 'Dispensar', cancel: 'Cancelar', close: 'Fechar', stop: 'Parar',

    // The list
    searchLabel: 'Buscar por nome, e-mail ou telefone', searchHint: 'Nome, e-mail ou telefone…',
    order: 'Ordem', orderDefault: 'Padrão', orderName: 'Nome', orderChanged: 'Última alteração', duplicatesPhone: 'Duplicados por telefone', duplicatesEmail: 'Duplicados por e-mail',
    region: 'Região', state: 'Estado', areaCode: 'DDD', any: 'Todos', anyRegion: 'Todas',
    clear: 'Limpar a busca e seus filtros',
    name: 'Nome', phone: 'Telefone', email: 'E-mail', emailOptional: 'E-mail (opcional)', area: 'Localidade', updated: 'Alterado', actions: 'Ações',
    create: 'Novo contato', edit: 'Editar', editNamed: 'Editar {name}',
    remove: 'Excluir', removeNamed: 'Excluir {name}',
    history: 'Histórico', historyNamed: 'Histórico de {name}',
    more: 'Mostrar mais',
    count: { one: '{count} contato', other: '{count} contatos' }, countFirst: 'Os primeiros {count} contatos',
    noContacts: 'Ainda não há contatos', noContactsHelp: 'Crie o primeiro ou importe um arquivo.',
    noMatches: 'Nada encontrado', noMatchesHelp: 'Nenhum contato corresponde a esta busca.',
    unreadable: 'Não é possível ler a lista agora. O serviço ainda pode aceitar alterações.',

    // The changes of this tab
    changes: 'Alterações recentes', changesClear: 'Limpar concluídas',
    kinds: { create: 'Novo contato', update: 'Edição', delete: 'Exclusão' },
    states: {
      sending: 'Enviando', accepted: 'Aceita', applied: 'Aplicada', superseded: 'Superada', failed: 'Falhou',
      refused: 'Não aceita', unknown: 'Desconhecida',
    },
    explanations: {
      accepted: 'O serviço guardou a alteração e vai aplicá-la.',
      waiting: 'O serviço guardou a alteração. Ela ainda não foi aplicada.',
      unreadable: 'O serviço guardou a alteração. Não é possível ler o status dela agora.',
      superseded: 'Uma alteração mais recente foi aplicada antes, por isso esta não mudou nada.',
      unknown: 'O serviço não tem mais o resultado desta alteração.',
    },
    advice: {
      version_conflict: 'Alguém alterou o contato depois que você o abriu. Verifique-o e decida de novo.',
      contact_deleted: 'Um contato excluído não pode ser restaurado. Você pode criar um novo.',
      contact_not_found: 'Você pode criá-lo como um novo contato.',
    },
    review: 'Ver o contato atual', recreate: 'Criar como novo contato',

    // The dialogs for one contact
    editTitle: 'Editar contato', basedOn: 'Com base na versão de {time}', phoneHelp: 'Do Brasil, com DDD',
    save: 'Salvar', saveOver: 'Substituir e salvar', sending: 'Enviando…',
    currentValue: 'Agora: {value}', useCurrent: 'Usar este',
    reload: 'Carregar o contato atual e manter meu texto',
    reloaded: 'Abaixo de cada campo diferente está o valor atual. Se você salvar, seu texto o substitui.',
    editedSinceTry: 'Você mudou o texto depois da última tentativa, por isso ele será enviado como nova alteração. '
      + 'A alteração anterior ainda pode ter efeito.',
    removeTitle: 'Excluir este contato?', removeHelp: 'Não é possível desfazer.',
    reloadedRemove: 'Este é o contato atual.', gone: 'O contato não existe mais.',
    historyCaller: 'por {caller}', historyBefore: 'antes: {value}', historyNoValue: 'nenhum',
    historyUnchanged: 'Nenhum campo mudou.', historyEmpty: 'O serviço não tem alterações deste contato.',
    historyPruned: 'Alterações anteriores a {time} podem faltar.',
    historyCount: { one: '{count} alteração', other: '{count} alterações' },

    // Problems
    explain: 'O que isto significa', unknownProblem: 'O serviço respondeu com o status {status}.',
    tooManyRequests: 'Muitas requisições. A página continua em {seconds} s.',
    offlineTitle: 'Não foi possível acessar o serviço', offlineRead: 'Verifique a conexão e tente de novo.',
    offlineWrite: 'A alteração pode ter chegado. Tentar de novo é seguro: ela só tem efeito uma vez.',

    // The API key
    keyTitle: 'Chave da API', keyLabel: 'Chave ou token', keySend: 'Usar esta chave', keyForget: 'Esquecer a chave',
    keyOther: 'Usar outra chave', keyEnter: 'Informar uma chave',
    keyNeeded: 'Este serviço precisa de uma chave da API.', keyRefused: 'O serviço não aceita esta chave.',
    keyHelp: 'Só esta aba guarda a chave, até que você a feche.',
    keyInvalid: 'Uma chave só tem caracteres ASCII visíveis e nenhum espaço.',

    // Export and import
    export: 'Exportar', exportAll: 'Todos os contatos', exportFound: 'Os contatos desta busca',
    exportCsv: 'para planilhas', exportVcard: 'para agendas', exportNdjson: 'para programas',
    exporting: 'Preparando o arquivo…', exported: '{file} está pronto.',
    exportIncomplete: 'O arquivo chegou incompleto, por isso não foi salvo.',
    import: 'Importar', importTitle: 'Importar contatos', importFile: 'Arquivo: CSV, vCard ou NDJSON',
    importHelp: 'Primeiro o serviço verifica o arquivo. A verificação não altera nada.',
    importColumns: 'As colunas têm outros nomes', importCheck: 'Verificar de novo',
    importChecking: 'Verificando: {records} registros…', importChecked: '{valid} de {records} registros são válidos.',
    importSkips: 'Os outros ficam de fora. Corrija-os e importe depois.',
    importNotKept: 'Os contatos não guardam: {fields}.',
    importNothing: 'Este arquivo não tem contatos para importar.',
    importSend: { one: 'Importar {count} contato', other: 'Importar {count} contatos' },
    importRunning: '{accepted} de {valid} aceitos…',
    importDone: '{accepted} aceitos. A lista mostra cada contato depois que ele é aplicado.',
    importRest: '{refused} não foram aceitos. Tentar de novo é seguro: nada é importado duas vezes.',
    importStopped: 'A importação parou antes do fim. Tentar de novo é seguro: nada é importado duas vezes.',
    line: 'Linha {line}', linesMore: 'e mais {count}',
  },
};

export const STATE_NAMES = {
  AC: 'Acre', AL: 'Alagoas', AM: 'Amazonas', AP: 'Amapá', BA: 'Bahia', CE: 'Ceará', DF: 'Distrito Federal',
  ES: 'Espírito Santo', GO: 'Goiás', MA: 'Maranhão', MG: 'Minas Gerais', MS: 'Mato Grosso do Sul', MT: 'Mato Grosso',
  PA: 'Pará', PB: 'Paraíba', PE: 'Pernambuco', PI: 'Piauí', PR: 'Paraná', RJ: 'Rio de Janeiro',
  RN: 'Rio Grande do Norte', RO: 'Rondônia', RR: 'Roraima', RS: 'Rio Grande do Sul', SC: 'Santa Catarina',
  SE: 'Sergipe', SP: 'São Paulo', TO: 'Tocantins',
};

/** Only the regions whose name differs from the API's value. */
export const REGION_NAMES = { CentroOeste: 'Centro-Oeste' };
