// The operator's console. This file connects the modules: sections, keyboard, language, theme.
//
// Data flows one way: now.js reads the state, the sections show it. Texts from the service become text, never HTML.

import { $, announce, el, openDialog, storage } from './dom.js';
import { forgetKey } from './api.js';
import { switchLanguage, t, translatePage } from './language.js';
import { drawNow, drawState, onNow, watchNow } from './now.js';
import { connectJobs, draw as drawJob, poll as pollJob } from './jobs.js';
import { draw as drawDeadLetters, queueChanged, refresh as refreshDeadLetters, showDeadLetters } from './dead-letters.js';
import { draw as drawMessage, leaveMessage, showMessage } from './message.js';
import { draw as drawFind, focusFind, showFind } from './find.js';
import { DOCUMENTS, draw as drawRunbook, showRunbook } from './runbook.js';

const SECTIONS = ['now', 'dead-letters', 'message', 'find', 'runbook'];
let section = null;

/** A part of an address. A link that somebody wrote by hand may be malformed. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** `#message/ID`, `#find?q=TEXT`: the section, the rest of its path, its parameters. */
function place() {
  const [path, parameters] = location.hash.slice(1).split('?', 2);
  const [name, ...rest] = path.split('/');
  const found = { document: name, rest: decoded(rest.join('/')), parameters: new URLSearchParams(parameters) };
  if (Object.hasOwn(DOCUMENTS, name)) return { name: 'runbook', ...found };
  return { name: SECTIONS.includes(name) ? name : 'now', ...found };
}

function showSection() {
  const { name, document: runbook, rest, parameters } = place();
  const changed = name !== section;
  if (section === 'message' && name !== 'message') leaveMessage();
  section = name;
  for (const id of SECTIONS) $(id).hidden = id !== name;
  const tab = name === 'message' ? 'dead-letters' : name;
  for (const link of $('sections').querySelectorAll('a')) {
    if (link.dataset.section === tab) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  drawState(section);
  drawJob();
  if (changed) window.scrollTo(0, 0);
  if (name === 'now') drawNow();
  if (name === 'dead-letters') showDeadLetters(parameters);
  if (name === 'message') showMessage(rest);
  if (name === 'find') showFind(parameters);
  if (name === 'runbook') showRunbook(runbook, rest);
  if (name === 'dead-letters') pollJob();
}

function drawAll() {
  translatePage();
  showTheme();
  drawState(section);
  drawNow();
  drawJob();
  drawDeadLetters();
  drawMessage();
  drawFind();
  drawRunbook();
}

/* The theme: of the system, or the operator's choice */

const THEMES = ['auto', 'light', 'dark'];
let theme = storage.read('localStorage', 'contacts.theme') ?? 'auto';

function showTheme() {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const label = t(`theme.${theme}`);
  $('theme').title = label;
  $('theme').setAttribute('aria-label', label);
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  storage.write('localStorage', 'contacts.theme', theme === 'auto' ? null : theme);
  showTheme();
  announce(t(`theme.${theme}`));
}

/* The keyboard */

const KEYS = ['n', 'd', 'f', 'r', '/', '?'];
/** Keys without a modifier can be switched off: speech input may press them by mistake (WCAG 2.1.4). */
let shortcuts = storage.read('localStorage', 'contacts.console.shortcuts') !== 'off';

function openHelp() {
  if (document.querySelector('dialog[open]')) return;
  const toggle = el('input', {
    type: 'checkbox', checked: shortcuts,
    onchange() {
      shortcuts = toggle.checked;
      storage.write('localStorage', 'contacts.console.shortcuts', shortcuts ? null : 'off');
    },
  });
  openDialog({
    id: 'help-dialog', title: t('shortcuts.title'), closeLabel: t('close'),
    body: [
      el('dl', { className: 'keys' }, KEYS.map((key) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, t(`shortcuts.keys.${key}`))]),
        el('dt', {}, el('kbd', {}, '←'), ' ', el('kbd', {}, '→')), el('dd', {}, t('shortcuts.keys.arrows'))),
      el('label', { className: 'check' }, toggle, el('span', {}, t('shortcuts.on'))),
    ],
  });
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog')) return;
  if (event.key === '?') { event.preventDefault(); openHelp(); return; }
  if (!shortcuts || !KEYS.includes(event.key)) return;
  event.preventDefault();
  if (event.key === '/' && section === 'find') { focusFind(); return; }
  const target = { n: 'now', d: 'dead-letters', f: 'find', r: 'runbook', '/': 'find' }[event.key];
  location.hash = `#${target}`;
  if (target !== 'find') $('main').focus({ preventScroll: true });
});

/* The start */

$('language').addEventListener('click', () => { switchLanguage(); drawAll(); announce(t('title')); });
$('theme').addEventListener('click', nextTheme);
$('help').addEventListener('click', openHelp);
$('key-forget').addEventListener('click', () => { forgetKey(); location.reload(); });
$('skip').addEventListener('click', (event) => { event.preventDefault(); $('main').focus(); });

connectJobs({
  visible: () => section === 'dead-letters',
  onEnd() { if (section === 'dead-letters') refreshDeadLetters(); },
});
let rights = null;
let started = null;
onNow((state) => {
  drawState(section);
  if (section === 'now') drawNow();
  queueChanged();
  // Another process answers: it does not know the job of the one before.
  if (state && state.started_at !== started) {
    if (started) pollJob();
    started = state.started_at;
  }
  // What the operator may do is known with the first answer.
  if (state && state.operator.write !== rights) {
    rights = state.operator.write;
    drawJob();
    drawDeadLetters();
    drawMessage();
  }
});
addEventListener('hashchange', () => {
  // A dialog belongs to the section that opened it. The question for a key does not.
  for (const dialog of document.querySelectorAll('dialog[open]:not(#key)')) dialog.close();
  showSection();
});

translatePage();
showTheme();
showSection();
if (section !== 'dead-letters') pollJob();
watchNow();
