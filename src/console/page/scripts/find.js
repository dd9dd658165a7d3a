// Find: one box for an operation id, contact id or trace id, and the life of each change with its times.

import { $, el, fill, icon } from './dom.js';
import { Problem, call, problemNotice, query } from './api.js';
import { duration, exactTime, hasText, t } from './language.js';

const SHAPES = {
  accepted: 'check', published: 'arrow', retried: 'replay', dead_lettered: 'impaired', replayed: 'replay',
  applied: 'working', superseded: 'skip', failed: 'stopped', expired: 'unknown', pending: 'clock',
};

let asked = '';
let answer = null;
let problem = null;
let loading = false;

/** The time between two steps: `+0.02 s`. */
function gap(step, before) {
  if (!step.at || !before?.at) return null;
  return `+${duration(Math.max(0, (Date.parse(step.at) - Date.parse(before.at)) / 1000))}`;
}

function stepItem(step, index, steps) {
  const before = steps.slice(0, index).reverse().find(({ at }) => at);
  const name = hasText(`steps.${step.step}`) ? t(`steps.${step.step}`) : step.step;
  return el('li', { className: step.step },
    icon(SHAPES[step.step] ?? 'clock'),
    el('div', {}, el('b', {}, name), ' ', el('span', { className: 'gap' }, gap(step, before)),
      el('p', { className: 'quiet' }, step.at ? el('time', { dateTime: step.at }, exactTime(step.at)) : t('timeNotKnown')),
      step.detail && el('p', {}, step.step === 'replayed' ? t('times', { count: Number(step.detail) }) : el('code', {}, step.detail))));
}

const STATUS_SHAPES = { pending: 'clock', applied: 'working', superseded: 'skip', failed: 'stopped', expired: 'unknown', unknown: 'unknown' };

function lifeCard(life) {
  const waits = life.status === 'pending';
  const dead = life.steps.some(({ step }) => step === 'dead_lettered') && life.status !== 'applied' && life.status !== 'superseded';
  const link = (text) => text && el('a', { className: 'id', href: `#find?q=${encodeURIComponent(text)}` }, text);
  const fact = (name, value) => value && [el('dt', {}, t(`life.${name}`)), el('dd', {}, value)];
  return el('li', { className: 'card life' },
    el('header', {},
      el('h2', {}, el('code', {}, life.operation ?? '–'), el('span', { className: `badge ${life.status}` }, icon(STATUS_SHAPES[life.status] ?? 'unknown'), t(`status.${life.status}`)), life.reason && el('code', { className: 'reason-code' }, life.reason))),
    el('div', { className: 'two-columns' },
      el('ol', { className: 'timeline' }, life.steps.map(stepItem),
        waits && el('li', { className: 'waits' }, icon('clock'), el('div', {}, el('b', {}, t('steps.waits'))))),
      el('dl', {},
        fact('operationId', link(life.operation_id)), fact('contactId', link(life.contact_id)), fact('traceId', link(life.trace_id)),
        fact('caller', life.caller), fact('attempts', life.attempts > 0 && String(life.attempts)),
        life.reason && hasText(`reasons.${life.reason}`) && fact('why', t(`reasons.${life.reason}.what`)),
        dead && fact('message', el('a', { href: `#message/${encodeURIComponent(life.operation_id)}` }, t('life.openMessage'))))));
}

function contactCard(contact) {
  return el('section', { className: 'card' },
    el('h2', {}, t(contact.deleted ? 'life.contactDeleted' : 'life.contactLive')),
    el('dl', {},
      [['id', contact.id], ['version', contact.version]].map(([name, value]) => [el('dt', {}, t(`life.${name}`)), el('dd', { className: 'id' }, value)]),
      [['created', contact.created_at], ['updated', contact.updated_at]].map(([name, value]) => value && [el('dt', {}, t(`life.${name}`)), el('dd', {}, exactTime(value))])));
}

function results() {
  if (!answer) return null;
  if (answer.kind === 'nothing' || (answer.lives.length === 0 && !answer.contact)) {
    return el('div', { className: 'empty' }, icon('unknown'), el('strong', {}, t('find.nothing')),
      el('p', {}, t('find.searched', { places: (answer.searched ?? []).map((place) => (hasText(`places.${place}`) ? t(`places.${place}`) : place)).join(', ') })),
      answer.note && el('p', {}, answer.note), el('p', {}, t('find.nothingHelp')));
  }
  return [
    el('p', { className: 'quiet', role: 'status' }, t(`find.kinds.${answer.kind}`), ' ', t('find.count', { count: answer.lives.length })),
    answer.note && el('p', { className: 'notice' }, answer.note),
    answer.contact && contactCard(answer.contact),
    answer.lives.length > 0 && el('ol', { className: 'lives' }, answer.lives.map(lifeCard)),
  ];
}

const input = el('input', { id: 'q', type: 'search', name: 'q', autocomplete: 'off', spellcheck: false, maxLength: 200, 'aria-keyshortcuts': '/' });
const form = el('form', {
  role: 'search', className: 'find-form',
  onsubmit(event) {
    event.preventDefault();
    const wanted = `#find?${query({ q: input.value.trim() })}`;
    if (location.hash === wanted) showFind(new URLSearchParams({ q: input.value.trim() }));
    else location.hash = wanted;
  },
});
const content = el('div');

export function draw() {
  const place = $('find');
  if (place.hidden) return;
  if (!place.contains(form)) place.replaceChildren(el('h1'), form, el('p', { className: 'quiet' }), content);
  place.querySelector('h1').textContent = t('find.title');
  place.querySelector('h1 + form + p').textContent = t('find.help');
  const focused = document.activeElement === input;
  form.replaceChildren(
    el('label', { className: 'visually-hidden', for: 'q' }, t('find.label')),
    el('div', { className: 'search-field' }, icon('search'), input, el('kbd', { 'aria-hidden': 'true' }, '/')),
    el('button', { type: 'submit', className: 'primary', disabled: loading }, t('find.send')));
  input.placeholder = t('find.hint');
  if (focused) input.focus();
  const notice = problem && (problem.code === 'invalid_request' ? el('p', { className: 'notice bad', role: 'alert' }, t('find.invalid')) : problemNotice(problem));
  fill(content, notice, loading && el('p', { className: 'quiet', role: 'status' }, t('find.searching')), !loading && results());
}

export async function showFind(parameters) {
  const wanted = parameters.get('q')?.trim() ?? '';
  input.value = wanted;
  if (wanted !== asked) answer = null;
  asked = wanted;
  problem = null;
  if (wanted === '') {
    answer = null;
    draw();
    input.focus();
    return;
  }
  loading = true;
  draw();
  try {
    const next = await call('GET', `api/find?${query({ q: wanted })}`, { seconds: 60 });
    if (asked === wanted) answer = next;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (asked === wanted) problem = error;
  }
  if (asked !== wanted) return;
  loading = false;
  draw();
}

/** Moves the focus into the box. */
export function focusFind() {
  input.focus();
  input.select();
}
