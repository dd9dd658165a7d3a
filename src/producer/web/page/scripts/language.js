// The language of the page: chooses it, looks texts up in it, writes dates and phone numbers in it.

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

/** The text for a key such as `states.applied`, with its values. `count` chooses between `one` and `other`. */
export function t(key, values = {}) {
  let text = key.split('.').reduce((texts, part) => texts?.[part], TEXTS[language]);
  if (text?.other) text = text[new Intl.PluralRules(language).select(values.count)] ?? text.other;
  const format = (value) => (typeof value === 'number' ? value.toLocaleString(language) : value);
  return text?.replace(/\{(\w+)\}/g, (_, name) => format(values[name])) ?? '';
}

/** Writes the texts of the language into the elements of index.html that name one. */
export function translatePage() {
  document.documentElement.lang = language;
  document.title = t('title');
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll('[data-label]')) {
    element.setAttribute('aria-label', t(element.dataset.label));
    if (element.matches('.icon')) element.title = t(element.dataset.label);
  }
  for (const element of document.querySelectorAll('[data-placeholder]')) {
    element.placeholder = t(element.dataset.placeholder);
  }
  $('language').textContent = t('otherLanguage');
  $('language').lang = otherLanguage();
}

/** A text with a capital first letter and a full stop. */
export function sentence(text) {
  if (!text) return '';
  return text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.');
}

/** `+5511987654321` as `(11) 98765-4321`. */
export const nationalPhone = (e164) => e164.replace(/^\+55(\d\d)(\d{4,5})(\d{4})$/, '($1) $2-$3');

export function dateAndTime(timestamp) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(timestamp));
}

/** The time for today, the date for other days. */
export function timeOrDate(timestamp) {
  const date = new Date(timestamp);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(language, today ? { timeStyle: 'short' } : { dateStyle: 'medium' }).format(date);
}
