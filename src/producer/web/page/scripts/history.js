// The dialog that shows the history of a contact: its finished changes, the newest first.

import { read } from './api.js';
import { $, announce, button, el, fill } from './dom.js';
import { keyButton } from './key.js';
import { dateAndTime, nationalPhone, sentence, t } from './language.js';
import { badge, listedContact } from './list.js';

const PAGE_SIZE = 20;
/** The operations of the API that have another name on this page. */
const KINDS = { insert: 'create', patch: 'update' };

/** The contact whose history is shown, the cursor of the next page, and what aborts the request. */
let shown = { id: null, next: null, loading: null };

export function openHistory({ id, name }) {
  shown.loading?.abort();
  shown = { id, next: null, loading: null };
  fill($('history-contact'), name);
  fill($('history-list'));
  fill($('history-pruned'));
  $('history-more').hidden = true;
  if (!$('history').open) $('history').showModal();
  loadHistory();
}

async function loadHistory() {
  const { id, next } = shown;
  const { signal } = (shown.loading = new AbortController());
  const parameters = new URLSearchParams({ limit: PAGE_SIZE, ...(next && { cursor: next }) });
  fill($('history-problem'));
  $('history-more').disabled = true;
  $('history-list').setAttribute('aria-busy', 'true');
  try {
    const page = await read(`contacts/${id}/history?${parameters}`, { signal });
    const entries = page.items.map(historyEntry);
    fill($('history-list'), ...$('history-list').children, ...entries);
    // The next page starts at its first entry, for the keyboard and for a screen reader.
    if (next) entries[0]?.focus();
    shown.next = page.next;
    const { pruned_before: pruned } = page;
    fill($('history-pruned'), !page.next && pruned && t('historyPruned', { time: dateAndTime(pruned) }));
    if ($('history-list').hidden) fill($('history-pruned'), t('historyEmpty'));
    announce(t('historyCount', { count: $('history-list').children.length }));
  } catch (problem) {
    if (signal.aborted) return;
    const retry = button(t('tryAgain'), loadHistory, '');
    fill($('history-problem'), ...problem.content(), keyButton(problem, { onEntered: loadHistory, className: '' }) ?? retry);
  } finally {
    if (!signal.aborted) {
      $('history-list').setAttribute('aria-busy', 'false');
      $('history-more').disabled = false;
      $('history-more').hidden = !shown.next;
    }
  }
}

/** One change: its result, when, by whom, and which fields it changed. */
function historyEntry(item) {
  const { operation, status, detail, caller, completed_at: time, operation_id: id } = item;
  const entry = el('li', { tabIndex: -1 },
    el('p', { className: 'summary' }, el('strong', {}, t(`kinds.${KINDS[operation] ?? operation}`)), badge({ state: status })),
    el('p', { className: 'help' },
      el('time', { dateTime: time }, dateAndTime(time)), caller && ` · ${t('historyCaller', { caller })}`),
    ...changedFields(item),
    detail && el('p', {}, sentence(detail)),
    status === 'superseded' ? el('p', {}, t('explanations.superseded')) : null,
    el('code', { className: 'operation', title: 'operation_id' }, id));
  return entry;
}

/** The fields that the change gave another value, and their old values if the service keeps them. */
function changedFields({ operation, status, changed, old_values: old = {} }) {
  if (status !== 'applied' || operation === 'insert' || !changed) return [];
  if (operation !== 'delete' && changed.length === 0) return [el('p', {}, t('historyUnchanged'))];
  const fields = operation === 'delete' ? Object.keys(old) : changed;
  return fields.map((field) => {
    const value = field === 'phone' && old.phone ? nationalPhone(old.phone) : old[field] ?? t('historyNoValue');
    const before = Object.hasOwn(old, field) ? t('historyBefore', { value }) : null;
    return el('p', { className: 'changed-field' }, t(field), before && ' – ', before && el('span', {}, before));
  });
}

$('history-more').addEventListener('click', loadHistory);
$('history').addEventListener('close', () => shown.loading?.abort());
$('rows').addEventListener('click', (event) => {
  const action = event.target.closest('[data-action="history"]');
  if (action) openHistory(listedContact(action.closest('tr').dataset.id));
});
