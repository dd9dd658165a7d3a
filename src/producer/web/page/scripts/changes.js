// The changes made in this tab: sends each one, and follows it until it is finished. Shows nothing itself.
//
// A change is `{ kind, id, version, values, key, name, state }` and:
//   kind     create, update or delete
//   values   the fields as typed
//   key      the idempotency key; a repeated request sends the same one
//   state    sending -> accepted -> applied | superseded | failed | unknown, or sending -> refused
//   problem  why it was refused
//   note     more about the state `accepted`: accepted, waiting or unreadable

import { offline, pageVisible, request, retryAfter, sleep } from './api.js';
import { keyEntered } from './key.js';

/** Newest first. */
const changes = [];

/** What shows the changes; see `onChange`. */
let listener = { accepted() {}, updated() {}, finished() {} };

/** Sets the functions that are called when a change is accepted, has another note, or is finished. */
export function onChange(functions) { listener = functions; }

export const allChanges = () => [...changes];
export const lastChange = (id) => changes.find((change) => change.id === id);

/** The new contacts that are accepted and not applied yet. */
export const drafts = () => changes
  .filter(({ kind, id, state }) => kind === 'create' && id && state === 'accepted')
  .map(({ id, values }) => ({ id, ...values }));

function add(change) {
  if (!changes.includes(change)) changes.unshift(change);
}

export function removeChange(change) {
  const position = changes.indexOf(change);
  if (position >= 0) changes.splice(position, 1);
}

/** Keeps a refused change after its dialog is closed, so that it can be sent again. */
export function keepRefused(change) {
  add(change);
  listener.updated(change);
}

/** Sends a change, or sends it again with the same key, so that it takes effect once. Throws the problem if refused. */
export async function send(change) {
  const { kind, id, version, values } = change;
  const headers = { 'Idempotency-Key': change.key };
  if (version) headers['If-Match'] = `"${version}"`;
  const method = { create: 'POST', update: 'PUT', delete: 'DELETE' }[kind];
  const path = kind === 'create' ? 'contacts' : `contacts/${id}`;
  const body = kind === 'delete' ? undefined : JSON.stringify({ ...values, email: values.email?.trim() || null });
  change.state = 'sending';
  try {
    const response = await request(method, path, { headers, body });
    const accepted = await response.json().catch(() => { throw offline(method); });
    const operation = accepted.operation_id;
    Object.assign(change, { state: 'accepted', id: accepted.contact_id, operation, problem: null, note: 'accepted' });
    change.wait = retryAfter(response);
  } catch (problem) {
    Object.assign(change, { state: 'refused', problem });
    throw problem;
  }
  add(change);
  listener.accepted(change);
  follow(change);
}

/** Reads the operation until it is finished: not before Retry-After, with a backoff, only while the tab is visible. */
async function follow(change) {
  for (let wait = 1; change.state === 'accepted'; wait = Math.min(wait * 1.5, 15)) {
    await sleep(Math.max(wait, change.wait));
    await pageVisible();
    try {
      const response = await request('GET', `operations/${change.operation}`, { quiet: true });
      const { status, reason, detail } = await response.json();
      change.wait = retryAfter(response);
      const note = wait > 4 ? 'waiting' : 'accepted';
      if (status !== 'pending') Object.assign(change, { state: status, reason, detail, note: null });
      else if (note !== change.note) listener.updated(Object.assign(change, { note }));
    } catch (problem) {
      if (problem.status === 404) Object.assign(change, { state: 'unknown', note: null });
      else {
        change.wait = problem.retryAfter ?? 0;
        listener.updated(Object.assign(change, { note: 'unreadable' }));
        if (problem.status === 401) await keyEntered();
      }
    }
  }
  listener.finished(change);
}
