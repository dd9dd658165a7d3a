// Requests to the API: the key, the time limit, the wait after 429, problem documents (RFC 9457).

import { el, notify } from './dom.js';
import { askForKey, currentKey } from './key.js';
import { currentLanguage, sentence, t } from './language.js';

/** Why a request failed: a problem document of the service, or no answer at all (status 0). */
export class Problem extends Error {
  constructor(document, retryAfter = 0) {
    super(document.title);
    Object.assign(this, { errors: [], detail: '' }, document, { retryAfter });
  }

  /** Whether the same request with the same idempotency key may succeed later. */
  get temporary() { return [0, 408, 429, 500, 502, 503, 504].includes(this.status); }

  /** The name of the problem type: `version-conflict` for `/problems/version-conflict`. */
  get slug() { return /^\/problems\/([a-z-]+)$/.exec(this.type ?? '')?.[1]; }

  /** Elements with the title, the detail and a link to the explanation. */
  content() {
    const attributes = { href: `problems/${this.slug}`, target: '_blank', rel: 'noopener' };
    const link = this.slug && el('a', attributes, t('explain'));
    return [el('strong', {}, sentence(this.title)), el('span', {}, sentence(this.detail)), link];
  }

  /** Each field error as `field: detail`. */
  fieldErrors() { return this.errors.map((error) => `${error.field}: ${errorText(error)}`); }
}

/** The text of a field error, with the value that was probably meant. */
export const errorText = ({ detail, suggestion }) => (suggestion ? `${detail} (${suggestion})` : detail);

export const sleep = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, seconds * 1000);
  signal?.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

/** Resolves when the tab is visible. A hidden tab sends no requests of its own. */
export const pageVisible = () => new Promise((resolve) => {
  const check = () => {
    if (document.hidden) return;
    document.removeEventListener('visibilitychange', check);
    resolve();
  };
  document.addEventListener('visibilitychange', check);
  check();
});

/** The Retry-After of a response in seconds, at most 300. The header has a number or a date. */
export function retryAfter(response) {
  const text = response.headers.get('Retry-After') ?? '';
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 300) : 0;
}

async function problemOf(response) {
  const document = await response.json().catch(() => null);
  const fallback = { title: t('unknownProblem', { status: String(response.status) }) };
  return new Problem({ ...fallback, ...document, status: response.status }, retryAfter(response));
}

/**
 * Sends a request and returns the response. Throws a `Problem` if it does not succeed.
 * After 401 it asks for a key; after 429 it waits and tries again. `quiet` requests do not ask and show no notice.
 * `seconds` limits the time until the response headers; 0 means no limit.
 */
export async function request(method, path, options = {}) {
  const { body, type = 'application/json', headers = {}, signal, quiet, seconds = 30, cache = 'no-cache' } = options;
  for (let waited = 0; ;) {
    const sent = new Headers({ ...headers, 'Accept-Language': currentLanguage() });
    const usedKey = currentKey();
    if (usedKey) sent.set('Authorization', `Bearer ${usedKey}`);
    if (body !== undefined) sent.set('Content-Type', type);
    const limit = new AbortController();
    const abort = () => limit.abort(signal.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const timer = seconds && setTimeout(() => limit.abort(), seconds * 1000);
    let response;
    try {
      response = await fetch(path, { method, headers: sent, body, cache, signal: limit.signal });
    } catch {
      signal?.throwIfAborted();
      throw offline(method);
    } finally {
      clearTimeout(timer);
    }
    // The key changed during the request.
    if (response.status === 401 && currentKey() !== usedKey) continue;
    if (response.status === 401 && !quiet && await askForKey(usedKey ? 'keyRefused' : 'keyNeeded')) continue;
    if (response.status === 429 && waited < 60) {
      // The random part spreads clients that were limited at the same time.
      const pause = Math.max(retryAfter(response), 1) + Math.random() / 2;
      waited += pause;
      if (!quiet) notify('', el('span', {}, t('tooManyRequests', { seconds: Math.ceil(pause) })));
      try {
        await sleep(pause, signal);
      } finally {
        if (!quiet) notify();
      }
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

/** Sends a GET request and returns the JSON of the response. */
export async function read(path, options) {
  const response = await request('GET', path, options);
  try {
    return await response.json();
  } catch {
    options?.signal?.throwIfAborted();
    throw offline('GET');
  }
}

/** The problem of a request without a complete answer. */
export const offline = (method) => new Problem({
  status: 0, title: t('offlineTitle'), detail: t(method === 'GET' ? 'offlineRead' : 'offlineWrite'),
});

/** A new idempotency key. `crypto.randomUUID` is missing on plain HTTP, which a private network may use. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return crypto.randomUUID?.() ?? Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
