// Dead-lettered messages: groups, then a filter, then the messages of the selection.
//
// The filter is a part of the address, so that it can be sent to a colleague. The list does not move by itself: if the
// queue changes, the page says so and waits for the operator.

import { $, button, el, fill, icon, visible } from './dom.js';
import { Problem, call, problemNotice, query } from './api.js';
import { clock, clockWithSeconds, exactTime, hasText, number, t } from './language.js';
import { commandLine, openJobDialog, selectionOf, selectionWords } from './jobs.js';
import { mayWrite, now } from './now.js';

const BASE = 'api/dead-letters';
const PAGE = 50;
export const REASONS = [
  'contact_not_found', 'contact_deleted', 'already_exists', 'version_conflict', 'invalid', 'rejected_by_database',
  'undecodable', 'unknown_schema', 'unknown_operation', 'poison', 'delivery_limit', 'expired', 'unknown',
];
/** What the runbook says about each reason. */
const REASONS_SECTION = '#runbook-dead-letters/what-to-do-about-each-reason';
const OPERATIONS = ['insert', 'update', 'patch', 'delete', 'unknown'];
const FIELDS = ['reason', 'operation', 'since', 'until', 'contact', 'id'];

let filter = {};
let answer = null;
let messages = null;
let more = false;
let problem = null;
/** The ids of the marked messages. */
const marked = new Set();
/** The request that is under way. A newer one ends it. */
let reading = null;
let loading = false;

const address = (values) => `#dead-letters${query(values) ? `?${query(values)}` : ''}`;
const isFiltered = () => FIELDS.some((name) => filter[name]?.length);

/** What happened, and what to do, for each reason. */
export function advice(reason) {
  if (!hasText(`reasons.${reason}`)) return null;
  return el('section', { className: 'card advice' },
    el('h2', {}, el('code', {}, reason), ' ', t(`reasons.${reason}.what`)),
    el('p', {}, el('b', {}, t('usually')), ' ', t(`reasons.${reason}.do`), ' ', el('a', { href: REASONS_SECTION }, t('runbook.reasons'))));
}

/** A time in short, and in full as its tip. */
export const timeCell = (timestamp) => (timestamp ? el('time', { dateTime: timestamp, title: exactTime(timestamp) }, clock(timestamp)) : '–');

/** An id that shows its end: ids of the same minute begin alike. */
export const shortId = (id) => el('span', { className: 'id', title: id }, id && id.length > 20 ? `…${id.slice(-12)}` : id ?? '–');

/* The filter */

function select(name, values) {
  const chosen = filter[name]?.length > 1 ? [filter[name].join(',')] : [];
  return el('select', { id: `filter-${name}`, name, onchange: apply },
    el('option', { value: '' }, t('any')),
    [...chosen, ...values].map((value) => el('option', { value, selected: value === (filter[name] ?? []).join(',') }, value)));
}

function apply(event) {
  event?.preventDefault();
  const values = Object.fromEntries(new FormData($('filter')));
  location.hash = address({ ...values, reason: values.reason?.split(','), operation: values.operation?.split(',') });
}

function filterForm() {
  const input = (name, properties = {}) => el('input', { id: `filter-${name}`, name, value: filter[name] ?? '', autocomplete: 'off', spellcheck: false, ...properties });
  const label = (name, control) => el('label', { className: `filter-${name}` }, el('span', {}, t(`filter.${name}`)), control);
  return el('form', { id: 'filter', className: 'filters', onsubmit: apply, 'aria-label': t('filter.title') },
    label('reason', select('reason', REASONS)),
    label('operation', select('operation', OPERATIONS)),
    label('since', input('since', { placeholder: '2h' })),
    label('until', input('until', { placeholder: t('filter.timeHint') })),
    label('contact', input('contact', { placeholder: 'UUID' })),
    label('id', input('id', { placeholder: 'UUID' })),
    el('div', { className: 'filter-buttons' },
      el('button', { type: 'submit' }, t('filter.apply')),
      isFiltered() && el('a', { className: 'plain', href: '#dead-letters' }, t('filter.clear'))));
}

/* Groups */

function groupsTable() {
  const largest = Math.max(...answer.groups.map((group) => group.messages));
  const rows = answer.groups.map((group) => {
    const href = address({ ...filter, reason: [group.reason], operation: [group.operation] });
    const bar = el('progress', { className: 'share', max: largest, value: group.messages, 'aria-hidden': 'true' });
    return el('tr', {},
      el('th', { scope: 'row', 'data-head': t('columns.reason') }, el('a', { href }, el('code', {}, visible(group.reason))), hasText(`reasons.${group.reason}`) && el('small', {}, t(`reasons.${group.reason}.what`))),
      el('td', { 'data-head': t('columns.operation') }, el('code', {}, group.operation)),
      el('td', { className: 'number', 'data-head': t('columns.messages') }, el('b', {}, number(group.messages)), bar),
      el('td', { className: 'number', 'data-head': t('columns.lastHour') }, group.last_hour > 0 ? el('span', { className: 'rising' }, `+${number(group.last_hour)}`) : '0'),
      el('td', { 'data-head': t('columns.oldest') }, timeCell(group.oldest)),
      el('td', { 'data-head': t('columns.newest') }, timeCell(group.newest)));
  });
  const heads = ['reason', 'operation', 'messages', 'lastHour', 'oldest', 'newest'];
  return el('section', { className: 'card' }, el('h2', { id: 'groups-title' }, t('groups')),
    el('table', { className: 'groups cards', role: 'table', 'aria-labelledby': 'groups-title' },
      el('thead', {}, el('tr', {}, heads.map((name) => el('th', { scope: 'col', className: ['messages', 'lastHour'].includes(name) ? 'number' : '' }, t(`columns.${name}`))))),
      el('tbody', {}, rows)));
}

/* Messages */

function mark(event, id) {
  if (event.currentTarget.checked) marked.add(id);
  else marked.delete(id);
  drawActions();
}

function messagesTable() {
  const rows = messages.map((message) => el('tr', {},
    mayWrite() && el('td', { className: 'mark' }, el('input', { type: 'checkbox', checked: marked.has(message.id), 'aria-label': t('markMessage', { id: message.id }), onchange: (event) => mark(event, message.id) })),
    el('th', { scope: 'row', 'data-head': t('columns.message') }, el('a', { href: `#message/${encodeURIComponent(message.id)}` }, shortId(message.id))),
    el('td', { className: 'why-cell', 'data-head': t('columns.reason') }, el('code', {}, visible(message.reason)), message.detail && el('small', { title: visible(message.detail) }, visible(message.detail))),
    el('td', { 'data-head': t('columns.operation') }, el('code', {}, message.operation)),
    el('td', { 'data-head': t('columns.contact') }, message.contact_id ? el('a', { href: `#find?q=${encodeURIComponent(message.contact_id)}` }, shortId(message.contact_id)) : '–'),
    el('td', { 'data-head': t('columns.firstFailed') }, timeCell(message.first_failed_at)),
    el('td', { 'data-head': t('columns.lastFailed') }, timeCell(message.last_failed_at)),
    el('td', { className: 'number', 'data-head': t('columns.attempts') }, number(message.attempts ?? 0)),
    el('td', { className: 'number', 'data-head': t('columns.replays') }, number(message.replays ?? 0))));
  const heads = ['message', 'reason', 'operation', 'contact', 'firstFailed', 'lastFailed', 'attempts', 'replays'];
  const numeric = ['attempts', 'replays'];
  return el('section', { className: 'card' }, el('h2', { id: 'messages-title' }, t('messagesTitle')),
    el('table', { className: 'messages cards', role: 'table', 'aria-labelledby': 'messages-title' },
      el('thead', {}, el('tr', {}, mayWrite() && el('td'), heads.map((name) => el('th', { scope: 'col', className: numeric.includes(name) ? 'number' : '' }, t(`columns.${name}`))))),
      el('tbody', {}, rows)),
    el('footer', {}, el('span', {}, t('shown', { shown: messages.length, count: Math.max(messages.length, answer.selected) })),
      more && button(t('showMore'), readMore, { disabled: loading, id: 'more' })));
}

/* Actions on the selection */

const actionsPlace = el('div', { className: 'action-bar', id: 'selection-actions' });

const chosen = () => (marked.size ? { id: [...marked] } : selectionOf(filter));

function archive() { return openJobDialog('archive', chosen()); }

/** Reasons after which a replay usually helps. The button of the others is not the first choice. */
const REPLAYED = ['contact_not_found', 'unknown_schema', 'unknown_operation', 'rejected_by_database', 'delivery_limit', 'poison'];

function drawActions() {
  if (!answer || answer.selected === 0) { fill(actionsPlace); return; }
  const what = marked.size ? t('actions.marked', { count: marked.size }) : isFiltered() ? t('actions.selected', { count: answer.selected }) : t('actions.all', { count: answer.selected });
  const helps = answer.groups.every(({ reason }) => REPLAYED.includes(reason));
  const buttons = [
    button(t('job.replay.verb'), () => openJobDialog('replay', chosen()), { icon: 'replay', className: helps ? 'primary' : '', id: 'replay' }),
    button(t('job.archive.verb'), archive, { icon: 'archive', id: 'archive' }),
    button(t('job.discard.verb'), () => openJobDialog('discard', chosen(), { onArchive: archive }), { icon: 'discard', id: 'discard' }),
    marked.size > 0 && button(t('actions.unmark'), () => { marked.clear(); draw(); }, { className: 'plain' }),
  ];
  fill(actionsPlace, el('b', {}, what), mayWrite() ? el('div', { className: 'buttons' }, buttons) : el('span', { className: 'quiet' }, t('readOnlyHelp')));
}

/* The section */

const status = el('p', { className: 'changed', role: 'status' });

/** Says that the queue has changed since it was read. */
export function queueChanged() {
  const depth = now()?.figures.dead_letters;
  if (!answer || loading || depth === null || depth === undefined || depth === answer.total) { fill(status); return; }
  const difference = depth - answer.total;
  const text = t(difference > 0 ? 'queueGrew' : 'queueShrank', { count: Math.abs(difference) });
  if (status.dataset.text === text && !status.hidden) return;
  status.dataset.text = text;
  fill(status, text, ' ', button(t('refresh'), refresh, { className: 'plain' }));
}

export function draw() {
  const place = $('dead-letters');
  if (place.hidden) return;
  const focused = document.activeElement?.id;
  const heading = el('h1', {}, answer ? t(isFiltered() ? 'deadLetters.selected' : 'deadLetters.all', { count: answer.selected, total: answer.total }) : t('nav.deadLetters'));
  const single = filter.reason?.length === 1 ? filter.reason[0] : answer?.groups.length === 1 ? answer.groups[0].reason : null;
  const empty = answer && answer.selected === 0;
  fill(place, el('header', { className: 'section-header' },
    el('div', {}, heading, isFiltered() && el('p', { className: 'quiet' }, selectionWords(selectionOf(filter)))),
    el('p', { className: 'quiet read-at' }, answer && t('readAt', { time: clockWithSeconds(answer.read_at) }), button(t('refresh'), refresh, { className: 'plain', id: 'refresh', disabled: loading }))),
  status,
  problem && problemNotice(problem, button(t('tryAgain'), refresh)),
  // Without a filter the groups come first: they are the way to a selection.
  answer && !empty && !isFiltered() && groupsTable(),
  filterForm(),
  loading && !answer && el('p', { className: 'quiet loading', role: 'status' }, t('counting')),
  empty && el('div', { className: 'empty' }, icon('working'), el('strong', {}, t(isFiltered() ? 'noneSelected' : 'noneAtAll')), !isFiltered() && el('p', {}, t('noneAtAllHelp'))),
  answer && !empty && [
    single && advice(single),
    isFiltered() && answer.groups.length > 1 && groupsTable(),
    actionsPlace,
    messages ? messagesTable() : !isFiltered() && el('p', {}, button(t('showMessages'), () => readMessages(), { id: 'show-messages' })),
    answer.command && el('section', { className: 'same-command' }, el('h2', { className: 'label' }, t('sameByCommand')), commandLine(answer.command)),
  ]);
  drawActions();
  queueChanged();
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
}

async function attempt(work) {
  reading?.abort();
  const own = new AbortController();
  reading = own;
  loading = true;
  problem = null;
  draw();
  try {
    await work(own.signal);
  } catch (error) {
    if (own.signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    problem = error;
  }
  if (reading !== own) return;
  loading = false;
  draw();
}

const page = async (offset, signal) => call('GET', `${BASE}/messages?${query({ ...selectionOf(filter), offset, count: PAGE })}`, { signal, seconds: 60 });

async function takeMessages(signal) {
  const first = await page(0, signal);
  [messages, more] = [first.messages, first.more];
}

const readMessages = () => attempt(takeMessages);

const readMore = () => attempt(async (signal) => {
  const next = await page(messages.length, signal);
  [messages, more] = [[...messages, ...next.messages], next.more];
});

export function refresh() {
  return attempt(async (signal) => {
    const withMessages = isFiltered() || messages !== null;
    const next = await call('GET', `${BASE}/groups?${query(isFiltered() ? filter : {})}`, { signal, seconds: 60 });
    answer = next;
    if (withMessages && next.selected > 0) await takeMessages(signal);
    else messages = null;
  });
}

/** Shows the section for the parameters of the address. */
export function showDeadLetters(parameters) {
  const next = {};
  for (const name of FIELDS) {
    const values = parameters.getAll(name).flatMap((value) => (['reason', 'operation'].includes(name) ? value.split(',') : [value.trim()])).filter(Boolean);
    if (values.length) next[name] = ['reason', 'operation'].includes(name) ? values : values[0];
  }
  const changed = JSON.stringify(next) !== JSON.stringify(filter);
  filter = next;
  if (changed) {
    marked.clear();
    [answer, messages] = [null, null];
  }
  return refresh();
}
