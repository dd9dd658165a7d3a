// Now: what is wrong, since when, and what to do first. Below it: figures, parts and processes, the last hour.
//
// This file also asks for the state every few seconds. The other sections listen: what the operator may do, how many
// messages wait, whether the process behind the console is still the same.

import { $, announce, el, fill, icon } from './dom.js';
import { Problem, call } from './api.js';
import { clock, duration, exactTime, figure, hasText, number, t } from './language.js';
import { Plot } from './plot.js';

/** The time between two reads, in seconds. A hidden tab reads more rarely, so that its title still shows the state. */
const EVERY = 5;
const EVERY_HIDDEN = 20;

const ICON_COLOURS = { working: '17683a', impaired: '8a6500', stopped: 'a8231f', unknown: '55656a' };
const ICON_SHAPES = {
  working: '<circle cx="16" cy="16" r="14" fill="#C"/><path d="m9 16.5 5 5 9-10" fill="none" stroke="#fff" stroke-width="3"/>',
  impaired: '<path d="M16 2 31 29H1z" fill="#C"/><path d="M16 12v8m0 3.5v1" stroke="#fff" stroke-width="3"/>',
  stopped: '<path d="M10 2h12l8 8v12l-8 8H10l-8-8V10z" fill="#C"/><path d="M16 8v11m0 3.5v1.5" stroke="#fff" stroke-width="3"/>',
  unknown: '<circle cx="16" cy="16" r="12" fill="none" stroke="#C" stroke-width="4" stroke-dasharray="6 4"/>',
};

let current = null;
let lostSince = null;
const listeners = [];

/** The newest answer, `null` before the first one. */
export const now = () => current;
/** Whether this operator may change something. */
export const mayWrite = () => current?.operator?.write === true;
/** Calls `listener` with the newest answer after each try. */
export const onNow = (listener) => { listeners.push(listener); };

const plots = [
  new Plot({ name: 'rates', series: [{ key: 'accepted', line: 1 }, { key: 'applied', line: 2 }, { key: 'failed', line: 3 }], format: figure }),
  new Plot({ name: 'ages', series: [{ key: 'age_p50', line: 1 }, { key: 'age_p99', line: 2 }], format: duration, least: 0.2, mark: { value: 5, text: 'plots.objective' } }),
  new Plot({ name: 'depths', series: [{ key: 'work', line: 1 }, { key: 'retry', line: 2 }, { key: 'dead_letters', line: 3 }], format: number, whole: true, least: 3 }),
];

/* What a finding says */

/** The values of a finding as the texts name them: times and shares are written out. */
function valuesOf(finding) {
  const values = { ...finding.values };
  if (finding.code === 'data_late') values.age = Math.max(values.p99 ?? 0, values.oldest ?? 0);
  for (const name of ['oldest', 'age', 'lag']) if (typeof values[name] === 'number') values[name] = duration(values[name]);
  if (values.component) values.component = partName(values.component);
  if (values.process) values.process = processName(values.process);
  if (typeof values.share === 'number') values.share = `${number(values.share * 100, 1)}\u00a0%`;
  return values;
}

const known = (code) => hasText(`findings.${code}`);
/** A standalone has neither RabbitMQ nor PostgreSQL: some findings have other texts for it. */
const isStandalone = () => current.processes.every(({ role }) => role === 'standalone');

function findingText(finding, part) {
  const texts = `findings.${known(finding.code) ? finding.code : 'other'}`;
  const own = `${texts}.standalone.${part}`;
  return t(isStandalone() && hasText(own) ? own : `${texts}.${part}`, { code: finding.code, ...valuesOf(finding) });
}

/** `since 04:12, for 18 min` */
function since(time) {
  if (!time) return null;
  const seconds = (Date.parse(current.time) - Date.parse(time)) / 1000;
  return el('time', { dateTime: time, title: exactTime(time) }, t('since', { time: clock(time), duration: duration(Math.max(0, Math.round(seconds))) }));
}

const runbookLink = (anchor) => anchor && el('a', { className: 'action', href: `#runbook/${anchor.replace(/^#/, '')}` }, icon('book'), t('openRunbook'));
const deadLettersLink = (finding) => {
  if (!/^dead_letters/.test(finding.code)) return null;
  const reason = finding.values?.reason;
  return el('a', { className: 'action', href: `#dead-letters${reason ? `?reason=${encodeURIComponent(reason)}` : ''}` }, icon('arrow'), t('openDeadLetters'));
};

/** The technical reason that a process gave, word for word. */
const technical = (finding) => {
  const reason = finding.values?.reason;
  return reason && !/^dead_letters/.test(finding.code) && el('p', { className: 'technical' }, el('span', {}, t('reasonGiven')), ' ', el('code', {}, reason));
};

/** Do all processes report it, or one? That is the first question of most sections of the runbook. */
function seenBy({ values }) {
  return values?.of > 1 && el('p', {}, t('seenBy', values));
}

function consequences(finding) {
  if (!finding.consequences?.length) return null;
  const names = finding.consequences.map((code) => (known(code) ? t(`findings.${code}.short`) : code));
  return el('p', { className: 'follows' }, t('followsFromIt', { list: names.join('; ') }));
}

function findingBody(finding) {
  return [
    el('p', {}, findingText(finding, 'effect')),
    el('p', { className: 'first-step' }, el('b', {}, t('doFirst')), ' ', findingText(finding, 'do')),
    seenBy(finding), technical(finding), consequences(finding),
    el('p', { className: 'actions' }, runbookLink(finding.runbook), deadLettersLink(finding)),
  ];
}

/** The finding that the state is about. */
const leadOf = ({ state, findings }) => (['impaired', 'stopped'].includes(state) ? findings[0] : undefined);
/** The texts of a state: a console that knows its own process only has texts of its own. */
const stateTexts = ({ state, series }) => `states.${state === 'unknown' && series.accepted.length > 2 ? 'alone' : state}`;

/** The sentence that says how it is: the worst finding, or that all is well. */
const stateSentence = (answer) => (leadOf(answer) ? findingText(leadOf(answer), 'title') : t(`${stateTexts(answer)}.sentence`));

function headline() {
  const { state } = current;
  const lead = leadOf(current);
  return el('div', { className: `headline ${state}` },
    icon(state),
    el('div', {},
      el('p', { className: 'state-word' }, t(`states.${state}.word`), lead && [' · ', since(lead.since)]),
      el('h1', { id: 'sentence' }, stateSentence(current)),
      lead ? findingBody(lead) : el('p', {}, t(`${stateTexts(current)}.effect`))));
}

function otherFindings() {
  const others = current.findings.filter((finding) => finding !== leadOf(current));
  if (!others.length) return null;
  return el('section', { className: 'card others' },
    el('h2', { className: 'others-title' }, t(others.some(({ severity }) => severity === 'critical') ? 'alsoWrong' : 'worthALook')),
    el('ul', {}, others.map((finding) => el('li', { className: finding.severity },
      el('details', {},
        el('summary', {}, icon(finding.severity === 'critical' ? 'stopped' : 'impaired'),
          el('span', { className: 'visually-hidden' }, `${t(`severities.${finding.severity}`)}: `),
          el('b', {}, findingText(finding, 'title')), ' ', since(finding.since)),
        el('div', {}, findingBody(finding)))))));
}

/* Figures: each answers one question of the runbook */

function tile(question, answer, unit, detail, { bad = false, href = null } = {}) {
  const body = [el('h2', {}, question), el('p', { className: 'answer' }, bad && icon('impaired'), el('b', {}, answer), unit && el('span', {}, ` ${unit}`)), el('p', { className: 'detail' }, detail)];
  return href ? el('a', { className: `tile${bad ? ' bad' : ''}`, href }, body) : el('div', { className: `tile${bad ? ' bad' : ''}` }, body);
}

function tiles({ findings, figures }) {
  const codes = new Set(findings.flatMap((finding) => [finding.code, ...(finding.consequences ?? [])]));
  const has = (...wanted) => wanted.some((code) => codes.has(code));
  const failing = has('queue_full', 'publisher_full', 'requests_fail');
  const refusing = has('broker_down', 'broker_blocked') || (failing && figures.accepted === 0);
  const partly = failing && !refusing;
  const accepting = refusing ? t('no') : partly ? t('notAll') : figures.accepted === null ? t('notKnown') : t('yes');
  const late = figures.oldest_unapplied === null && figures.age_p99 === null ? null : Math.max(figures.oldest_unapplied ?? 0, figures.age_p99 ?? 0);
  const waiting = figures.work === null && figures.retry === null ? null : (figures.work ?? 0) + (figures.retry ?? 0);
  const count = (value) => (value === null || value === undefined ? '–' : number(value));
  return el('div', { className: 'tiles' },
    tile(t('tiles.accepting'), accepting, null,
      figures.accepted === null ? t('tiles.notKnown') : t('tiles.acceptingDetail', { rate: figure(figures.accepted) }), { bad: refusing || partly }),
    tile(t('tiles.late'), duration(late), null,
      late === null ? t('tiles.notKnown') : figures.age_p50 === null ? t('tiles.lateNothing') : t('tiles.lateDetail', { p50: duration(figures.age_p50), p99: duration(figures.age_p99) }),
      { bad: late !== null && late > 5 }),
    tile(t('tiles.waits'), count(waiting), t('tiles.messages', { count: waiting ?? 0 }),
      waiting === null ? t('tiles.notKnown') : t('tiles.waitsDetail', { work: figures.work ?? '–', retry: figures.retry ?? '–' }),
      { bad: has('backlog_grows', 'no_consumers') }),
    tile(t('tiles.fails'), count(figures.dead_letters), t('tiles.deadLettered', { count: figures.dead_letters ?? 0 }),
      figures.dead_letters === null ? t('tiles.notKnown')
        : [figures.failed !== null && t('tiles.failsDetail', { rate: figure(figures.failed) }), figures.dead_letters > 0 && figures.oldest_dead_letter !== null && ` ${t('tiles.failsOldest', { age: duration(figures.oldest_dead_letter) })}`],
      { bad: has('dead_letters_burst'), href: '#dead-letters' }));
}

/* Parts and processes */

const processName = (name) => (name === 'this process' ? t('thisProcess') : name);
const partName = (name) => (hasText(`parts.${name}`) ? t(`parts.${name}`) : name);
/** The parts in the order of the words in `parts`; others come last. */
const ORDER = ['database', 'queue', 'publisher', 'worker', 'queue file', 'process'];
const order = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

/** Each part with its state in all processes. The workers of a process are one part. */
function partsOf(processes) {
  const parts = new Map();
  for (const process of processes.filter(({ reachable }) => reachable)) {
    for (const component of process.components) {
      if (!parts.has(component.name)) parts.set(component.name, []);
      parts.get(component.name).push({ ...component, process: process.name });
    }
  }
  return [...parts].sort(([a], [b]) => order(a) - order(b) || a.localeCompare(b));
}

function partRow([name, all]) {
  const failing = all.filter(({ ready }) => !ready);
  const first = failing.map((part) => part.since).filter(Boolean).sort()[0];
  // A consumer says `paused:` before the same reason that other processes give.
  const reasons = [...new Set(failing.map((part) => part.reason?.replace(/^paused: /, '')).filter(Boolean))];
  const state = failing.length === 0 ? 'working' : failing.length === all.length ? 'stopped' : 'impaired';
  return el('tr', { className: state },
    el('th', { scope: 'row' }, partName(name)),
    el('td', {}, el('span', { className: `state ${state}` }, icon(state), failing.length === 0 ? t('ready') : t('notReady'))),
    el('td', {}, t('readyOf', { ready: all.length - failing.length, all: all.length })),
    el('td', { className: 'why' }, failing.length > 0 && [since(first), el('br'), reasons.slice(0, 3).map((reason) => el('code', {}, reason, ' ')),
      failing.length < all.length && all.length > 1 && el('span', { className: 'where' }, [...new Set(failing.map((part) => processName(part.process)))].join(', '))]));
}

function processRow(process) {
  const failing = process.components.filter(({ ready }) => !ready);
  const state = !process.reachable ? 'unknown' : failing.length ? 'impaired' : 'working';
  const words = !process.reachable ? t('noAnswer') : failing.length ? t('partsNotReady', { count: failing.length }) : t('allReady');
  return el('tr', { className: state },
    el('th', { scope: 'row' }, processName(process.name)),
    el('td', {}, process.role ?? '–'),
    el('td', {}, process.version ?? '–'),
    el('td', {}, el('span', { className: `state ${state}` }, icon(state), words), process.error && el('code', { className: 'why' }, process.error)));
}

function dependencies({ processes }) {
  const parts = partsOf(processes);
  const heads = (...keys) => el('thead', {}, el('tr', {}, keys.map((key) => el('th', { scope: 'col' }, t(`columns.${key}`)))));
  return el('div', { className: 'dependencies' },
    el('section', { className: 'card' }, el('h2', { id: 'parts-title' }, t('whichDependency')),
      parts.length === 0 ? el('p', { className: 'quiet' }, t('nothingKnown'))
        : el('table', { className: 'plain-table parts', 'aria-labelledby': 'parts-title' }, heads('part', 'state', 'ready', 'why'), el('tbody', {}, parts.map(partRow)))),
    el('section', { className: 'card' }, el('h2', { id: 'processes-title' }, t('processes', { count: processes.length })),
      el('table', { className: 'plain-table processes', 'aria-labelledby': 'processes-title' }, heads('process', 'role', 'version', 'state'), el('tbody', {}, processes.map(processRow)))));
}

/* The page */

const top = el('div', { className: 'top' });
const figuresPlace = el('div');
const plotsPlace = el('section', { className: 'plots' });
const dependenciesPlace = el('div');
const plotsTitle = el('h2', { className: 'visually-hidden' });
plotsPlace.append(plotsTitle, ...plots.map((plot) => plot.element));
$('now').append(top, figuresPlace, plotsPlace, dependenciesPlace);

/** Replaces the content, and keeps open what the operator opened, and the focus. */
function replaceKept(place, ...children) {
  const open = [...place.querySelectorAll('details')].map((details) => details.open);
  const focusable = 'a, summary, button';
  const focused = [...place.querySelectorAll(focusable)].indexOf(document.activeElement);
  const shown = children.filter(Boolean);
  // The same content stays as it is, so that a selected text stays selected.
  const holder = el('div', {}, shown);
  [...holder.querySelectorAll('details')].forEach((details, at) => { details.open = open[at] ?? false; });
  const [old, next] = [[...place.childNodes], [...holder.childNodes]];
  if (old.length === next.length && old.every((node, at) => node.isEqualNode(next[at]))) return;
  place.replaceChildren(...next);
  if (focused >= 0) place.querySelectorAll(focusable)[focused]?.focus();
}

export function drawNow() {
  if (!current) return;
  const selecting = !getSelection().isCollapsed && $('now').contains(getSelection().anchorNode);
  if (!selecting) {
    replaceKept(top, headline(), otherFindings());
    replaceKept(figuresPlace, tiles(current));
    replaceKept(dependenciesPlace, dependencies(current));
  }
  plotsTitle.textContent = t('plots.heading');
  for (const plot of plots) plot.update(current.series, current.interval_seconds);
}

/** The state in the title and the icon of the tab, and above the other sections. */
export function drawState(section) {
  const state = lostSince || !current ? 'unknown' : current.state;
  document.title = current ? `${t(`states.${state}.word`)} · ${t('title')}` : t('title');
  const shape = ICON_SHAPES[state].replaceAll('#C', `#${ICON_COLOURS[state]}`);
  $('favicon').href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${shape}</svg>`)}`;
  fill($('lost'), lostSince && [icon('unknown'), el('b', {}, t('lost.title')), ' ', t('lost.detail', { time: clock(lostSince) })]);
  document.body.classList.toggle('stale', lostSince !== null);
  const shown = current && section !== 'now' && state !== 'working' && !lostSince;
  $('ribbon').className = `ribbon ${state}`;
  fill($('ribbon'), shown && [icon(state), el('b', {}, t(`states.${state}.word`)), ' ', el('span', {}, stateSentence(current))]);
  fill($('operator'), current && [current.operator.name === 'loopback' ? t('loopback') : current.operator.name, !mayWrite() && ` · ${t('readOnly')}`]);
  const waiting = current?.figures.dead_letters;
  fill($('nav-count'), waiting > 0 && number(waiting));
  fill($('footer'), current && t('footer', { zone: timeZoneName(), version: current.version, role: current.role, processes: current.processes.length }));
}

const timeZoneName = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC';

let spoken = null;
function speakChange() {
  const sentence = `${t(`states.${current.state}.word`)}: ${stateSentence(current)}`;
  const key = `${current.state} ${current.findings[0]?.code}`;
  // A screen reader hears a change, not the same state every five seconds.
  if (spoken !== null && spoken !== key) announce(sentence);
  spoken = key;
}

async function readOnce() {
  try {
    current = await call('GET', 'api/now', { seconds: 10 });
    lostSince = null;
    $('now').classList.add('known');
    speakChange();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (lostSince === null) {
      lostSince = new Date().toISOString();
      announce(t('lost.title'));
    }
    if (!current) fill(top, el('div', { className: 'headline unknown' }, icon('unknown'), el('div', {}, el('h1', { id: 'sentence' }, t('lost.title')), problem.content())));
  }
  for (const listener of listeners) listener(current);
}

/** Reads the state from now on. */
export async function watchNow() {
  for (;;) {
    await readOnce();
    await new Promise((resolve) => {
      const done = () => { clearTimeout(timer); document.removeEventListener('visibilitychange', shown); resolve(); };
      const shown = () => { if (!document.hidden) done(); };
      const timer = setTimeout(done, (document.hidden ? EVERY_HIDDEN : EVERY) * 1000);
      document.addEventListener('visibilitychange', shown);
    });
  }
}
