// The API key of this tab, and the dialog that asks for it.

import { $, button, fill, storage } from './dom.js';
import { t } from './language.js';

let key = storage.read('sessionStorage', 'contacts.key');
/** The answer of the open dialog. Requests that need a key at the same time share it. */
let openQuestion = null;
/** Those who wait for a key and do not ask for it. */
const waiting = [];

export const currentKey = () => key;

/** Resolves when a key is entered. Does not ask for it. */
export const keyEntered = () => new Promise((resolve) => { waiting.push(resolve); });

export const forgetKey = () => setKey(null);

function setKey(value) {
  key = value;
  storage.write('sessionStorage', 'contacts.key', value);
  $('key-change').hidden = !value;
  if (value) waiting.splice(0).forEach((resolve) => resolve());
}

/** Asks for a key. `reason` is the key of a text. Resolves to whether one was entered. */
export function askForKey(reason) {
  openQuestion ??= new Promise((resolve) => {
    $('key-reason').dataset.text = reason;
    $('key-reason').textContent = t(reason);
    $('key-value').value = '';
    fill($('key-error'));
    $('key').addEventListener('close', () => {
      openQuestion = null;
      resolve($('key').returnValue === 'entered');
    }, { once: true });
    $('key').returnValue = '';
    $('key').showModal();
  });
  return openQuestion;
}

/** A button to enter another key, for a problem that another key may solve; otherwise null. */
export function keyButton(problem, { className, onEntered = () => {} } = {}) {
  if (![401, 403].includes(problem.status)) return null;
  const enter = async () => { if (await askForKey('keyNeeded')) onEntered(); };
  return button(t(key ? 'keyOther' : 'keyEnter'), enter, className);
}

$('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = $('key-value').value.trim();
  if (!/^[!-~]+$/.test(value)) {
    fill($('key-error'), t('keyInvalid'));
    $('key-value').focus();
    return;
  }
  setKey(value);
  $('key').close('entered');
});

$('key-change').hidden = !key;
