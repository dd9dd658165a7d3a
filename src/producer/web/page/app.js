// The page of the contacts service, a client of its public API and nothing more.
//
// A write is answered when it is safe (202) and applied a moment later. The page never shows the second as the first:
// each change has a state of its own (see `send` and `follow`), and the list shows what the service has answered to a read.
// What comes from the API reaches the document as text only.

// ---------------------------------------------------------------------------------------------------------- texts

const TEXTS = {
  en: {
    title: 'Contacts', skip: 'Skip to the list', links: 'Links', reference: 'API reference', other: 'Português',
    searchLabel: 'Search by the beginning of the name', searchHint: 'Name begins with…',
    region: 'Region', state: 'State', ddd: 'Area code', any: 'Any', clear: 'Clear the search and its filters',
    name: 'Name', phone: 'Phone', email: 'E-mail', area: 'Area', updated: 'Changed', actions: 'Actions',
    phoneHelp: 'Brazilian, with area code', create: 'New contact', edit: 'Edit', remove: 'Delete', save: 'Save',
    cancel: 'Cancel', close: 'Close', more: 'Show more', again: 'Try again', dismiss: 'Dismiss', sending: 'Sending…',
    editNamed: 'Edit {name}', removeNamed: 'Delete {name}', editTitle: 'Edit contact',
    based: 'Based on the version of {time}', now: 'Now: {value}', useNow: 'Use this', saveOver: 'Save over it',
    removeTitle: 'Delete this contact?', removeHelp: 'This cannot be undone.',
    changes: 'Recent changes', changesClear: 'Clear finished',
    kind: { create: 'New contact', update: 'Edit', delete: 'Deletion' },
    states: {
      sending: 'Sending', accepted: 'Accepted', applied: 'Applied', superseded: 'Superseded', failed: 'Failed',
      refused: 'Not accepted', forgotten: 'Unknown',
    },
    means: {
      accepted: 'It is safe and will be applied.',
      waiting: 'It is safe. Still waiting to be applied.',
      unread: 'It is safe. Its progress cannot be read at the moment.',
      superseded: 'Something newer had already overtaken it, so it changed nothing.',
      forgotten: 'The service no longer remembers how it ended.',
    },
    advice: {
      version_conflict: 'Somebody changed the contact after you opened it. Look at its current state and decide again.',
      contact_deleted: 'A deleted contact does not come back, but you can create a new one.',
      contact_not_found: 'You can create it as a new contact.',
    },
    review: 'Look at the current state', reload: 'Load the current state, keep what I typed', recreate: 'Create as a new contact',
    reloaded: 'The current state is shown under each field that differs. Saving replaces it with what you typed.',
    reloadedRemove: 'This is the contact as it is now.',
    gone: 'The contact no longer exists.', explain: 'What this means',
    offlineTitle: 'The service cannot be reached', offlineRead: 'Check the connection, then try again.',
    offlineWrite: 'It is not known whether the change arrived. Trying again is safe: it carries the same key, so it takes effect once.',
    differs: 'You changed it since the last try, so it will be sent as a new change. The earlier one may still take effect.',
    broken: 'The service answered with status {status}.', slow: 'Too many requests: going on in {seconds} s.',
    none: 'No contacts yet', noneHelp: 'Create the first one, or import a file.',
    nothing: 'Nothing matches', nothingHelp: 'No contact meets this search.',
    count: { one: '{count} contact', other: '{count} contacts' }, countMore: 'The first {count} contacts',
    unreadable: 'The list cannot be read now. Changes may still be accepted.',
    keyTitle: 'API key', keyLabel: 'Key or token', keySend: 'Use this key', keyForget: 'Forget the key', keyOther: 'Use another key',
    keyEnter: 'Enter a key', keyNeeded: 'This service asks for a key.', keyRefused: 'The service does not accept this key.',
    keyHelp: 'Kept in this tab until it is closed, and nowhere else.', keyBad: 'A key has printable ASCII characters only, without spaces.',
    export: 'Export', exportAll: 'All contacts', exportFound: 'The contacts of this search',
    exportCsv: 'for spreadsheets', exportVcard: 'for address books', exportNdjson: 'for programs',
    exporting: 'Preparing the file…', exported: '{file} is ready.',
    exportBroken: 'The file was not complete, so it was not saved.',
    import: 'Import', importTitle: 'Import contacts', importFile: 'File: CSV, vCard or NDJSON', importCheck: 'Check again',
    importHelp: 'It is checked first; nothing is changed by that.', importColumns: 'The columns have other names',
    importChecking: 'Checking: {records} records…', importGoing: '{accepted} of {valid} accepted…', stop: 'Stop',
    importChecked: '{valid} of {records} records are valid.', importSkips: 'The others are left out: correct them and import them later.',
    importDone: '{accepted} accepted. They appear in the list as they are applied.', importSend: { one: 'Import {count} contact', other: 'Import {count} contacts' },
    importRest: '{refused} were not accepted. Trying again is safe: nothing is imported twice.',
    importStopped: 'It stopped before the end. Trying again is safe: nothing is imported twice.',
    line: 'Line {line}', linesMore: 'and {count} more', importNothing: 'There is nothing in this file that can be imported.',
    promise: 'A change is answered once it is safe, and applied a moment later. This page shows both.',
  },
  'pt-BR': {
    title: 'Contatos', skip: 'Ir para a lista', links: 'Links', reference: 'Referência da API', other: 'English',
    searchLabel: 'Buscar pelo começo do nome', searchHint: 'Nome começa com…',
    region: 'Região', state: 'Estado', ddd: 'DDD', any: 'Todos', anyF: 'Todas', clear: 'Limpar a busca e seus filtros',
    name: 'Nome', phone: 'Telefone', email: 'E-mail', area: 'Localidade', updated: 'Alterado', actions: 'Ações',
    phoneHelp: 'Do Brasil, com DDD', create: 'Novo contato', edit: 'Editar', remove: 'Excluir', save: 'Salvar',
    cancel: 'Cancelar', close: 'Fechar', more: 'Mostrar mais', again: 'Tentar de novo', dismiss: 'Dispensar', sending: 'Enviando…',
    editNamed: 'Editar {name}', removeNamed: 'Excluir {name}', editTitle: 'Editar contato',
    based: 'Com base na versão de {time}', now: 'Agora: {value}', useNow: 'Usar este', saveOver: 'Salvar por cima',
    removeTitle: 'Excluir este contato?', removeHelp: 'Não é possível desfazer.',
    changes: 'Alterações recentes', changesClear: 'Limpar concluídas',
    kind: { create: 'Novo contato', update: 'Edição', delete: 'Exclusão' },
    states: {
      sending: 'Enviando', accepted: 'Aceita', applied: 'Aplicada', superseded: 'Superada', failed: 'Falhou',
      refused: 'Não aceita', forgotten: 'Desconhecida',
    },
    means: {
      accepted: 'Está em segurança e será aplicada.',
      waiting: 'Está em segurança. Ainda aguarda ser aplicada.',
      unread: 'Está em segurança. No momento não é possível ler seu andamento.',
      superseded: 'Algo mais recente já havia passado à frente, por isso ela não mudou nada.',
      forgotten: 'O serviço já não se lembra de como ela terminou.',
    },
    advice: {
      version_conflict: 'Alguém alterou o contato depois que você o abriu. Veja o estado atual e decida de novo.',
      contact_deleted: 'Um contato excluído não volta, mas você pode criar um novo.',
      contact_not_found: 'Você pode criá-lo como um novo contato.',
    },
    review: 'Ver o estado atual', reload: 'Carregar o estado atual e manter o que digitei', recreate: 'Criar como novo contato',
    reloaded: 'O estado atual aparece abaixo de cada campo que difere. Salvar o substitui pelo que você digitou.',
    reloadedRemove: 'Este é o contato como está agora.',
    gone: 'O contato não existe mais.', explain: 'O que isto significa',
    offlineTitle: 'Não foi possível falar com o serviço', offlineRead: 'Verifique a conexão e tente de novo.',
    offlineWrite: 'Não se sabe se a alteração chegou. Tentar de novo é seguro: ela leva a mesma chave e só tem efeito uma vez.',
    differs: 'Você mudou algo desde a última tentativa, por isso será enviada como nova alteração. A anterior ainda pode ter efeito.',
    broken: 'O serviço respondeu com o status {status}.', slow: 'Muitas requisições: continua em {seconds} s.',
    none: 'Ainda não há contatos', noneHelp: 'Crie o primeiro ou importe um arquivo.',
    nothing: 'Nada encontrado', nothingHelp: 'Nenhum contato atende a esta busca.',
    count: { one: '{count} contato', other: '{count} contatos' }, countMore: 'Os primeiros {count} contatos',
    unreadable: 'Não é possível ler a lista agora. Alterações ainda podem ser aceitas.',
    keyTitle: 'Chave da API', keyLabel: 'Chave ou token', keySend: 'Usar esta chave', keyForget: 'Esquecer a chave', keyOther: 'Usar outra chave',
    keyEnter: 'Informar uma chave', keyNeeded: 'Este serviço pede uma chave.', keyRefused: 'O serviço não aceita esta chave.',
    keyHelp: 'Fica nesta aba até que ela seja fechada, e em nenhum outro lugar.', keyBad: 'Uma chave só tem caracteres ASCII visíveis, sem espaços.',
    export: 'Exportar', exportAll: 'Todos os contatos', exportFound: 'Os contatos desta busca',
    exportCsv: 'para planilhas', exportVcard: 'para agendas', exportNdjson: 'para programas',
    exporting: 'Preparando o arquivo…', exported: '{file} está pronto.',
    exportBroken: 'O arquivo não chegou completo, por isso não foi salvo.',
    import: 'Importar', importTitle: 'Importar contatos', importFile: 'Arquivo: CSV, vCard ou NDJSON', importCheck: 'Verificar de novo',
    importHelp: 'Primeiro ele é verificado; isso não altera nada.', importColumns: 'As colunas têm outros nomes',
    importChecking: 'Verificando: {records} registros…', importGoing: '{accepted} de {valid} aceitos…', stop: 'Parar',
    importChecked: '{valid} de {records} registros são válidos.', importSkips: 'Os outros ficam de fora: corrija-os e importe depois.',
    importDone: '{accepted} aceitos. Eles aparecem na lista à medida que são aplicados.', importSend: { one: 'Importar {count} contato', other: 'Importar {count} contatos' },
    importRest: '{refused} não foram aceitos. Tentar de novo é seguro: nada é importado duas vezes.',
    importStopped: 'Parou antes do fim. Tentar de novo é seguro: nada é importado duas vezes.',
    line: 'Linha {line}', linesMore: 'e mais {count}', importNothing: 'Não há nada neste arquivo que possa ser importado.',
    promise: 'Uma alteração é respondida quando está em segurança e aplicada um instante depois. Esta página mostra os dois.',
  },
};

const STATE_NAMES = {
  AC: 'Acre', AL: 'Alagoas', AM: 'Amazonas', AP: 'Amapá', BA: 'Bahia', CE: 'Ceará', DF: 'Distrito Federal', ES: 'Espírito Santo',
  GO: 'Goiás', MA: 'Maranhão', MG: 'Minas Gerais', MS: 'Mato Grosso do Sul', MT: 'Mato Grosso', PA: 'Pará', PB: 'Paraíba',
  PE: 'Pernambuco', PI: 'Piauí', PR: 'Paraná', RJ: 'Rio de Janeiro', RN: 'Rio Grande do Norte', RO: 'Rondônia', RR: 'Roraima',
  RS: 'Rio Grande do Sul', SC: 'Santa Catarina', SE: 'Sergipe', SP: 'São Paulo', TO: 'Tocantins',
};
const REGION_NAMES = { CentroOeste: 'Centro-Oeste' };

// Storage may be forbidden by the browser's settings: the page works all the same, it only forgets.
const remembered = {
  get: (place, name) => { try { return window[place].getItem(name); } catch { return null; } },
  set: (place, name, value) => {
    try { if (value) window[place].setItem(name, value); else window[place].removeItem(name); } catch { /* see above */ }
  },
};

let language = remembered.get('localStorage', 'contacts.language');
if (!Object.hasOwn(TEXTS, language ?? '')) language = /^pt\b/i.test(navigator.language) ? 'pt-BR' : 'en';

/** The text of a key such as `states.applied`, with its values put in; `count` chooses between one and other. */
function t(path, values = {}) {
  let text = path.split('.').reduce((texts, key) => texts?.[key], TEXTS[language]);
  if (text?.other) text = text[new Intl.PluralRules(language).select(values.count)] ?? text.other;
  const shown = (value) => (typeof value === 'number' ? value.toLocaleString(language) : value);
  return text?.replace(/\{(\w+)\}/g, (_, name) => shown(values[name])) ?? '';
}

// ------------------------------------------------------------------------------------------------------- elements

const $ = (id) => document.getElementById(id);

/** An element with properties and children; texts among the children stay texts. */
function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

const button = (text, onclick, className = 'plain') => el('button', { type: 'button', className, onclick }, text);

/** Shows children in an element, or hides it if there are none. */
function fill(element, ...children) {
  const shown = children.flat().filter(Boolean);
  element.replaceChildren(...shown);
  element.hidden = shown.length === 0;
}

/** Tells those who do not see the page. */
function say(text) {
  // An equal text would not be read again.
  $('live').textContent = $('live').textContent === text ? `${text}\u00a0` : text;
}

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.') : '');
const phone = (e164) => e164.replace(/^\+55(\d\d)(\d{4,5})(\d{4})$/, '($1) $2-$3');
const moment = (text) => new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(text));

function day(text) {
  const date = new Date(text);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(language, today ? { timeStyle: 'short' } : { dateStyle: 'medium' }).format(date);
}

// ------------------------------------------------------------------------------------------------------------ API

/** Why the service did not do what was asked: a problem document (RFC 9457), or no answer at all (status 0). */
class Problem extends Error {
  constructor(document, retryAfter = 0) {
    super(document.title);
    Object.assign(this, { errors: [], detail: '' }, document, { retryAfter });
  }

  /** Whether the same request, with the same key, may be answered otherwise later. */
  get passes() { return [0, 408, 429, 500, 502, 503, 504].includes(this.status); }

  get slug() { return /^\/problems\/([a-z-]+)$/.exec(this.type ?? '')?.[1]; }

  /** What to show: its title, its detail, and where it is explained. */
  content() {
    const link = this.slug && el('a', { href: `problems/${this.slug}`, target: '_blank', rel: 'noopener' }, t('explain'));
    return [el('strong', {}, sentence(this.title)), el('span', {}, sentence(this.detail)), link];
  }
}

let key = remembered.get('sessionStorage', 'contacts.key');

const sleep = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, seconds * 1000);
  signal?.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

/** Nobody looks at a hidden tab, so it asks for nothing. */
const visible = () => new Promise((resolve) => {
  const look = () => {
    if (document.hidden) return;
    document.removeEventListener('visibilitychange', look);
    resolve();
  };
  document.addEventListener('visibilitychange', look);
  look();
});

/** Retry-After is a number of seconds or a date. */
function retryAfter(response) {
  const text = response.headers.get('Retry-After') ?? '';
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 300) : 0;
}

async function problemOf(response) {
  const document = await response.json().catch(() => null);
  const nameless = { title: t('broken', { status: String(response.status) }) };
  return new Problem({ ...nameless, ...document, status: response.status }, retryAfter(response));
}

/**
 * Asks the API. Asks for a key where one is needed (unless `quiet`), and waits where the service wants fewer requests.
 * `seconds` is how long the head of the answer may take; 0 for as long as it likes.
 */
async function api(method, path, { body, type = 'application/json', headers = {}, signal, quiet, seconds = 30, cache = 'no-cache' } = {}) {
  for (let waited = 0; ;) {
    const sent = new Headers({ ...headers, 'Accept-Language': language });
    const used = key;
    if (used) sent.set('Authorization', `Bearer ${used}`);
    if (body !== undefined) sent.set('Content-Type', type);
    const limit = new AbortController();
    const abort = () => limit.abort(signal.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const timer = seconds && setTimeout(() => limit.abort(), seconds * 1000);
    let response;
    try {
      response = await fetch(path, { method, headers: sent, body, cache, signal: limit.signal });
    } catch {
      signal?.throwIfAborted();
      throw new Problem({ status: 0, title: t('offlineTitle'), detail: t(method === 'GET' ? 'offlineRead' : 'offlineWrite') });
    } finally {
      clearTimeout(timer);
    }
    if (response.status === 401 && key !== used) continue; // Another request was faster to ask.
    if (response.status === 401 && !quiet && await askForKey(used ? 'keyRefused' : 'keyNeeded')) continue;
    if (response.status === 429 && waited < 60) {
      // With a little chance, so that those who were sent away together do not come back together.
      const pause = Math.max(retryAfter(response), 1) + Math.random() / 2;
      waited += pause;
      if (!quiet) notify('', el('span', {}, t('slow', { seconds: Math.ceil(pause) })));
      await sleep(pause, signal);
      if (!quiet) notify();
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

async function read(path, options) {
  const response = await api('GET', path, options);
  try {
    return await response.json();
  } catch {
    options?.signal?.throwIfAborted();
    throw new Problem({ status: 0, title: t('offlineTitle'), detail: t('offlineRead') });
  }
}

/** crypto.randomUUID exists in secure contexts only, and the service may be reached by plain HTTP in a private network. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return crypto.randomUUID?.() ?? Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// The key: asked for once, however many requests wait for it.

let asking = null;
/** Those who wait, without asking, until somebody gives a key. */
let waiting = [];
const keyGiven = () => new Promise((resolve) => { waiting.push(resolve); });

function askForKey(why) {
  asking ??= new Promise((resolve) => {
    $('key-why').dataset.t = why;
    $('key-why').textContent = t(why);
    $('key-value').value = '';
    fill($('key-error'));
    $('key').addEventListener('close', () => {
      asking = null;
      resolve($('key').returnValue === 'given');
    }, { once: true });
    $('key').returnValue = '';
    $('key').showModal();
  });
  return asking;
}

function setKey(value) {
  key = value;
  remembered.set('sessionStorage', 'contacts.key', value);
  $('key-change').hidden = !value;
  if (value) waiting.splice(0).forEach((go) => go());
}

$('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = $('key-value').value.trim();
  if (!/^[!-~]+$/.test(value)) {
    fill($('key-error'), t('keyBad'));
    $('key-value').focus();
    return;
  }
  setKey(value);
  $('key').close('given');
});

$('key-change').addEventListener('click', () => {
  setKey(null);
  rows.forEach(({ row }) => row.remove());
  rows.clear();
  list();
});

/** What a person can do about a problem besides trying again. */
function keyButton(problem) {
  if (![401, 403].includes(problem.status)) return null;
  return button(t(key ? 'keyOther' : 'keyEnter'), async () => { if (await askForKey('keyNeeded')) start(); });
}

function notify(kind = '', ...children) {
  $('notice').className = `notice ${kind}`;
  fill($('notice'), ...children);
}

// ----------------------------------------------------------------------------------------------------------- list

/** What is shown, by contact: the item as last read, and its row. */
const rows = new Map();
let areas = [];
/** The search that the rows are of, and the cursor of its next page. */
let searched = new URLSearchParams();
let next = null;
let reading = null;
const filters = ['region', 'state', 'ddd'].map($);

function query() {
  const all = [['q', $('q').value.trim()], ...filters.map((select) => [select.id, select.value])];
  return new URLSearchParams(all.filter(([, value]) => value));
}

/** Reads the first page of the search, or the page after the last one. */
async function list({ more = false, quiet = false } = {}) {
  reading?.abort();
  const { signal } = (reading = new AbortController());
  // A cursor belongs to its search, whatever has been typed since.
  const search = more ? new URLSearchParams(searched) : query();
  if (!more) searched = new URLSearchParams(search);
  $('clear').hidden = query().size === 0;
  $('export-what').textContent = t(search.size ? 'exportFound' : 'exportAll');
  if (more) search.set('cursor', next);
  $('table').setAttribute('aria-busy', 'true');
  try {
    const page = await read(`contacts?${search}`, { signal, quiet });
    notify();
    next = page.next;
    if (!more) {
      rows.forEach(({ row }) => row.remove());
      rows.clear();
      // What was just created and is not applied yet would be missed; a search shows only what it found.
      if (!searched.size) drafts().forEach((draft) => showContact(draft, { draft: true }));
    }
    const first = page.items.find((item) => !rows.has(item.id));
    page.items.forEach((item) => showContact(item));
    // The button goes away with the last page: the focus goes on to what it brought.
    if (more && !next && first) rows.get(first.id).row.querySelector('button')?.focus();
    foot();
    if (!quiet) say(rows.size ? $('count').textContent : $('empty').textContent);
  } catch (problem) {
    if (signal.aborted) return;
    next = more ? next : null;
    const retry = button(t('again'), () => list({ more }));
    const content = problem.slug === 'reads-unavailable' ? [el('strong', {}, t('unreadable'))] : problem.content();
    notify('bad', ...content, keyButton(problem) ?? retry);
    foot(true);
    say($('notice').textContent);
  } finally {
    if (!signal.aborted) $('table').setAttribute('aria-busy', 'false');
  }
}

/** What stands below the rows, or in their place. */
function foot(unknown = false) {
  const searching = searched.size > 0;
  $('foot').hidden = rows.size === 0;
  $('count').textContent = next ? t('countMore', { count: rows.size }) : t('count', { count: rows.size });
  $('more').hidden = !next;
  if (rows.size || unknown) fill($('empty'));
  else {
    fill(
      $('empty'), icon(searching ? 'search' : 'people'), el('strong', {}, t(searching ? 'nothing' : 'none')),
      el('span', {}, t(searching ? 'nothingHelp' : 'noneHelp')),
    );
  }
  $('table').classList.toggle('bare', rows.size === 0);
}

const colour = (text) => `hue-${[...text].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 6, 0)}`;
const initials = (name) => name.split(/\s+/).filter(Boolean).map((word) => [...word][0]).filter((_, at, all) => at === 0 || at === all.length - 1).join('');

/** Shows a contact: in its row if it has one, so that nothing moves and the focus stays. */
function showContact(item, { first = false, draft = false } = {}) {
  const known = rows.get(item.id);
  if (draft && known) return;
  const row = known?.row ?? contactRow(item.id);
  rows.set(item.id, { item, row });
  row.classList.toggle('draft', draft);
  const [name, number, mail, area, updated, acts] = row.cells;
  const face = el('span', { className: `face ${colour(item.id)}` }, initials(item.name));
  face.setAttribute('aria-hidden', 'true');
  name.replaceChildren(face, el('span', { className: 'who' }, el('span', { className: 'called', title: item.name }, item.name)));
  number.replaceChildren(draft ? item.phone : el('a', { href: `tel:${item.phone}` }, phone(item.phone)));
  mail.replaceChildren(draft ? item.email : el('a', { href: `mailto:${encodeURIComponent(item.email)}`, title: item.email }, item.email));
  area.replaceChildren(...(draft ? [] : [el('span', { className: 'ddd' }, String(item.ddd)), `${item.state} · ${REGION_NAMES[item.region] ?? item.region}`]));
  updated.replaceChildren(...(draft ? [] : [el('time', { dateTime: item.updated_at, title: moment(item.updated_at) }, day(item.updated_at))]));
  for (const act of acts.children) {
    act.hidden = draft;
    act.setAttribute('aria-label', t(`${act.dataset.act}Named`, { name: item.name }));
    act.title = t(act.dataset.act);
  }
  mark(item.id);
  if (first && $('rows').firstElementChild !== row) $('rows').prepend(row);
  else if (!known) $('rows').append(row);
}

/** Puts the state of a contact's last change beside its name. */
function mark(id) {
  const who = rows.get(id)?.row.querySelector('.who');
  who?.querySelector('.badge')?.remove();
  who?.append(...[badge(lastChange(id))].filter(Boolean));
}

function contactRow(id) {
  const row = el('tr', {}, ...['name', 'phone', 'email', 'area', 'updated', 'acts'].map((className) => {
    const cell = el('td', { className });
    cell.setAttribute('role', 'cell');
    return cell;
  }));
  row.setAttribute('role', 'row');
  row.dataset.id = id;
  const act = (name, symbol, open) => {
    const one = el('button', { type: 'button', className: 'icon', onclick: () => open(rows.get(id).item) }, icon(symbol));
    one.dataset.act = name;
    return one;
  };
  row.cells[5].append(act('edit', 'edit', openEdit), act('remove', 'delete', openRemove));
  return row;
}

function hideContact(id) {
  const known = rows.get(id);
  if (!known) return;
  const focused = known.row.contains(document.activeElement);
  const neighbour = known.row.nextElementSibling ?? known.row.previousElementSibling;
  known.row.remove();
  rows.delete(id);
  foot();
  if (focused) (neighbour?.querySelector('button:not([hidden])') ?? $('create')).focus();
}

/** Reads a contact again after a change ended, however it ended: the row shows what is, not what was hoped for. */
async function refresh(change) {
  if (change.kind === 'delete' && change.state === 'applied') {
    hideContact(change.id);
    return;
  }
  try {
    const item = await read(`contacts/${change.id}`, { quiet: true });
    // A search shows what it found: a contact that is new to it comes when it is asked again.
    if (rows.has(item.id) || !searched.size) showContact(item, { first: change.kind === 'create' });
    else if (change.kind === 'create') list({ quiet: true });
    foot();
  } catch (problem) {
    if (problem.status === 404) hideContact(change.id);
  }
}

function choices() {
  const [region, state, ddd] = filters;
  const fits = (area) => (!region.value || area.region === region.value) && (!state.value || area.state === state.value);
  const offer = (select, any, values, text) => {
    const chosen = select.value;
    select.replaceChildren(el('option', { value: '' }, any), ...values.map((value) => el('option', { value }, text(value))));
    select.value = values.map(String).includes(chosen) ? chosen : '';
    select.disabled = values.length === 0;
  };
  const unique = (values) => [...new Set(values)].sort();
  offer(region, t('anyF') || t('any'), unique(areas.map((area) => area.region)), (name) => REGION_NAMES[name] ?? name);
  offer(state, t('any'), unique(areas.filter((area) => !region.value || area.region === region.value).map((area) => area.state)),
    (code) => `${code} – ${STATE_NAMES[code] ?? code}`);
  offer(ddd, t('any'), areas.filter(fits).map((area) => area.ddd),
    (code) => `${code} – ${areas.find((area) => area.ddd === code).state}`);
}

let typing = 0;
$('q').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(list, 250); });
$('search').addEventListener('submit', (event) => { event.preventDefault(); clearTimeout(typing); list(); });
filters.forEach((select) => select.addEventListener('change', () => { choices(); list(); }));
$('more').addEventListener('click', () => list({ more: true }));
$('clear').addEventListener('click', () => {
  $('search').reset();
  choices();
  list();
  $('q').focus();
});

// -------------------------------------------------------------------------------------------------------- changes

/**
 * The changes made in this tab, newest first: `{ kind, id, version, values, key, name, state }`, where state is
 * sending -> accepted -> applied | superseded | failed | forgotten, or refused (not accepted).
 */
let changes = [];

const lastChange = (id) => changes.find((change) => change.id === id);
const drafts = () => changes.filter((change) => change.kind === 'create' && change.id && change.state === 'accepted')
  .map((change) => ({ id: change.id, ...change.values }));

const ICONS = { sending: 'clock', accepted: 'clock', applied: 'check', superseded: 'skip', failed: 'alert', refused: 'alert', forgotten: 'alert' };

function badge(change) {
  return change ? el('span', { className: `badge ${change.state}` }, icon(ICONS[change.state]), t(`states.${change.state}`)) : null;
}

/** Sends a change. Sent again it carries the same key, so that it takes effect once, whatever became of the first. */
async function send(change) {
  const { kind, id, version, values } = change;
  const headers = { 'Idempotency-Key': change.key };
  if (version) headers['If-Match'] = `"${version}"`;
  const [method, path] = { create: ['POST', 'contacts'], update: ['PUT', `contacts/${id}`], delete: ['DELETE', `contacts/${id}`] }[kind];
  change.state = 'sending';
  try {
    const response = await api(method, path, { headers, body: kind === 'delete' ? undefined : JSON.stringify(values) });
    const accepted = await response.json().catch(() => {
      throw new Problem({ status: 0, title: t('offlineTitle'), detail: t('offlineWrite') });
    });
    Object.assign(change, { state: 'accepted', id: accepted.contact_id, operation: accepted.operation_id, problem: null, note: 'accepted' });
    change.wait = retryAfter(response);
  } catch (problem) {
    Object.assign(change, { state: 'refused', problem });
    throw problem;
  }
  track(change);
  if (kind === 'create' && !searched.size) showContact({ id: change.id, ...values }, { first: true, draft: true });
  foot();
  showChange(change);
  follow(change);
}

/** Asks how an accepted change ended: not before Retry-After, then less and less often, and only while the tab is seen. */
async function follow(change) {
  for (let wait = 1; change.state === 'accepted'; wait = Math.min(wait * 1.5, 15)) {
    await sleep(Math.max(wait, change.wait));
    await visible();
    try {
      const response = await api('GET', `operations/${change.operation}`, { quiet: true });
      const { status, reason, detail } = await response.json();
      change.wait = retryAfter(response);
      const note = wait > 4 ? 'waiting' : 'accepted';
      if (status !== 'pending') Object.assign(change, { state: status, reason, detail, note: null });
      else if (note !== change.note) showChange(Object.assign(change, { note }));
    } catch (problem) {
      if (problem.status === 404) change.state = 'forgotten';
      else {
        change.wait = problem.retryAfter ?? 0;
        showChange(Object.assign(change, { note: 'unread' }));
        if (problem.status === 401) await keyGiven();
      }
    }
  }
  await refresh(change);
  showChange(change);
}

function track(change) {
  if (!changes.includes(change)) changes.unshift(change);
}

function drop(change) {
  changes = changes.filter((other) => other !== change);
  const focused = change.entry?.contains(document.activeElement);
  change.entry?.remove();
  mark(change.id);
  $('changes').hidden = changes.length === 0;
  if (focused) $('create').focus();
}

$('changes-clear').addEventListener('click', () => {
  changes.filter(({ state }) => ['applied', 'superseded'].includes(state)).forEach(drop);
  $('create').focus();
});

/** Shows a change where it stands: in the list of changes, and as a badge in the contact's row. */
function showChange(change) {
  if (!changes.includes(change)) return;
  const { kind, state, name, operation, reason } = change;
  if (!change.entry) {
    change.entry = el('li');
    $('changes-list').prepend(change.entry);
  }
  const why = el('p', { className: 'why' });
  if (state === 'failed') why.append(sentence(change.detail), ' ', el('code', {}, reason), ' ', t(`advice.${reason}`));
  else if (state === 'refused') why.append(...change.problem.content().filter(Boolean).flatMap((part) => [part, ' ']), whichFields(change.problem));
  else why.append(t(`means.${change.note ?? state}`));
  change.entry.className = state;
  change.entry.replaceChildren(
    badge(change),
    el('p', { className: 'what' }, el('span', {}, t(`kind.${kind}`)), el('strong', {}, name), operation ? el('code', { className: 'operation', title: 'operation_id' }, operation) : null),
    why,
    el('div', { className: 'next' }, ...remedies(change)),
  );
  $('changes').hidden = false;
  mark(change.id);
  say(`${t(`kind.${kind}`)}, ${name}: ${t(`states.${state}`)}. ${state === 'failed' ? sentence(change.detail) : ''}`);
}

const whichFields = (problem) => problem.errors.map((error) => `${error.field}: ${error.detail}`).join('; ');

/** What a person can do about a change that did not go through. */
function remedies(change) {
  const { kind, state, values, reason, problem } = change;
  const then = (text, act) => button(t(text), () => { drop(change); act(); }, '');
  const dismiss = el('button', { type: 'button', className: 'icon', title: t('dismiss'), onclick: () => drop(change) }, icon('close'));
  dismiss.setAttribute('aria-label', t('dismiss'));
  const all = [];
  if (state === 'refused' && problem.passes) all.push(button(t('again'), () => retry(change), ''));
  else if (state === 'failed' || state === 'refused') {
    const gone = ['contact_deleted', 'contact_not_found'].includes(reason);
    if (kind !== 'delete' && (gone || kind === 'create')) all.push(then('recreate', () => openEdit(null, values)));
    else if (!gone) all.push(then('review', () => review(change)));
  }
  if (!['sending', 'accepted'].includes(state)) all.push(dismiss);
  return all;
}

async function retry(change) {
  const entry = change.entry;
  for (const one of entry.querySelectorAll('button')) one.disabled = true;
  try {
    await send(change);
  } catch {
    showChange(change);
  }
}

/** Decides anew on a change that met another version: with the current state beside what was typed. */
async function review(change) {
  const known = rows.get(change.id)?.item ?? { id: change.id, ...change.values };
  if (change.kind === 'delete') {
    openRemove(known);
    await reloadRemove();
  } else {
    openEdit(known, change.values);
    await reloadEdit();
  }
}

// -------------------------------------------------------------------------------------------------------- dialogs

const FIELDS = ['name', 'phone', 'email'];

/** What the open dialog is about: the contact as it was read (none for a new one), and the last try to send it. */
let editing = { item: null, attempt: null };
let removing = { item: null, attempt: null };

const typed = () => Object.fromEntries(FIELDS.map((field) => [field, $(`edit-${field}`).value]));

function busy(dialog, send, on, text) {
  dialog.classList.toggle('busy', on);
  send.disabled = on;
  send.textContent = on ? t('sending') : text;
}

function openEdit(item, values = item && { ...item, phone: phone(item.phone) }) {
  editing = { item, attempt: null };
  $('edit-title').textContent = t(item ? 'editTitle' : 'create');
  for (const field of FIELDS) {
    $(`edit-${field}`).value = values?.[field] ?? '';
    fill($(`edit-${field}-now`));
  }
  showBase();
  showEditProblem(null);
  busy($('edit'), $('edit-send'), false, t('save'));
  if (!$('edit').open) $('edit').showModal();
  $('edit-name').focus();
}

function showBase() {
  const time = editing.item?.updated_at;
  fill($('edit-based'), time && t('based', { time: moment(time) }));
}

/** Shows a problem: what belongs to a field at the field, the rest above. */
function showEditProblem(problem, ...more) {
  const errors = (problem?.errors ?? []).filter((error) => (error.in ?? 'body') === 'body');
  const fieldOf = (error) => FIELDS.find((field) => error.pointer === `/${field}` || error.field === field);
  for (const field of FIELDS) {
    const own = errors.filter((error) => fieldOf(error) === field);
    fill($(`edit-${field}-error`), own.map((error) => sentence(error.detail)).join(' '));
    $(`edit-${field}`).setAttribute('aria-invalid', String(own.length > 0));
  }
  const rest = (problem?.errors ?? []).filter((error) => !errors.includes(error) || !fieldOf(error));
  const inFields = problem && problem.errors.length > 0 && rest.length === 0;
  $('edit-problem').classList.toggle('bad', problem !== null);
  const above = problem && !inFields ? [...problem.content(), ...rest.map((error) => el('span', {}, `${error.field}: ${error.detail}`))] : [];
  fill($('edit-problem'), ...(inFields ? [el('strong', {}, `${t('states.refused')}. ${sentence(problem.detail)}`)] : above), ...more);
  const wrong = $('edit-form').querySelector('[aria-invalid="true"]');
  if (wrong) wrong.focus();
}

$('edit-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { item } = editing;
  if ($('edit').classList.contains('busy')) return;
  const values = typed();
  // The same request keeps its key; another one must have a key of its own.
  const print = JSON.stringify([item?.id, item?.version, values]);
  if (editing.attempt?.print !== print) {
    const name = values.name.trim() || values.email.trim();
    editing.attempt = { print, kind: item ? 'update' : 'create', id: item?.id, version: item?.version, values, name, key: newKey() };
  }
  const change = editing.attempt;
  showEditProblem(null);
  busy($('edit'), $('edit-send'), true);
  try {
    await send(change);
    editing.attempt = null;
    $('edit').close();
  } catch (problem) {
    busy($('edit'), $('edit-send'), false, t(problem.passes ? 'again' : 'save'));
    if (problem.slug === 'version-conflict') showEditProblem(problem, button(t('reload'), reloadEdit, ''));
    else showEditProblem(problem, keyless(problem));
    // Refused for good: what comes next is another request.
    if (!problem.passes) editing.attempt = null;
    if ($('edit').open) say($('edit-problem').textContent);
  }
});

/** A button to use another key, for dialogs. */
function keyless(problem) {
  return [401, 403].includes(problem.status) ? button(t(key ? 'keyOther' : 'keyEnter'), () => askForKey('keyNeeded'), '') : null;
}

$('edit-form').addEventListener('input', (event) => {
  const { attempt, item } = editing;
  const field = event.target.name;
  $(`edit-${field}`).setAttribute('aria-invalid', 'false');
  fill($(`edit-${field}-error`));
  if (!attempt) return;
  const same = attempt.print === JSON.stringify([item?.id, item?.version, typed()]);
  $('edit-send').textContent = t(same ? 'again' : 'save');
  showEditProblem(attempt.problem, same ? null : el('span', {}, t('differs')));
});

/** Reads the contact again and keeps what was typed; what differs is shown at its field. */
async function reloadEdit() {
  const values = typed();
  busy($('edit'), $('edit-send'), true);
  try {
    const item = await read(`contacts/${editing.item.id}`);
    editing = { item, attempt: null };
    showContact(item);
    showBase();
    for (const field of FIELDS) {
      const current = field === 'phone' ? phone(item.phone) : item[field];
      const same = values[field].trim() === current || (field === 'phone' && values[field].replace(/\D/g, '') === current.replace(/\D/g, ''));
      const take = button(t('useNow'), () => {
        $(`edit-${field}`).value = current;
        fill($(`edit-${field}-now`));
        $(`edit-${field}`).focus();
      });
      fill($(`edit-${field}-now`), !same && el('span', {}, t('now', { value: current })), !same && take);
    }
    showEditProblem(null, el('span', {}, t('reloaded')));
    busy($('edit'), $('edit-send'), false, t('saveOver'));
    say(t('reloaded'));
    $('edit-name').focus();
  } catch (problem) {
    if (problem.status === 404) {
      const recreate = button(t('recreate'), () => { openEdit(null, values); }, '');
      hideContact(editing.item.id);
      showEditProblem(new Problem({ title: t('gone'), status: 404, detail: t('advice.contact_deleted') }), recreate);
      busy($('edit'), $('edit-send'), false, t('save'));
      $('edit-send').disabled = true;
      recreate.focus();
    } else {
      showEditProblem(problem, button(t('reload'), reloadEdit, ''));
      busy($('edit'), $('edit-send'), false, t('save'));
    }
  }
}

function openRemove(item) {
  removing = { item, attempt: null };
  showRemoved();
  fill($('remove-problem'));
  busy($('remove'), $('remove-send'), false, t('remove'));
  $('remove').showModal();
}

function showRemoved() {
  const { item } = removing;
  fill($('remove-what'), el('strong', {}, item.name), el('span', {}, phone(item.phone)), el('span', {}, item.email));
}

$('remove-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { item } = removing;
  if ($('remove').classList.contains('busy')) return;
  removing.attempt ??= { kind: 'delete', id: item.id, version: item.version, name: item.name, values: { name: item.name, phone: item.phone, email: item.email }, key: newKey() };
  fill($('remove-problem'));
  busy($('remove'), $('remove-send'), true);
  try {
    await send(removing.attempt);
    removing.attempt = null;
    $('remove').close();
  } catch (problem) {
    busy($('remove'), $('remove-send'), false, t(problem.passes ? 'again' : 'remove'));
    $('remove-problem').classList.add('bad');
    const stale = problem.slug === 'version-conflict' && button(t('review'), reloadRemove, '');
    fill($('remove-problem'), ...problem.content(), stale, keyless(problem));
    if (!problem.passes) removing.attempt = null;
  }
});

async function reloadRemove() {
  try {
    const item = await read(`contacts/${removing.item.id}`);
    removing = { item, attempt: null };
    showContact(item);
    showRemoved();
    $('remove-problem').classList.remove('bad');
    fill($('remove-problem'), el('span', {}, t('reloadedRemove')));
  } catch (problem) {
    $('remove-problem').classList.add('bad');
    if (problem.status === 404) hideContact(removing.item.id);
    fill($('remove-problem'), ...(problem.status === 404 ? [el('strong', {}, t('gone'))] : problem.content()));
    $('remove-send').disabled = problem.status === 404;
  }
}

for (const dialog of document.querySelectorAll('dialog')) {
  for (const close of dialog.querySelectorAll('[data-close]')) close.addEventListener('click', () => dialog.close());
  // While a change is on its way there is nothing to cancel any more.
  dialog.addEventListener('cancel', (event) => { if (dialog.classList.contains('busy')) event.preventDefault(); });
}
for (const [dialog, about] of [[$('edit'), () => editing], [$('remove'), () => removing]]) {
  dialog.addEventListener('close', () => {
    // A change that may be tried again is not lost with its dialog.
    const { attempt } = about();
    if (attempt?.state === 'refused') { track(attempt); showChange(attempt); }
    about().attempt = null;
    if (document.activeElement === document.body) $('create').focus();
  });
}
$('create').addEventListener('click', () => openEdit(null));

// ------------------------------------------------------------------------------------------------ export and import

for (const choice of $('export').querySelectorAll('[data-format]')) {
  choice.addEventListener('click', async () => {
    $('export').open = false;
    $('export').firstElementChild.focus();
    const search = query();
    search.set('format', choice.dataset.format);
    notify('', el('span', {}, t('exporting')));
    say(t('exporting'));
    try {
      // Not a plain link: the key goes into a header, and a problem is to be shown here.
      const response = await api('GET', `contacts/export?${search}`, { seconds: 0 });
      const file = /filename="([^"/\\]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? `contacts.${choice.dataset.format}`;
      const address = URL.createObjectURL(await response.blob());
      el('a', { href: address, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      notify('good', el('span', {}, t('exported', { file })), button(t('dismiss'), () => notify()));
      say(t('exported', { file }));
    } catch (problem) {
      const content = problem instanceof Problem ? problem.content() : [el('strong', {}, t('exportBroken'))];
      notify('bad', ...content, button(t('dismiss'), () => notify()));
      say($('notice').textContent);
    }
  });
}

/**
 * Cuts a file between its records, each part with the line it begins at. In parts, because a browser reads an answer only
 * after it has sent its whole request: with one large request both sides would wait for the other to read. A part also
 * is what is sent again after a fault.
 */
function cut(bytes, format, size = 64 * 1024) {
  const found = [];
  let head = format === 'csv' ? null : 0;
  let headLines = 0;
  let [start, startLine, line, lineStart, quoted, fieldStart] = [0, 1, 1, 0, false, true];
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (format === 'csv' && byte === 0x22 && (quoted || fieldStart)) quoted = !quoted;
    // A second quote in a quoted field stands for itself, which closing and opening again amounts to.
    fieldStart = !quoted && [0x2c, 0x3b, 0x09, 0x0a, 0x22].includes(byte);
    if (byte !== 0x0a) continue;
    line += 1;
    const text = () => new TextDecoder().decode(bytes.subarray(lineStart, at)).trim();
    const between = format === 'csv' ? !quoted : format === 'ndjson' || (at - lineStart < 20 && /^END:VCARD$/i.test(text()));
    if (between && head === null && text()) {
      [head, headLines, start, startLine] = [at + 1, line - 1, at + 1, line];
    } else if (between && head !== null && at + 1 - start >= size) {
      found.push({ start, end: at + 1, line: startLine });
      [start, startLine] = [at + 1, line];
    }
    lineStart = at + 1;
  }
  if (start < bytes.length || !found.length) found.push({ start, end: bytes.length, line: startLine });
  // The service counts the lines of what it is sent, which for every part begins with the header.
  return found.map((part) => ({ ...part, head: head ?? 0, shift: part.line - 1 - headLines }));
}

/** The lines of a streamed NDJSON answer. */
async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? '')).split('\n');
    rest = done ? '' : parts.pop();
    for (const part of parts) if (part.trim()) yield JSON.parse(part);
    if (done) return;
  }
}

const TYPES = { csv: 'text/csv', vcf: 'text/vcard', vcard: 'text/vcard', ndjson: 'application/x-ndjson', jsonl: 'application/x-ndjson' };
const FORMATS = { 'text/csv': 'csv', 'text/vcard': 'vcard', 'application/x-ndjson': 'ndjson' };
/** How many wrong lines are shown. */
const LINES_SHOWN = 100;

let importing = null;

function newImport(file) {
  const type = TYPES[file.name.split('.').pop().toLowerCase()] ?? 'text/csv';
  return { file, type, key: newKey(), parts: null, checked: [], sent: [], stop: null };
}

const sum = (results, what) => results.reduce((total, result) => total + (result?.[what] ?? 0), 0);

/** Sends the parts that are still to be sent, one after the other, and keeps each one's result. */
async function run(job, results, dryRun) {
  job.parts ??= cut(new Uint8Array(await job.file.arrayBuffer()), FORMATS[job.type]);
  job.stop = new AbortController();
  const { signal } = job.stop;
  for (const [at, part] of job.parts.entries()) {
    if (results[at]?.complete) continue;
    const result = { records: 0, valid: 0, accepted: 0, invalid: 0, not_accepted: 0, wrong: [], complete: false };
    results[at] = result;
    const search = new URLSearchParams({ dry_run: String(dryRun) });
    if (FORMATS[job.type] === 'csv') {
      for (const input of $('import-columns').querySelectorAll('input')) if (input.value.trim()) search.set(input.name, input.value.trim());
    }
    const body = job.file.slice(part.start, part.end);
    const headers = dryRun ? {} : { 'Idempotency-Key': `${job.key}-${at}` };
    const response = await api('POST', `contacts/import?${search}`, { type: job.type, headers, signal, seconds: 0, body: new Blob([job.file.slice(0, part.head), body]) });
    for await (const { line, status, errors, operation_id: operation, summary, ...other } of lines(response)) {
      if (summary) {
        result.complete = summary.complete && result.not_accepted === 0;
        if (!summary.complete) throw new Problem({ status: 200, title: sentence(summary.detail) || t('importStopped') });
      } else {
        result.records += 1;
        result[status] += 1;
        if (operation) job.operation = operation;
        if (status === 'not_accepted') result.why = other.detail;
        if (status === 'invalid') result.wrong.push({ line: line + part.shift, errors });
        if (result.records % 50 === 0) showImport(job, results, dryRun);
      }
    }
    showImport(job, results, dryRun);
    if (!result.complete) throw new Problem({ status: 503, title: sentence(result.why), detail: t('importRest', { refused: result.not_accepted }) });
  }
}

function showImport(job, results, dryRun) {
  const records = sum(results, 'records');
  const done = job.parts.reduce((total, part, at) => total + (results[at]?.complete ? part.end - part.start : 0), 0);
  $('import-report').hidden = false;
  $('import-progress').max = job.file.size;
  $('import-progress').value = done;
  $('import-state').textContent = dryRun
    ? t('importChecking', { records }) : t('importGoing', { accepted: sum(results, 'accepted'), valid: sum(job.checked, 'valid') });
  if (!dryRun) return;
  const wrong = results.flatMap((result) => result?.wrong ?? []);
  const shown = wrong.slice(0, LINES_SHOWN).map(({ line, errors }) => {
    const details = errors.map((error) => `${error.field}: ${error.detail}`).join('; ');
    return el('li', {}, el('strong', {}, t('line', { line })), ' ', details);
  });
  if (wrong.length > LINES_SHOWN) shown.push(el('li', {}, t('linesMore', { count: wrong.length - LINES_SHOWN })));
  fill($('import-lines'), ...shown);
}

function importBusy(on) {
  $('import-file').disabled = on;
  $('import-check').disabled = on;
  $('import-close').textContent = t(on ? 'stop' : 'close');
}

function importProblem(problem) {
  const shown = problem instanceof Problem ? problem : new Problem({ title: t('importStopped') });
  const wrong = shown.errors.map((error) => el('span', {}, `${error.field}: ${error.detail}`));
  fill($('import-problem'), ...shown.content(), ...wrong, keyless(shown));
}

/** Checks the chosen file: nothing is changed by a dry run. */
async function check() {
  const file = $('import-file').files[0];
  importing?.stop?.abort();
  fill($('import-problem'));
  fill($('import-lines'));
  $('import-report').hidden = true;
  $('import-send').disabled = true;
  $('import-send').textContent = t('import');
  if (!file) return;
  const job = (importing = newImport(file));
  $('import-columns').hidden = FORMATS[job.type] !== 'csv';
  importBusy(true);
  try {
    await run(job, job.checked, true);
    const [valid, records] = [sum(job.checked, 'valid'), sum(job.checked, 'records')];
    $('import-state').textContent = records ? `${t('importChecked', { valid, records })} ${valid < records ? t('importSkips') : ''}` : t('importNothing');
    $('import-send').textContent = t('importSend', { count: valid });
    $('import-send').disabled = valid === 0;
    say($('import-state').textContent);
  } catch (problem) {
    if (job !== importing) return;
    importProblem(problem);
  } finally {
    if (job === importing) importBusy(false);
  }
}

$('import-open').addEventListener('click', () => {
  $('import-form').reset();
  importing = null;
  check();
  $('import').showModal();
});
$('import-file').addEventListener('change', check);
$('import-check').addEventListener('click', check);
$('import').addEventListener('close', () => importing?.stop?.abort());
$('import-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const job = importing;
  if (!job || $('import-send').disabled) return;
  fill($('import-problem'));
  $('import-send').disabled = true;
  importBusy(true);
  try {
    await run(job, job.sent, false);
    $('import-state').textContent = t('importDone', { accepted: sum(job.sent, 'accepted') });
    $('import-send').textContent = t('import');
    say($('import-state').textContent);
    if (job.operation) listWhenApplied(job.operation);
  } catch (problem) {
    importProblem(problem);
    $('import-send').textContent = t('again');
    $('import-send').disabled = false;
  } finally {
    importBusy(false);
  }
});

/** The list is read again when the last of many changes has ended; most of the others will have by then. */
async function listWhenApplied(operation) {
  for (let wait = 1; wait < 60; wait *= 1.5) {
    await sleep(wait);
    await visible();
    const known = await read(`operations/${operation}`, { quiet: true }).catch(() => null);
    if (known && known.status !== 'pending') break;
  }
  list({ quiet: true });
}

// ----------------------------------------------------------------------------------------------------------- whole

/** Puts the texts of the language in their places. */
function translate() {
  document.documentElement.lang = language;
  document.title = t('title');
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
    if (element.matches('.icon')) element.title = t(element.dataset.tLabel);
  }
  for (const element of document.querySelectorAll('[data-t-placeholder]')) element.placeholder = t(element.dataset.tPlaceholder);
  $('language').textContent = t('other');
  $('language').lang = language === 'en' ? 'pt-BR' : 'en';
  choices();
}

$('language').addEventListener('click', () => {
  language = language === 'en' ? 'pt-BR' : 'en';
  remembered.set('localStorage', 'contacts.language', language);
  translate();
  [...changes].reverse().forEach(showChange);
  rows.forEach(({ item, row }) => showContact(item, { draft: row.classList.contains('draft') }));
  foot();
  say(t('title'));
});

document.addEventListener('keydown', (event) => {
  const writing = event.target.closest('input, select, textarea, dialog');
  if (event.key === '/' && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $('q').focus();
    $('q').select();
  }
  if (event.key === 'Escape' && $('export').open) {
    $('export').open = false;
    $('export').firstElementChild.focus();
  }
});
document.addEventListener('click', (event) => { if (!$('export').contains(event.target)) $('export').open = false; });

async function start() {
  await Promise.all([
    list(),
    read('areas', { cache: 'default', quiet: true }).catch(async (problem) => {
      // The list asks for the key.
      if (problem.status !== 401) throw problem;
      await keyGiven();
      return read('areas', { cache: 'default' });
    }).then(({ items }) => { areas = items; choices(); }).catch(() => { /* Filters stay closed; the search works. */ }),
  ]);
}

$('key-change').hidden = !key;
translate();
start();
