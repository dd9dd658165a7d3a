// The dialogs that create, edit and delete one contact.

import { errorText, newIdempotencyKey, Problem, read } from './api.js';
import { keepRefused, send } from './changes.js';
import { $, announce, button, el, fill } from './dom.js';
import { keyButton } from './key.js';
import { dateAndTime, nationalPhone, sentence, t } from './language.js';
import { hideContact, listedContact, showContact } from './list.js';

const FIELDS = ['name', 'phone', 'email'];

/** What each dialog is about: the contact as last read (none for a new one), and the change as last sent. */
let editing = { item: null, attempt: null };
let removing = { item: null, attempt: null };

/** While a change is sent, the dialog cannot be closed and its button is disabled. */
function setBusy(dialog, sendButton, busy, text) {
  dialog.classList.toggle('busy', busy);
  sendButton.disabled = busy;
  sendButton.textContent = busy ? t('sending') : text;
}

// ------------------------------------------------------------------------------------------------ create and edit

/** Opens the dialog for a contact, or for a new one if `item` is null. */
export function openEdit(item, values = item && { ...item, phone: nationalPhone(item.phone) }) {
  editing = { item, attempt: null };
  $('edit-title').textContent = t(item ? 'editTitle' : 'create');
  for (const field of FIELDS) {
    $(`edit-${field}`).value = values?.[field] ?? '';
    fill($(`edit-${field}-current`));
  }
  showEditedVersion();
  showEditProblem(null);
  setBusy($('edit'), $('edit-send'), false, t('save'));
  if (!$('edit').open) $('edit').showModal();
  $('edit-name').focus();
}

const typedValues = () => Object.fromEntries(FIELDS.map((field) => [field, $(`edit-${field}`).value]));

/** Two equal fingerprints are the same request. */
const editFingerprint = () => JSON.stringify([editing.item?.id, editing.item?.version, typedValues()]);

function showEditedVersion() {
  const time = editing.item?.updated_at;
  fill($('edit-version'), time && t('basedOn', { time: dateAndTime(time) }));
}

/** Shows each field error at its field, and everything else above the fields. */
function showEditProblem(problem, ...more) {
  const bodyErrors = (problem?.errors ?? []).filter((error) => (error.in ?? 'body') === 'body');
  const fieldOf = (error) => FIELDS.find((field) => error.pointer === `/${field}` || error.field === field);
  for (const field of FIELDS) {
    const errors = bodyErrors.filter((error) => fieldOf(error) === field);
    fill($(`edit-${field}-error`), errors.map((error) => sentence(errorText(error))).join(' '));
    $(`edit-${field}`).setAttribute('aria-invalid', String(errors.length > 0));
  }
  const otherErrors = (problem?.errors ?? []).filter((error) => !bodyErrors.includes(error) || !fieldOf(error));
  const onlyFieldErrors = problem && problem.errors.length > 0 && otherErrors.length === 0;
  let above = [];
  if (onlyFieldErrors) {
    above = [el('strong', {}, `${t('states.refused')}. ${sentence(problem.detail)}`)];
  } else if (problem) {
    above = [...problem.content(), ...otherErrors.map((error) => el('span', {}, `${error.field}: ${errorText(error)}`))];
  }
  $('edit-problem').classList.toggle('bad', problem !== null);
  fill($('edit-problem'), ...above, ...more);
  $('edit-form').querySelector('[aria-invalid="true"]')?.focus();
}

$('edit-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { item } = editing;
  if ($('edit').classList.contains('busy')) return;
  // The same request keeps its idempotency key. Another request needs a new one.
  const fingerprint = editFingerprint();
  if (editing.attempt?.fingerprint !== fingerprint) {
    const values = typedValues();
    const name = values.name.trim() || values.email.trim();
    const request = { kind: item ? 'update' : 'create', id: item?.id, version: item?.version, values };
    editing.attempt = { ...request, fingerprint, name, key: newIdempotencyKey() };
  }
  showEditProblem(null);
  setBusy($('edit'), $('edit-send'), true);
  try {
    await send(editing.attempt);
    editing.attempt = null;
    $('edit').close();
  } catch (problem) {
    setBusy($('edit'), $('edit-send'), false, t(problem.temporary ? 'tryAgain' : 'save'));
    if (problem.slug === 'version-conflict') showEditProblem(problem, button(t('reload'), reloadEdit, ''));
    else showEditProblem(problem, keyButton(problem, { className: '' }));
    // The service will not accept this request later, so the next one is another request.
    if (!problem.temporary) editing.attempt = null;
    if ($('edit').open) announce($('edit-problem').textContent);
  }
});

$('edit-form').addEventListener('input', (event) => {
  const { attempt } = editing;
  const field = event.target.name;
  $(`edit-${field}`).setAttribute('aria-invalid', 'false');
  fill($(`edit-${field}-error`));
  if (!attempt) return;
  const same = attempt.fingerprint === editFingerprint();
  $('edit-send').textContent = t(same ? 'tryAgain' : 'save');
  showEditProblem(attempt.problem, same ? null : el('span', {}, t('editedSinceTry')));
});

/** Reads the contact again and keeps what was typed. Each field that differs shows its current value. */
export async function reloadEdit() {
  const values = typedValues();
  setBusy($('edit'), $('edit-send'), true);
  try {
    const item = await read(`contacts/${editing.item.id}`);
    editing = { item, attempt: null };
    showContact(item);
    showEditedVersion();
    for (const field of FIELDS) showCurrentValue(field, item, values[field]);
    showEditProblem(null, el('span', {}, t('reloaded')));
    setBusy($('edit'), $('edit-send'), false, t('saveOver'));
    announce(t('reloaded'));
    $('edit-name').focus();
  } catch (problem) {
    if (problem.status === 404) {
      const recreate = button(t('recreate'), () => { openEdit(null, values); }, '');
      hideContact(editing.item.id);
      showEditProblem(new Problem({ title: t('gone'), status: 404, detail: t('advice.contact_deleted') }), recreate);
      setBusy($('edit'), $('edit-send'), false, t('save'));
      $('edit-send').disabled = true;
      recreate.focus();
    } else {
      showEditProblem(problem, button(t('reload'), reloadEdit, ''));
      setBusy($('edit'), $('edit-send'), false, t('save'));
    }
  }
}

/** Shows the current value of a field below it, with a button to use it, if the typed value differs. */
function showCurrentValue(field, item, typed) {
  const digits = (text) => text.replace(/\D/g, '');
  const current = field === 'phone' ? nationalPhone(item.phone) : item[field];
  const same = typed.trim() === current || (field === 'phone' && digits(typed) === digits(current));
  const use = button(t('useCurrent'), () => {
    $(`edit-${field}`).value = current;
    fill($(`edit-${field}-current`));
    $(`edit-${field}`).focus();
  });
  fill($(`edit-${field}-current`), ...(same ? [] : [el('span', {}, t('currentValue', { value: current })), use]));
}

// --------------------------------------------------------------------------------------------------------- delete

export function openRemove(item) {
  removing = { item, attempt: null };
  showRemoved();
  fill($('remove-problem'));
  setBusy($('remove'), $('remove-send'), false, t('remove'));
  $('remove').showModal();
}

function showRemoved() {
  const { name, phone, email } = removing.item;
  fill($('remove-contact'), el('strong', {}, name), el('span', {}, nationalPhone(phone)), el('span', {}, email));
}

$('remove-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  if ($('remove').classList.contains('busy')) return;
  const { id, version, name, phone, email } = removing.item;
  removing.attempt ??= { kind: 'delete', id, version, name, values: { name, phone, email }, key: newIdempotencyKey() };
  fill($('remove-problem'));
  setBusy($('remove'), $('remove-send'), true);
  try {
    await send(removing.attempt);
    removing.attempt = null;
    $('remove').close();
  } catch (problem) {
    setBusy($('remove'), $('remove-send'), false, t(problem.temporary ? 'tryAgain' : 'remove'));
    $('remove-problem').classList.add('bad');
    const review = problem.slug === 'version-conflict' && button(t('review'), reloadRemove, '');
    fill($('remove-problem'), ...problem.content(), review, keyButton(problem, { className: '' }));
    if (!problem.temporary) removing.attempt = null;
  }
});

/** Reads the contact again, so that the person can decide again. */
export async function reloadRemove() {
  try {
    const item = await read(`contacts/${removing.item.id}`);
    removing = { item, attempt: null };
    showContact(item);
    showRemoved();
    $('remove-problem').classList.remove('bad');
    fill($('remove-problem'), el('span', {}, t('reloadedRemove')));
  } catch (problem) {
    const gone = problem.status === 404;
    $('remove-problem').classList.add('bad');
    if (gone) hideContact(removing.item.id);
    fill($('remove-problem'), ...(gone ? [el('strong', {}, t('gone'))] : problem.content()));
    $('remove-send').disabled = gone;
  }
}

// -------------------------------------------------------------------------------------------------------- opening

$('create').addEventListener('click', () => openEdit(null));
$('rows').addEventListener('click', (event) => {
  const action = event.target.closest('[data-action="edit"], [data-action="remove"]');
  if (!action) return;
  const item = listedContact(action.closest('tr').dataset.id);
  if (action.dataset.action === 'edit') openEdit(item);
  else openRemove(item);
});

for (const [dialog, subject] of [[$('edit'), () => editing], [$('remove'), () => removing]]) {
  dialog.addEventListener('close', () => {
    const { attempt } = subject();
    if (attempt?.state === 'refused') keepRefused(attempt);
    subject().attempt = null;
    if (document.activeElement === document.body) $('create').focus();
  });
}
