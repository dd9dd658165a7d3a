// The list "Recent changes": the state of each change of this tab, and what a person can do about it.

import { allChanges, removeChange, send } from './changes.js';
import { $, announce, button, el, icon } from './dom.js';
import { openEdit, openRemove, reloadEdit, reloadRemove } from './editor.js';
import { openHistory } from './history.js';
import { sentence, t } from './language.js';
import { badge, listedContact, showBadge } from './list.js';

/** The list item of each change. */
const entries = new Map();

/** Shows a change in the list, and as a badge in the contact's row. */
export function showChange(change) {
  if (!allChanges().includes(change)) return;
  const { kind, state, name, operation } = change;
  if (!entries.has(change)) {
    entries.set(change, el('li'));
    $('changes-list').prepend(entries.get(change));
  }
  const entry = entries.get(change);
  const id = operation ? el('code', { className: 'operation', title: 'operation_id' }, operation) : null;
  entry.className = state;
  entry.replaceChildren(
    badge(change),
    el('p', { className: 'summary' }, el('span', {}, t(`kinds.${kind}`)), el('strong', {}, name), id),
    el('p', { className: 'explanation' }, ...explanation(change)),
    el('div', { className: 'remedies' }, ...remedies(change)),
  );
  $('changes').hidden = false;
  showBadge(change.id);
  const detail = state === 'failed' ? sentence(change.detail) : '';
  announce(`${t(`kinds.${kind}`)}, ${name}: ${t(`states.${state}`)}. ${detail}`);
}

/** Shows all changes again, in the current language. */
export const redrawChanges = () => allChanges().reverse().forEach(showChange);

function explanation({ state, reason, detail, problem, note }) {
  if (state === 'failed') return [sentence(detail), ' ', el('code', {}, reason), ' ', t(`advice.${reason}`)];
  if (state === 'refused') {
    const parts = problem.content().filter(Boolean).flatMap((part) => [part, ' ']);
    return [...parts, problem.fieldErrors().join('; ')];
  }
  return [t(`explanations.${note ?? state}`)];
}

/** The buttons of a change: send it again, review it, show the history, or remove it from the list. */
function remedies(change) {
  const { kind, id, state, name, values, reason, problem } = change;
  const replace = (text, action) => button(t(text), () => { dismiss(change); action(); }, '');
  const all = [];
  if (state === 'refused' && problem.temporary) all.push(button(t('tryAgain'), () => retry(change), ''));
  else if (state === 'failed' || state === 'refused') {
    const gone = ['contact_deleted', 'contact_not_found'].includes(reason);
    if (kind !== 'delete' && (gone || kind === 'create')) all.push(replace('recreate', () => openEdit(null, values)));
    else if (!gone) all.push(replace('review', () => review(change)));
  }
  // It shows who made the newer change, and what is left of a deleted contact.
  if (id && ['superseded', 'failed'].includes(state) || (kind === 'delete' && state === 'applied')) {
    all.push(button(t('history'), () => openHistory({ id, name }), ''));
  }
  if (!['sending', 'accepted'].includes(state)) {
    const close = button(icon('close'), () => dismiss(change), 'icon');
    close.title = t('dismiss');
    close.setAttribute('aria-label', t('dismiss'));
    all.push(close);
  }
  return all;
}

/** Removes a change from the list. It does not take the change back. */
function dismiss(change) {
  const entry = entries.get(change);
  const focused = entry?.contains(document.activeElement);
  removeChange(change);
  entries.delete(change);
  entry?.remove();
  showBadge(change.id);
  $('changes').hidden = allChanges().length === 0;
  if (focused) $('create').focus();
}

async function retry(change) {
  for (const each of entries.get(change).querySelectorAll('button')) each.disabled = true;
  try {
    await send(change);
  } catch {
    showChange(change);
  }
}

/** Opens the dialog again with the current contact, after another change came first. */
async function review(change) {
  const known = listedContact(change.id) ?? { id: change.id, ...change.values };
  if (change.kind === 'delete') {
    openRemove(known);
    await reloadRemove();
  } else {
    openEdit(known, change.values);
    await reloadEdit();
  }
}

$('changes-clear').addEventListener('click', () => {
  allChanges().filter(({ state }) => ['applied', 'superseded'].includes(state)).forEach(dismiss);
  $('create').focus();
});
