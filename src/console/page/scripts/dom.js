// Helpers for the document: elements, dialogs, texts for screen readers, the clipboard, the browser's storage.
//
// A string always becomes text, never HTML: data from messages cannot add markup.

export const $ = (id) => document.getElementById(id);

const SVG = 'http://www.w3.org/2000/svg';

function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    // Names of attributes (`aria-label`, `data-id`, `role`) and properties (`className`, `onclick`) do not overlap.
    if (name.includes('-') || name === 'role' || name === 'for' || !(name in element)) {
      element.setAttribute(name, value === true ? '' : value);
    } else element[name] = value;
  }
}

const present = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false && child !== '');

/** Creates an element with properties, attributes and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, properties);
  element.append(...present(children));
  return element;
}

/** Creates an SVG element with attributes and children. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...present(children));
  return element;
}

/** Creates an icon from a symbol of index.html: `search` for `#i-search`. */
export const icon = (name) => svg('svg', { 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }));

export function button(text, onclick, { className = '', icon: name, ...properties } = {}) {
  return el('button', { type: 'button', className, onclick, ...properties }, name && icon(name), text && el('span', {}, text));
}

/** A button with an icon only. Its name is for screen readers and shows as a tip. */
export const iconButton = (name, label, onclick, properties = {}) => el('button', {
  type: 'button', className: 'icon', title: label, 'aria-label': label, onclick, ...properties,
}, icon(name));

/** Replaces the content of an element. Hides the element if there is no content. */
export function fill(element, ...children) {
  const shown = present(children);
  element.replaceChildren(...shown);
  element.hidden = shown.length === 0;
}

/** Control characters, and characters that are invisible or turn the text around. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A text of a message in which every character is seen: a hidden one as its number, such as `\\u202e`. */
export const visible = (text) => text.replace(UNSEEN, (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, '0')}`);

/** Announces a text to screen readers. */
export function announce(text) {
  // A screen reader does not read the same text twice, so a repeated text gets an invisible character.
  $('live').textContent = $('live').textContent === text ? `${text}\u00a0` : text;
}

/** `localStorage` or `sessionStorage`. The browser's settings may forbid both; then nothing is stored. */
export const storage = {
  read(area, name) {
    try { return window[area].getItem(name); } catch { return null; }
  },
  write(area, name, value) {
    try {
      if (value) window[area].setItem(name, value);
      else window[area].removeItem(name);
    } catch { /* see above */ }
  },
};

/** Opens a dialog. It is removed when it closes; the focus then returns to where it was. Returns the dialog. */
export function openDialog({ title, closeLabel, body, footer, id, onsubmit, onclose }) {
  const close = iconButton('close', closeLabel, () => dialog.close());
  const form = el('form', { noValidate: true, onsubmit: (event) => { event.preventDefault(); onsubmit?.(dialog); } },
    el('header', {}, el('h2', { id: `${id}-title` }, title), close),
    el('div', { className: 'body' }, body),
    footer && el('footer', {}, footer));
  const dialog = el('dialog', { id, 'aria-labelledby': `${id}-title` }, form);
  document.body.append(dialog);
  dialog.addEventListener('close', () => { dialog.remove(); onclose?.(); });
  dialog.showModal();
  return dialog;
}

/** A field with its label, its help and the place for its error. */
export function field(id, label, input, help = null) {
  const error = el('p', { className: 'error', id: `${id}-error`, hidden: true });
  input.id = id;
  input.setAttribute('aria-describedby', `${id}-error${help ? ` ${id}-help` : ''}`);
  return el('div', { className: 'field' }, el('label', { for: id }, label), input, help && el('p', { className: 'help', id: `${id}-help` }, help), error);
}

/** Shows an error at its field, or removes it. */
export function showError(root, id, text) {
  fill(root.querySelector(`#${id}-error`), text);
  const input = root.querySelector(`#${id}`);
  if (text) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
}

/** Copies a text. `navigator.clipboard` is missing on plain HTTP, which a private network may use. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el('textarea', { className: 'visually-hidden', value: text });
    const focused = document.activeElement;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    focused?.focus();
    return copied;
  }
}
