// Jobs: replay, archive, discard. The dialog that asks for consent, and the card that shows the progress.
//
// Consent names a number: the operator types how many messages are treated, and the service refuses if there are more.
// The browser remembers the running job. If the console restarts in the middle, the card says what is left.

import { $, announce, button, copy, el, field, fill, icon, iconButton, openDialog, showError, storage } from './dom.js';
import { Problem, call, problemNotice, query, request } from './api.js';
import { clockWithSeconds, duration, hasText, number, t } from './language.js';
import { mayWrite, now } from './now.js';

const BASE = 'api/dead-letters';
const ACTIVE = ['selecting', 'canary', 'running', 'paused', 'waiting_for_results'];
const REMEMBERED = 'contacts.console.job';
const DISMISSED = 'contacts.console.dismissed';

let job = null;
/** What the browser remembers of a job that it saw running. */
let remembered = null;
try {
  // Another program may have used this address before.
  const value = JSON.parse(storage.read('localStorage', REMEMBERED) ?? 'null');
  if (['replay', 'archive', 'discard'].includes(value?.kind) && value.selection instanceof Object) remembered = value;
} catch { /* see above */ }
/** How many messages of a lost job are left: a number, or a problem. */
let left = null;
/** The archive that was saved: the job's id and the number of messages in the file. */
let saved = null;
let failure = null;
/** The id of the job that was last seen running. */
let running = null;
let downloading = false;
let timer = null;
let visible = () => false;
let onEnd = () => {};

const isActive = () => ACTIVE.includes(job?.state);

/** Sets who tells whether the section of the dead-lettered messages is open, and who is told when a job has ended. */
export function connectJobs(options) { ({ visible, onEnd } = options); }

function remember(value) {
  remembered = value;
  storage.write('localStorage', REMEMBERED, value && JSON.stringify(value));
}

/** The parameters of a selection, without empty ones. An empty selection means all messages. */
export function selectionOf(filter) {
  const entries = Object.entries(filter).filter(([, value]) => (Array.isArray(value) ? value.length : value));
  return entries.length ? Object.fromEntries(entries) : { all: true };
}

/** A selection in words: `reason invalid, operation update`. */
export function selectionWords(selection) {
  if (selection.all) return t('selection.all');
  return Object.entries(selection).map(([name, value]) => t(`selection.${name}`, { value: [value].flat().join(', ') })).join(' · ');
}

/** The command line that does the same. `list` is the command that the service made for the selection. */
function commandFor(kind, list, { rate, canary } = {}) {
  const [verb, options] = {
    replay: ['replay', ` --rate ${rate}${canary ? '' : ' --no-canary'}`],
    archive: ['export - --keep', ' > dead-letters.ndjson'],
    discard: ['discard', ''],
  }[kind];
  // Before the verb there may be the data folder, as one word of a shell.
  return list.replace(/^(contacts dlq-drain(?: --data-dir (?:'.*?'|[^' ]+)+)?) list/, `$1 ${verb}`) + options;
}

/** A command line with a button that copies it. */
export function commandLine(text) {
  const said = el('span', { className: 'copied', role: 'status' });
  const copyIt = async () => {
    said.textContent = await copy(text) ? t('copied') : t('notCopied');
    setTimeout(() => { said.textContent = ''; }, 3000);
  };
  // A line breaks between words only, not within `--reason`.
  const words = text.split(' ').flatMap((word, at) => [at > 0 && ' ', el('span', { className: 'word' }, word)]);
  return el('div', { className: 'command' }, el('code', {}, words), said, iconButton('copy', t('copyCommand'), copyIt));
}

/* The dialog */

const groupRows = (groups) => el('ul', { className: 'group-list' },
  groups.slice(0, 5).map(({ reason, operation, messages }) => el('li', {}, el('b', {}, number(messages)), ' ', el('code', {}, reason), ' ', el('code', {}, operation))),
  groups.length > 5 && el('li', {}, t('andMore', { count: groups.length - 5 })));

/**
 * Asks for consent and starts a job. `archive` is the id of an archive job whose messages are discarded; then the number
 * of messages in the file is what the operator agrees to.
 */
export async function openJobDialog(kind, selection, { archive = null, count = null, onArchive = null } = {}) {
  const place = el('div', { className: 'stack' }, el('p', { className: 'quiet', role: 'status' }, t('counting')));
  const send = el('button', { type: 'submit', className: kind === 'discard' ? 'danger' : 'primary', disabled: true }, t(`job.${kind}.verb`));
  let expected = count;
  let consent = null;
  let sending = false;

  const dialog = openDialog({
    id: 'job-dialog', title: t(`job.${kind}.title`), closeLabel: t('close'), body: place,
    footer: [button(t('cancel'), () => dialog.close()), send], onsubmit: submit,
  });

  function options() {
    const rate = Number(dialog.querySelector('#job-rate')?.value ?? 100);
    return { rate, canary: dialog.querySelector('#job-canary')?.checked ?? true };
  }

  function show(answer, notice = null) {
    expected = archive ? count : answer.selected;
    send.disabled = expected === 0;
    send.textContent = t(`job.${kind}.send`, { count: expected });
    if (expected === 0) {
      place.replaceChildren(el('p', {}, t('nothingSelected')));
      return;
    }
    const commandPlace = el('div');
    const rateField = kind === 'replay' && field('job-rate', t('rate'), el('input', { type: 'number', min: 1, max: 100000, value: 100, required: true, oninput: () => refresh() }), ' ');
    const refresh = () => {
      commandPlace.replaceChildren(answer && commandLine(commandFor(kind, answer.command, options())));
      if (rateField) rateField.querySelector('.help').textContent = t('rateHelp', { duration: duration(Math.ceil(expected / Math.max(1, options().rate))) });
    };
    consent = el('input', { inputMode: 'numeric', autocomplete: 'off' });
    place.replaceChildren(...[
      notice,
      el('p', { className: 'big-number' }, el('b', {}, number(expected)), ' ', t('messagesWord', { count: expected })),
      el('p', { className: 'quiet' }, archive ? t('job.discard.archived') : selectionWords(selection)),
      !archive && answer.groups.length > 1 && groupRows(answer.groups),
      el('p', { className: kind === 'discard' && !archive ? 'notice bad' : '' }, t(`job.${kind}.help`),
        kind === 'discard' && onArchive && button(t('job.discard.archiveFirst'), () => { dialog.close(); onArchive(); }, { className: 'plain' })),
      kind === 'replay' && el('label', { className: 'check' }, el('input', { type: 'checkbox', id: 'job-canary', checked: true, onchange: refresh, disabled: expected < 2 }), el('span', {}, t('canary'), el('small', {}, t('canaryHelp')))),
      rateField,
      kind !== 'archive' && field('job-consent', t('consent', { count: number(expected) }), consent, expected < 2 || archive ? null : t('consentHelp')),
      answer && !archive && el('div', {}, el('p', { className: 'label' }, t('sameByCommand')), commandPlace),
    ].filter(Boolean));
    if (answer) refresh();
    (consent.isConnected ? consent : send).focus();
  }

  async function submit() {
    if (sending || expected === null) return;
    const { rate, canary } = options();
    if (kind === 'replay' && !(Number.isInteger(rate) && rate >= 1 && rate <= 100000)) {
      showError(dialog, 'job-rate', t('rateInvalid'));
      dialog.querySelector('#job-rate').focus();
      return;
    }
    if (consent?.isConnected && consent.value.replace(/[\s.,]/g, '') !== String(expected)) {
      showError(dialog, 'job-consent', t('consentWrong', { count: number(expected) }));
      consent.focus();
      return;
    }
    sending = true;
    send.disabled = true;
    const body = { kind, expected, ...(archive ? { archive } : { selection }), ...(kind === 'replay' ? { rate, canary } : {}) };
    try {
      job = await call('POST', `${BASE}/jobs`, { body });
      saved = null;
      failure = null;
      [left, running] = [null, job.id];
      remember({ id: job.id, kind, archive: archive !== null, selection: job.selection ?? selection, process: now()?.started_at });
      announce(t('job.started'));
      dialog.close();
      location.hash = location.hash.startsWith('#dead-letters') ? location.hash : '#dead-letters';
      draw();
      poll();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      sending = false;
      send.disabled = false;
      if (problem.code === 'selection_changed' && !archive) await read(problemNotice(problem));
      else {
        place.querySelector('.notice[role=alert]')?.remove();
        place.prepend(problemNotice(problem));
      }
    }
  }

  async function read(notice = null) {
    if (archive) { show(null, notice); return; }
    try {
      show(await call('GET', `${BASE}/groups?${query(selection)}`, { seconds: 60 }), notice);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      place.replaceChildren(problemNotice(problem, button(t('tryAgain'), () => read())));
    }
  }

  await read();
}

/* The card */

function outcomes() {
  const all = job.outcomes ?? {};
  const shown = ['applied', 'superseded', 'failed_again', 'not_known'].map((name) => [name, all[name]]).filter(([, count]) => count > 0);
  return shown.length > 0 && el('ul', { className: 'outcomes' }, shown.map(([name, count]) => el('li', { className: name },
    icon({ applied: 'check', superseded: 'skip', failed_again: 'impaired', not_known: 'unknown' }[name]), el('span', {}, el('b', {}, number(count)), ' ', t(`outcomes.${name}`), name === 'failed_again' && againReasons()))));
}

/** The reasons of the messages that failed again: `: contact_deleted 10`. */
function againReasons() {
  const reasons = Object.entries(job.failed_again ?? {});
  return reasons.length > 0 && [': ', reasons.map(([reason, count], at) => [at > 0 && ', ', el('code', {}, reason), ` ${number(count)}`])];
}

async function act(action) {
  failure = null;
  try {
    job = await call('POST', `${BASE}/jobs/${job.id}/${action}`) ?? job;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    failure = problem;
  }
  draw();
  poll();
}

/** Saves the archive as a file, and counts its lines. */
async function download(event) {
  event.currentTarget.disabled = true;
  [failure, downloading] = [null, true];
  const { id } = job;
  try {
    const response = await request('GET', `${BASE}/jobs/${id}/archive`, { seconds: 120 });
    poll();
    let lines = 0;
    const counter = new TransformStream({
      transform(chunk, controller) {
        for (const byte of chunk) if (byte === 10) lines += 1;
        controller.enqueue(chunk);
      },
    });
    const blob = await new Response(response.body.pipeThrough(counter)).blob();
    const name = /filename="?([^";]+)"?/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? 'dead-letters.ndjson';
    const link = el('a', { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    saved = { id, lines, name };
    announce(t('job.archive.saved', { file: name, count: lines }));
  } catch (problem) {
    // Without its end the archive is not saved: an incomplete file would look like a complete one.
    failure = problem instanceof Problem ? problem : new Problem({ code: 'archive_incomplete', title: '' });
  }
  downloading = false;
  poll();
}

function cardButtons() {
  const complete = job.archive?.complete;
  if (isActive()) {
    if (!mayWrite()) return [];
    return [
      job.kind !== 'archive' && job.state !== 'waiting_for_results' && (job.state === 'paused'
        ? button(t('job.resume'), () => act('resume'), { id: 'job-resume', icon: 'play', className: 'primary' })
        : button(t('job.pause'), () => act('pause'), { id: 'job-pause', icon: 'pause' })),
      button(t('job.cancel'), () => act('cancel'), { id: 'job-cancel', icon: 'close' }),
    ];
  }
  return [
    job.archive && mayWrite() && button(t(complete ? 'job.archive.again' : 'job.archive.save', { count: job.selected }), download, { id: 'archive-save', icon: 'archive', className: complete ? '' : 'primary', disabled: downloading }),
    complete && job.archive.lines > 0 && mayWrite() && button(t('job.archive.discard'), () => openJobDialog('discard', job.selection, { archive: job.id, count: job.archive.lines }), { id: 'archive-discard', icon: 'discard' }),
    button(t('dismiss'), dismiss, { id: 'job-dismiss' }),
  ];
}

function dismiss() {
  remember(null);
  [job, saved, failure, left] = [null, null, null, null];
  dismissed = lastId;
  storage.write('sessionStorage', DISMISSED, dismissed);
  draw();
}

let lastId = null;
/** The ended job that the operator has dismissed. The service still knows it. */
let dismissed = storage.read('sessionStorage', DISMISSED);

/** What the state means: our own words for a known code. */
function explanation(word) {
  const failed = job.outcomes?.failed_again ?? 0;
  if (job.kind === 'archive' && word === 'done') return t(job.archive?.complete ? 'job.explain.saved' : 'job.explain.archive');
  if (job.kind === 'archive' && word === 'running') return t('job.explain.saving');
  if (job.code && hasText(`job.codes.${job.code}`)) return `${t(`job.codes.${job.code}`)} ${t('job.explain.rest')}`;
  if (job.kind === 'discard' && word === 'running') return t('job.explain.discarding');
  if (word === 'done' && failed > 0) return t('job.explain.failedAgain', { count: failed });
  return t(`job.explain.${word}`);
}

function jobCard() {
  const { kind, state, selected, done } = job;
  const word = state === 'waiting_for_results' ? 'waiting' : state;
  const shape = { done: job.outcomes?.failed_again > 0 || job.code ? 'impaired' : 'working', failed: 'stopped', cancelled: 'skip', paused: 'pause' }[state] ?? 'clock';
  const total = selected ?? 0;
  const percent = total > 0 ? Math.floor(((done ?? 0) / total) * 100) : 0;
  return [
    el('header', {},
      el('h2', {}, icon(shape), t(`job.${kind}.heading`, { count: total }), el('span', { className: 'job-state' }, t(`job.states.${word}`))),
      el('p', { className: 'quiet' }, t('job.by', { operator: job.operator === 'loopback' ? t('loopback') : job.operator, time: clockWithSeconds(job.started_at) }))),
    isActive() && el('div', { className: 'bar' },
      el('progress', { max: Math.max(1, total), value: state === 'selecting' ? undefined : done ?? 0, 'aria-label': t('job.progress') }),
      el('span', {}, state === 'selecting' ? t('counting') : t('job.progressText', { done: done ?? 0, count: total, percent: String(percent) }))),
    !isActive() && kind !== 'archive' && el('p', {}, t('job.progressText', { done: done ?? 0, count: total, percent: String(percent) })),
    el('p', { className: 'quiet' }, selectionWords(job.selection ?? { all: true })),
    el('p', {}, explanation(word)),
    outcomes(),
    job.notes?.length > 0 && el('ul', { className: 'notes' }, job.notes.map((note) => el('li', {}, note))),
    saved?.id === job.id && job.archive?.complete && el('p', { className: 'notice good' }, icon('check'), el('span', {}, t('job.archive.saved', { file: saved.name, count: saved.lines }))),
    saved?.id === job.id && job.archive?.complete && saved.lines !== job.archive.lines && el('p', { className: 'notice bad', role: 'alert' }, t('job.archive.differs', { lines: saved.lines, count: job.archive.lines })),
    failure && problemNotice(failure),
    job.command && el('details', { className: 'command-details' }, el('summary', {}, t('sameByCommand')), commandLine(job.command)),
    el('div', { className: 'actions' }, cardButtons()),
  ];
}

function lostCard() {
  const count = typeof left === 'number' ? left : null;
  return [
    el('header', {}, el('h2', {}, icon('impaired'), t(`job.lost.${remembered.process === now()?.started_at ? 'ended' : 'restarted'}`))),
    el('p', { className: 'quiet' }, selectionWords(remembered.selection)),
    left instanceof Problem ? problemNotice(left, button(t('tryAgain'), countLeft))
      : el('p', {}, count === null ? t('counting') : t('job.lost.left', { count })),
    el('p', {}, t('job.lost.safe')),
    el('div', { className: 'actions' },
      count > 0 && mayWrite() && !remembered.archive && button(t('job.lost.goOn'), () => openJobDialog(remembered.kind, remembered.selection), { className: 'primary' }),
      button(t('dismiss'), dismiss)),
  ];
}

export function draw() {
  const place = $('job');
  const lost = remembered && !job && left !== null;
  const shown = job ? (isActive() || visible()) : lost && visible();
  place.className = 'card job';
  if (!shown) { fill(place); return; }
  const open = place.querySelector('details')?.open;
  const focused = [...place.querySelectorAll('button, summary')].indexOf(document.activeElement);
  fill(place, job ? jobCard() : lostCard());
  if (open) place.querySelector('details').open = true;
  if (focused >= 0) [...place.querySelectorAll('button, summary')].at(Math.min(focused, place.querySelectorAll('button, summary').length - 1))?.focus();
}

async function countLeft() {
  left = false;
  draw();
  try {
    left = (await call('GET', `${BASE}/groups?${query(remembered.selection)}`, { seconds: 60 })).selected;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    left = problem;
  }
  draw();
}

/** Reads the current job, and again while it runs. */
export async function poll() {
  clearTimeout(timer);
  timer = null;
  let next;
  try {
    next = await call('GET', `${BASE}/jobs/current`, { seconds: 10 });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 404) { timer = setTimeout(poll, 3000); return; }
    next = null;
  }
  job = next && next.id !== dismissed ? next : null;
  if (job) lastId = job.id;
  if (remembered && job?.id !== remembered.id && left === null) countLeft();
  if (isActive()) running = job.id;
  if (job && !isActive() && job.id === running) {
    running = null;
    announce(`${t(`job.${job.kind}.heading`, { count: job.selected ?? 0 })}: ${t(`job.states.${job.state}`)}`);
    onEnd();
  }
  // An ended job needs no memory: the service has told its result.
  if (job && !isActive() && job.id === remembered?.id) remember(null);
  draw();
  if (isActive() || downloading) timer = setTimeout(poll, 1000);
  else if (visible()) timer = setTimeout(poll, 10_000);
}

