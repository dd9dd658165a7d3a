// One dead-lettered message: why it failed, what it says, and what can be done with it.
//
// Personal values are hidden. To show them is an act of its own, which the service logs. They are forgotten when the
// operator leaves the message.

import { $, announce, button, el, field, fill, icon, openDialog, showError, visible } from './dom.js';
import { Problem, call, problemNotice } from './api.js';
import { exactTime, hasText, number, sentence, size, t } from './language.js';
import { commandLine, openJobDialog } from './jobs.js';
import { mayWrite } from './now.js';

const BASE = 'api/dead-letters/messages';

let id = null;
let message = null;
let revealed = false;
let problem = null;
/** The operation that replaced this message. */
let replacement = null;

const path = (rest = '') => `${BASE}/${encodeURIComponent(id)}${rest}`;

/* What the message says */

const hiddenValue = () => el('span', { className: 'hidden-value' }, t('message.hidden'));

/** The members of a body as rows `contact.name`: value. */
function rows(value, name = '') {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, member]) => rows(member, name ? `${name}.${key}` : key));
  }
  return [[name, value]];
}

function bodyTable() {
  if (message.body === null || message.body === undefined) return el('p', {}, t('message.undecodable'));
  if (typeof message.body === 'string') {
    return [
      message.shown_bytes && el('p', { className: 'quiet' }, t('message.beginning', { shown: size(message.shown_bytes), size: size(message.size) })),
      el('pre', { className: 'raw', tabIndex: 0 }, message.body),
    ];
  }
  const hidden = (message.hidden ?? []).filter((name) => !name.startsWith('headers.'));
  const shown = rows(message.body);
  // A hidden member that the answer leaves out is shown as hidden, too.
  for (const name of hidden) if (!shown.some(([other]) => other === name)) shown.push([name, null]);
  return el('table', { className: 'plain-table pairs' }, el('caption', { className: 'visually-hidden' }, t('message.body')), el('tbody', {}, shown.map(([name, value]) => el('tr', {},
    el('th', { scope: 'row' }, el('code', {}, visible(name))),
    el('td', {}, hidden.includes(name) ? hiddenValue() : value === null ? el('span', { className: 'quiet' }, 'null') : el('code', {}, visible(typeof value === 'string' ? value : JSON.stringify(value))))))));
}

function fact(name, value) {
  return value !== null && value !== undefined && value !== '' && [el('dt', {}, t(`message.facts.${name}`)), el('dd', {}, value)];
}

const exact = (timestamp) => timestamp && el('time', { dateTime: timestamp }, exactTime(timestamp));
const findLink = (text) => text && el('a', { className: 'id', href: `#find?q=${encodeURIComponent(text)}` }, text);

function content() {
  const { headers = {} } = message;
  const hides = message.hidden?.length > 0 && !revealed;
  return [
    el('header', { className: 'section-header' },
      el('div', {},
        el('p', {}, el('a', { href: '#dead-letters' }, t('nav.deadLetters'))),
        el('h1', {}, t('message.title', { operation: message.operation }), ' ', el('span', { className: 'reason' }, icon('impaired'), visible(message.reason))),
        el('p', { className: 'id' }, message.id), message.copies > 1 && el('p', { className: 'quiet' }, t('message.copies', { count: message.copies })))),
    replacement && el('p', { className: 'notice good', role: 'status' }, icon('check'), el('span', {}, t('message.retried')), ' ', el('a', { href: `#find?q=${replacement}` }, t('message.follow'))),
    el('section', { className: 'card why-failed' },
      el('h2', {}, t('message.why')),
      el('p', { className: 'what' }, hasText(`reasons.${message.reason}`) && t(`reasons.${message.reason}.what`)),
      message.detail && el('p', { className: 'technical' }, el('code', {}, visible(message.detail))),
      hasText(`reasons.${message.reason}`) && el('p', {}, el('b', {}, t('usually')), ' ', t(`reasons.${message.reason}.do`)),
      replacement ? null : mayWrite() ? el('div', { className: 'actions' },
        message.editable && button(t('message.edit'), edit, { icon: 'edit', className: 'primary', id: 'edit' }),
        button(t('job.replay.verb'), () => openJobDialog('replay', { id: [id] }), { icon: 'replay', id: 'message-replay' }),
        button(t('job.discard.verb'), () => openJobDialog('discard', { id: [id] }, { onArchive: () => openJobDialog('archive', { id: [id] }) }), { icon: 'discard', id: 'message-discard' }))
        : el('p', { className: 'quiet' }, t('readOnlyHelp'))),
    el('div', { className: 'two-columns' },
      el('section', { className: 'card' },
        el('header', {}, el('h2', {}, t('message.body')),
          hides && mayWrite() && button(t('message.reveal'), reveal, { icon: 'eye', id: 'reveal' })),
        hides && el('p', { className: 'quiet' }, t(mayWrite() ? 'message.revealHelp' : 'message.revealDenied')),
        bodyTable()),
      el('section', { className: 'card' },
        el('h2', {}, t('message.history')),
        el('dl', {},
          fact('accepted', exact(message.accepted_at)), fact('firstFailed', exact(message.first_failed_at)), fact('lastFailed', exact(message.last_failed_at)),
          fact('attempts', number(message.attempts ?? 0)), fact('replays', number(message.replays ?? 0)),
          fact('operationId', findLink(message.operation_id)), fact('contactId', findLink(message.contact_id)),
          fact('traceId', findLink(message.trace_id)), fact('size', message.size === undefined ? null : size(message.size))),
        Object.keys(headers).length > 0 && el('details', {}, el('summary', {}, t('message.headers', { count: Object.keys(headers).length })),
          el('table', { className: 'plain-table pairs' }, el('caption', { className: 'visually-hidden' }, t('message.headersTitle')), el('tbody', {}, Object.entries(headers).map(([name, value]) => el('tr', {},
            el('th', { scope: 'row' }, el('code', {}, visible(name))), el('td', {}, value === null ? hiddenValue() : el('code', {}, visible(String(value))))))))))),
    el('section', { className: 'same-command' }, el('h2', { className: 'label' }, t('sameByCommand')), commandLine(message.command)),
  ];
}

export function draw() {
  const place = $('message');
  if (place.hidden) return;
  const focused = document.activeElement?.id;
  fill(place, problem && problemNotice(problem, button(t('tryAgain'), read), el('a', { href: '#dead-letters' }, t('nav.deadLetters'))),
    message ? content() : !problem && el('p', { className: 'quiet', role: 'status' }, t('counting')));
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
}

/* Acts */

async function attempt(work) {
  problem = null;
  const wanted = id;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (id === wanted) problem = error;
  }
  if (id === wanted) draw();
}

const read = () => attempt(async () => {
  const wanted = id;
  const answer = await call('GET', path(), { seconds: 60 });
  if (id === wanted) message = answer;
});

async function reveal() {
  await attempt(async () => {
    const wanted = id;
    const answer = await call('POST', path('/reveal'), { seconds: 60 });
    if (id !== wanted) return;
    message = { ...message, ...answer };
    revealed = true;
  });
  if (revealed) announce(t('message.shown'));
}

/** What is wrong with a value: our own words for a known code. */
function errorText({ field: name, code, message: text, suggestion }) {
  const key = [`fieldErrors.${name}_${code}`, `fieldErrors.${code}`].find(hasText);
  return `${sentence(key ? t(key) : text)}${suggestion ? ` ${t('suggestion', { value: suggestion })}` : ''}`;
}

async function edit() {
  if (!revealed) await reveal();
  if (!revealed) return;
  const values = message.body?.contact ?? message.body?.patch ?? {};
  const names = message.fields;
  const inputs = Object.fromEntries(names.map((name) => [name, el('input', {
    value: typeof values[name] === 'string' ? values[name] : '', autocomplete: 'off', type: name === 'phone' ? 'tel' : 'text',
  })]));
  const place = el('div');
  const send = el('button', { type: 'submit', className: 'primary', id: 'fix-send' }, t('message.send'));
  const dialog = openDialog({
    id: 'edit-dialog', title: t('message.edit'), closeLabel: t('close'),
    body: [el('p', { className: 'technical' }, el('code', {}, visible(message.detail || message.reason))), place,
      names.map((name) => field(`fix-${name}`, t(`fields.${name}`), inputs[name], hasText(`fields.${name}Help`) ? t(`fields.${name}Help`) : null)),
      el('p', { className: 'help' }, t('message.editHelp'))],
    footer: [button(t('cancel'), () => dialog.close()), send],
    onsubmit: submit,
  });
  inputs[names[0]]?.focus();

  async function submit() {
    if (send.disabled) return;
    send.disabled = true;
    place.replaceChildren();
    for (const name of names) showError(dialog, `fix-${name}`, null);
    const body = Object.fromEntries(names.map((name) => [name, inputs[name].value.trim() === '' && name === 'email' ? null : inputs[name].value]));
    try {
      const answer = await call('POST', path('/fix'), { body, seconds: 60 });
      replacement = answer.operation_id;
      dialog.close();
      announce(t('message.retried'));
      draw();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      send.disabled = false;
      const errors = error.errors.filter(({ field: name }) => inputs[name]);
      for (const each of errors) showError(dialog, `fix-${each.field}`, errorText(each));
      if (errors.length < Math.max(1, error.errors.length)) place.replaceChildren(problemNotice(error));
      inputs[errors[0]?.field]?.focus();
    }
  }
}

/** Shows the message with this id. */
export function showMessage(wanted) {
  if (wanted !== id) [id, message, revealed, replacement] = [wanted, null, false, null];
  draw();
  return read();
}

/** Forgets the message, and with it the values that were shown. */
export function leaveMessage() {
  [id, message, revealed, problem, replacement] = [null, null, false, null, null];
  fill($('message'));
}
