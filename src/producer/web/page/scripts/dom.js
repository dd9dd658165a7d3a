// Helpers for the document: elements, the notice, texts for screen readers. Also the browser's storage.

export const $ = (id) => document.getElementById(id);

/** Creates an element with properties and children. A string becomes text, never HTML. */
export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

/** Creates an icon from a symbol of index.html: `search` for `#i-search`. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

export function button(text, onclick, className = 'plain') {
  return el('button', { type: 'button', className, onclick }, text);
}

/** Replaces the content of an element. Hides the element if there is no content. */
export function fill(element, ...children) {
  const shown = children.flat().filter(Boolean);
  element.replaceChildren(...shown);
  element.hidden = shown.length === 0;
}

/** Announces a text to screen readers. */
export function announce(text) {
  // A screen reader does not read the same text twice, so a repeated text gets an invisible character.
  $('live').textContent = $('live').textContent === text ? `${text}\u00a0` : text;
}

/** Shows a notice above the list: `kind` is `good`, `bad` or empty. Without children it hides the notice. */
export function notify(kind = '', ...children) {
  $('notice').className = `notice ${kind}`;
  fill($('notice'), ...children);
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
