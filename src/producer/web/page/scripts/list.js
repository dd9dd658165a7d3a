// The list of contacts: the search, its filters, the rows.

import { read } from './api.js';
import { drafts, lastChange } from './changes.js';
import { $, announce, button, el, fill, icon, notify } from './dom.js';
import { keyButton, keyEntered } from './key.js';
import { dateAndTime, nationalPhone, t, timeOrDate } from './language.js';
import { REGION_NAMES, STATE_NAMES } from './texts.js';

/** Each contact in the list by its id: the contact as last read, and its row. */
const rows = new Map();
/** The search that found the rows. The search form may have changed since. */
let shownSearch = new URLSearchParams();
/** The order of the rows, or an empty text for the default. */
let shownSort = '';
/** The cursor of the next page, or null after the last one. */
let nextPage = null;
/** Aborts the request for the list, so that a newer one replaces it. */
let loading = null;
/** The area codes of the service, for the filters. */
let areas = [];
const filters = ['region', 'state', 'ddd'].map($);

const COLUMNS = ['name', 'phone', 'email', 'area', 'updated', 'actions'];
const BADGE_ICONS = {
  sending: 'clock', accepted: 'clock', applied: 'check', superseded: 'skip', failed: 'alert', refused: 'alert',
  unknown: 'alert',
};

// ------------------------------------------------------------------------------------------------------- requests

/** Loads the list and the areas. */
export async function loadPage() {
  const areasLoaded = read('areas', { cache: 'default', quiet: true }).catch(async (problem) => {
    // The request for the list asks for the key.
    if (problem.status !== 401) throw problem;
    await keyEntered();
    return read('areas', { cache: 'default' });
  });
  const filtersShown = areasLoaded.then(({ items }) => {
    areas = items;
    showFilters();
  });
  await Promise.all([loadList(), filtersShown.catch(() => { /* The search works without filters. */ })]);
}

/** The search form as query parameters. */
export function currentSearch() {
  const all = [['q', $('q').value.trim()], ...filters.map((select) => [select.id, select.value])];
  return new URLSearchParams(all.filter(([, value]) => value));
}

/** Loads the first page of the search, or with `more` the next page. */
export async function loadList({ more = false, quiet = false } = {}) {
  loading?.abort();
  const { signal } = (loading = new AbortController());
  // A cursor belongs to the search that returned it.
  if (!more) [shownSearch, shownSort] = [currentSearch(), $('sort').value];
  const duplicates = duplicatesBy();
  const search = new URLSearchParams(duplicates ? { by: duplicates } : shownSearch);
  $('clear').hidden = currentSearch().size === 0;
  $('export-scope').textContent = t(shownSearch.size ? 'exportFound' : 'exportAll');
  if (shownSort && !duplicates) search.set('sort', shownSort);
  if (more) search.set('cursor', nextPage);
  $('table').setAttribute('aria-busy', 'true');
  try {
    const page = duplicates ? await readDuplicates(search, { signal, quiet }) : await read(`contacts?${search}`, { signal, quiet });
    notify();
    nextPage = page.next;
    if (!more) {
      clearList();
      // The answer does not have new contacts that are not applied yet. A search shows only what it found.
      if (!shownSearch.size && !duplicates) drafts().forEach((draft) => showContact(draft, { draft: true }));
    }
    const firstNew = page.items.find((item) => !rows.has(item.id));
    page.items.forEach((item) => showContact(item));
    // The last page hides the button that had the focus.
    if (more && !nextPage && firstNew) rows.get(firstNew.id).row.querySelector('button')?.focus();
    showFooter();
    if (!quiet) announce(rows.size ? $('count').textContent : $('empty').textContent);
  } catch (problem) {
    if (signal.aborted) return;
    nextPage = more ? nextPage : null;
    const retry = button(t('tryAgain'), () => loadList({ more }));
    const content = problem.slug === 'reads-unavailable' ? [el('strong', {}, t('unreadable'))] : problem.content();
    notify('bad', ...content, keyButton(problem, { onEntered: loadPage }) ?? retry);
    showFooter({ failed: true });
    announce($('notice').textContent);
  } finally {
    if (!signal.aborted) $('table').setAttribute('aria-busy', 'false');
  }
}

/** The value that the listed contacts share, if the list shows duplicates. */
const duplicatesBy = () => shownSort.match(/^duplicates:(.+)$/)?.[1];

/** Reads a page of duplicates as a page of contacts. The service may return pages without groups before the last one. */
async function readDuplicates(search, options) {
  for (;;) {
    const page = await read(`contacts/duplicates?${search}`, options);
    const items = page.items.flatMap((group) => group.contacts);
    if (items.length || !page.next) return { items, next: page.next };
    search.set('cursor', page.next);
  }
}

/** A search shows what it finds, so it ends the list of duplicates. */
function leaveDuplicates() {
  if ($('sort').value.startsWith('duplicates:')) $('sort').value = '';
}

/** Reads the contact of a finished change again, so that the row shows the stored contact. */
export async function refreshContact(change) {
  if (change.kind === 'delete' && change.state === 'applied') {
    hideContact(change.id);
    return;
  }
  try {
    const item = await read(`contacts/${change.id}`, { quiet: true });
    // A new contact may not match the search: then only a new request shows whether it does.
    if (rows.has(item.id) || !shownSearch.size) showContact(item, { first: change.kind === 'create' });
    else if (change.kind === 'create') loadList({ quiet: true });
    showFooter();
  } catch (problem) {
    if (problem.status === 404) hideContact(change.id);
  }
}

// ----------------------------------------------------------------------------------------------------------- rows

/** The contact of a row as last read. */
export const listedContact = (id) => rows.get(id)?.item;

/** Shows a contact. An existing row stays in its place and keeps the focus. */
export function showContact(item, { first = false, draft = false } = {}) {
  const known = rows.get(item.id);
  if (draft && known) return;
  const row = known?.row ?? contactRow(item.id);
  rows.set(item.id, { item, row });
  row.classList.toggle('draft', draft);
  const [name, phone, email, area, updated, actions] = row.cells;
  const avatar = el('span', { className: `avatar ${hueClass(item.id)}` }, initials(item.name));
  avatar.setAttribute('aria-hidden', 'true');
  const contactName = el('span', { className: 'contact-name', title: item.name }, item.name);
  name.replaceChildren(avatar, el('span', { className: 'name-and-badge' }, contactName));
  if (draft) {
    phone.replaceChildren(item.phone);
    email.replaceChildren(item.email ?? '');
    area.replaceChildren();
    updated.replaceChildren();
  } else {
    const time = { dateTime: item.updated_at, title: dateAndTime(item.updated_at) };
    phone.replaceChildren(el('a', { href: `tel:${item.phone}` }, nationalPhone(item.phone)));
    email.replaceChildren(item.email ? el('a', { href: `mailto:${encodeURIComponent(item.email)}`, title: item.email }, item.email) : '');
    const region = REGION_NAMES[item.region] ?? item.region;
    area.replaceChildren(el('span', { className: 'area-code' }, String(item.ddd)), `${item.state} · ${region}`);
    updated.replaceChildren(el('time', time, timeOrDate(item.updated_at)));
  }
  for (const action of actions.children) {
    action.hidden = draft;
    action.setAttribute('aria-label', t(`${action.dataset.action}Named`, { name: item.name }));
    action.title = t(action.dataset.action);
  }
  showBadge(item.id);
  if (first && $('rows').firstElementChild !== row) $('rows').prepend(row);
  else if (!known) $('rows').append(row);
}

/** Shows a new contact that is accepted and not applied yet. A search shows only what it found. */
export function showDraft({ kind, id, values }) {
  if (kind === 'create' && !shownSearch.size) showContact({ id, ...values }, { first: true, draft: true });
  showFooter();
}

export function hideContact(id) {
  const known = rows.get(id);
  if (!known) return;
  const focused = known.row.contains(document.activeElement);
  const neighbour = known.row.nextElementSibling ?? known.row.previousElementSibling;
  known.row.remove();
  rows.delete(id);
  showFooter();
  if (focused) (neighbour?.querySelector('button:not([hidden])') ?? $('create')).focus();
}

export function clearList() {
  rows.forEach(({ row }) => row.remove());
  rows.clear();
}

/** Shows the list again, in the current language. */
export function redrawList() {
  rows.forEach(({ item, row }) => showContact(item, { draft: row.classList.contains('draft') }));
  showFooter();
}

/** Shows the state of a contact's last change beside its name. */
export function showBadge(id) {
  const place = rows.get(id)?.row.querySelector('.name-and-badge');
  place?.querySelector('.badge')?.remove();
  const change = lastChange(id);
  if (change) place?.append(badge(change));
}

/** The state of a change as an icon and a word. */
export function badge({ state }) {
  return el('span', { className: `badge ${state}` }, icon(BADGE_ICONS[state]), t(`states.${state}`));
}

/** An empty row. editor.js and history.js listen for its buttons. */
function contactRow(id) {
  const row = el('tr', {}, ...COLUMNS.map((className) => {
    const cell = el('td', { className });
    cell.setAttribute('role', 'cell');
    return cell;
  }));
  row.setAttribute('role', 'row');
  row.dataset.id = id;
  for (const [action, symbol] of [['history', 'clock'], ['edit', 'edit'], ['remove', 'delete']]) {
    const actionButton = el('button', { type: 'button', className: 'icon' }, icon(symbol));
    actionButton.dataset.action = action;
    row.cells[5].append(actionButton);
  }
  return row;
}

/** Shows the number of rows, or why there are none. After a failed request it does not say that there are none. */
function showFooter({ failed = false } = {}) {
  const searching = shownSearch.size > 0;
  $('list-footer').hidden = rows.size === 0;
  $('count').textContent = t(nextPage ? 'countFirst' : 'count', { count: rows.size });
  $('more').hidden = !nextPage;
  if (rows.size || failed) fill($('empty'));
  else {
    const text = searching ? 'noMatches' : 'noContacts';
    const symbol = icon(searching ? 'search' : 'people');
    fill($('empty'), symbol, el('strong', {}, t(text)), el('span', {}, t(`${text}Help`)));
  }
  $('table').classList.toggle('no-rows', rows.size === 0);
}

/** One of six colours, always the same one for a contact. */
const hueClass = (id) => `hue-${[...id].reduce((hash, letter) => (hash * 31 + letter.codePointAt(0)) % 6, 0)}`;

/** The first letters of the first and the last word. */
function initials(name) {
  const letters = name.split(/\s+/).filter(Boolean).map((word) => [...word][0]);
  return letters.filter((_, index) => index === 0 || index === letters.length - 1).join('');
}

// --------------------------------------------------------------------------------------------------------- search

/** Offers the areas that fit the other filters. */
export function showFilters() {
  const [region, state, areaCode] = filters;
  const inRegion = (area) => !region.value || area.region === region.value;
  const inState = (area) => !state.value || area.state === state.value;
  const unique = (values) => [...new Set(values)].sort();
  const offer = (select, any, values, text) => {
    const chosen = select.value;
    const options = values.map((value) => el('option', { value }, text(value)));
    select.replaceChildren(el('option', { value: '' }, any), ...options);
    select.value = values.map(String).includes(chosen) ? chosen : '';
    select.disabled = values.length === 0;
  };
  offer(region, t('anyRegion'), unique(areas.map((area) => area.region)), (name) => REGION_NAMES[name] ?? name);
  offer(state, t('any'), unique(areas.filter(inRegion).map((area) => area.state)),
    (code) => `${code} – ${STATE_NAMES[code] ?? code}`);
  offer(areaCode, t('any'), areas.filter((area) => inRegion(area) && inState(area)).map((area) => area.ddd),
    (code) => `${code} – ${areas.find((area) => area.ddd === code).state}`);
}

let typingTimer = 0;
$('q').addEventListener('input', () => { leaveDuplicates(); clearTimeout(typingTimer); typingTimer = setTimeout(loadList, 250); });
$('search').addEventListener('submit', (event) => {
  event.preventDefault();
  clearTimeout(typingTimer);
  loadList();
});
filters.forEach((select) => select.addEventListener('change', () => { leaveDuplicates(); showFilters(); loadList(); }));
$('sort').addEventListener('change', () => loadList());
$('more').addEventListener('click', () => loadList({ more: true }));
$('clear').addEventListener('click', () => {
  $('search').reset();
  showFilters();
  loadList();
  $('q').focus();
});
