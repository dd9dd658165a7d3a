// Requests to the console's API: the key, the time limit, problem documents (RFC 9457).

import { $, el, fill, storage } from './dom.js';
import { currentLanguage, hasText, sentence, t } from './language.js';

let key = storage.read('sessionStorage', 'contacts.console.key');
/** The answer of the open key dialog. Requests that need a key at the same time share it. */
let openQuestion = null;

/** Why a request failed: a problem document, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(document, retryAfter = 0) {
    super(document.title);
    Object.assign(this, { errors: [], detail: '', code: '' }, document, { retryAfter });
  }

  /** The title and the detail: our own words for a known code, else those of the answer. */
  texts() {
    const known = `problems.${this.code}`;
    if (this.code && hasText(known)) return [t(`${known}.title`), t(`${known}.detail`, this)];
    return [t('problems.other', { status: String(this.status) }), this.detail];
  }

  /** Elements with the title and the detail. */
  content() {
    const [title, detail] = this.texts();
    return [el('strong', {}, sentence(title)), detail && el('span', {}, sentence(detail))];
  }
}

/** A notice about a problem, with an action to try again. */
export const problemNotice = (problem, ...actions) => el('div', { className: 'notice bad', role: 'alert' },
  problem instanceof Problem ? problem.content() : String(problem), actions);

function setKey(value) {
  key = value;
  storage.write('sessionStorage', 'contacts.console.key', value);
  $('key-forget').hidden = !value;
}

export const forgetKey = () => setKey(null);

/** Asks for a key. It does not return without one: the console shows nothing without it. */
function askForKey(reason) {
  openQuestion ??= new Promise((resolve) => {
    $('key-reason').dataset.text = reason;
    $('key-reason').textContent = t(reason);
    $('key-value').value = '';
    fill($('key-error'));
    $('key').addEventListener('close', () => { openQuestion = null; resolve(); }, { once: true });
    $('key').showModal();
  });
  return openQuestion;
}

$('key').addEventListener('cancel', (event) => event.preventDefault());
$('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = $('key-value').value.trim();
  if (!/^[!-~]+$/.test(value)) {
    fill($('key-error'), t('key.invalid'));
    $('key-value').focus();
    return;
  }
  setKey(value);
  $('key').close();
});
$('key-forget').hidden = !key;

async function problemOf(response) {
  const document = await response.json().catch(() => null);
  return new Problem({ title: '', ...document, status: response.status }, Number(response.headers.get('Retry-After')) || 0);
}

/**
 * Sends a request below `/console/` and returns the response. Throws a `Problem` if it does not succeed. After 401 it
 * asks for a key and sends the request again. `seconds` limits the time until the headers of the answer.
 */
export async function request(method, path, { body, signal, seconds = 30 } = {}) {
  for (;;) {
    // A foreign page cannot send this header, so it cannot act in the operator's name.
    const headers = new Headers({ 'X-Contacts-Console': '1', 'Accept-Language': currentLanguage() });
    const usedKey = key;
    if (usedKey) headers.set('Authorization', `Bearer ${usedKey}`);
    if (body !== undefined) headers.set('Content-Type', 'application/json');
    const limit = new AbortController();
    const abort = () => limit.abort(signal.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const timer = setTimeout(() => limit.abort(), seconds * 1000);
    let response;
    try {
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store', signal: limit.signal });
    } catch {
      signal?.throwIfAborted();
      throw new Problem({ status: 0, code: method === 'GET' ? 'offline' : 'offline_write', title: '' });
    } finally {
      clearTimeout(timer);
    }
    if (response.status === 401) {
      // The key may have changed during the request.
      if (key === usedKey) await askForKey(usedKey ? 'key.refused' : 'key.needed');
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

/** Sends a request and returns the JSON of the answer. `null` for an answer without content. */
export async function call(method, path, options) {
  const response = await request(method, path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    options?.signal?.throwIfAborted();
    throw new Problem({ status: 0, code: 'offline', title: '' });
  }
}

/** A query string of the values that are set. A list gives a parameter for each value. */
export function query(values) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of [value].flat()) if (each !== undefined && each !== null && each !== '') parameters.append(name, each);
  }
  return parameters.toString();
}
