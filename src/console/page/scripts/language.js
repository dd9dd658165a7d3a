// The language of the console: chooses it, looks texts up in it, writes numbers and times in it.

import { $, storage } from './dom.js';
import { TEXTS } from './texts.js';

let language = storage.read('localStorage', 'contacts.language');
if (!Object.hasOwn(TEXTS, language ?? '')) language = /^pt\b/i.test(navigator.language) ? 'pt-BR' : 'en';

const otherLanguage = () => (language === 'en' ? 'pt-BR' : 'en');

export const currentLanguage = () => language;

/** Changes to the other language and remembers it. The caller then shows the page again. */
export function switchLanguage() {
  language = otherLanguage();
  storage.write('localStorage', 'contacts.language', language);
}

/**
 * The text for a key such as `states.working`, with its values. `count` chooses between `one` and `other`. A part in
 * brackets is left out if one of its values is not known: `The data is late[: {age}].`
 */
export function t(key, values = {}) {
  let text = look(key);
  if (text?.other) text = text[new Intl.PluralRules(language).select(values.count)] ?? text.other;
  if (typeof text !== 'string') return '';
  const known = (name) => values[name] !== undefined && values[name] !== null && values[name] !== '';
  const format = (value) => (typeof value === 'number' ? number(value) : value);
  const names = (part) => [...part.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  return text
    .replace(/\[([^\]]*)\]/g, (_, part) => (names(part).every(known) ? part : ''))
    .replace(/\{(\w+)\}/g, (_, name) => (known(name) ? format(values[name]) : '–'));
}

/** What a key names: a text, or a group of texts. A key may be made of data, such as `reasons.constructor`. */
const look = (key) => key.split('.').reduce((texts, part) => (Object.hasOwn(texts ?? {}, part) ? texts[part] : undefined), TEXTS[language]);

/** Whether there is a text for a key. */
export const hasText = (key) => look(key) !== undefined;

/** Writes the texts of the language into the elements of index.html that name one. */
export function translatePage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', t(element.dataset.label));
    if (element.matches('.icon')) element.title = t(element.dataset.label);
  }
  $('language').textContent = t('otherLanguage');
  $('language').lang = otherLanguage();
}

/** A text with a capital first letter and a full stop. */
export function sentence(text) {
  if (!text) return '';
  return text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.');
}

export const number = (value, digits = 0) => value.toLocaleString(language, { maximumFractionDigits: digits });

/** A number with about two significant digits: 0.02, 1.2, 12.4, 340. `–` if it is not known. */
export function figure(value) {
  if (value === null || value === undefined) return '–';
  const digits = value === 0 || value >= 100 ? 0 : value >= 1 ? 1 : 2;
  return number(value, digits);
}

/** A number of seconds as a text of one or two units, which do not break: `0.02 s`, `45 s`, `18 min`, `3 h 12 min`, `2 days`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 10) return `${figure(seconds)}\u00a0s`;
  if (seconds < 60) return `${Math.round(seconds)}\u00a0s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours}\u00a0h ${minutes % 60}\u00a0min` : `${hours}\u00a0h`;
  return t('days', { count: Math.floor(hours / 24) });
}

const format = (options, date) => new Intl.DateTimeFormat(language, options).format(date);
const isToday = (date) => date.toDateString() === new Date().toDateString();

/** The time of day, with the date if it was another day. */
export function clock(timestamp) {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return '–';
  const time = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return format(isToday(date) ? time : { day: 'numeric', month: 'short', ...time }, date);
}

/** The time of day with seconds, and the date if it was another day. */
export function clockWithSeconds(timestamp) {
  const date = new Date(timestamp);
  const time = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
  return format(isToday(date) ? time : { day: 'numeric', month: 'short', ...time }, date);
}

/** The time in full, to the millisecond. */
export function exactTime(timestamp) {
  const date = new Date(timestamp);
  return format({
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
    fractionalSecondDigits: 3, hourCycle: 'h23', timeZoneName: 'short',
  }, date);
}

export const timeZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC';

/** A size in bytes. */
export const size = (bytes) => (bytes < 1024 ? `${number(bytes)} B` : bytes < 1024 ** 2
  ? `${number(bytes / 1024, 1)} KiB` : `${number(bytes / 1024 ** 2, 1)} MiB`);
