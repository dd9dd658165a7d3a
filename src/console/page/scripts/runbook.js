// The runbook: docs/OPERATIONS.md and docs/DEAD-LETTERS.md, which the service makes into HTML, beside their sections.
//
// Only the elements of the list below are taken over, with nothing but their ids and links. So no document can bring a
// script, a style or a picture into the console.

import { $, el, fill } from './dom.js';
import { Problem, problemNotice, request } from './api.js';
import { t } from './language.js';

const ELEMENTS = new Set([
  'H1', 'H2', 'H3', 'H4', 'P', 'UL', 'OL', 'LI', 'A', 'CODE', 'PRE', 'STRONG', 'EM', 'TABLE', 'THEAD', 'TBODY', 'TR', 'TH', 'TD', 'BLOCKQUOTE', 'HR', 'BR',
]);
/** The documents by their path, and the key of their title. */
export const DOCUMENTS = { runbook: 'operations', 'runbook-dead-letters': 'deadLetters' };

/** The documents that were read. */
const read = {};
let document_ = 'runbook';
let anchor = '';
let contents = null;

/** A link of the document as a link of the console. `null`: it leads nowhere, so it becomes text. */
function linkTo(href, own) {
  const served = /^([a-z-]*)(?:#(.+))?$/.exec(href);
  const name = served && (served[1] || own);
  if (Object.hasOwn(DOCUMENTS, name ?? '')) return `#${name}${served[2] ? `/${served[2]}` : ''}`;
  return /^https:\/\//.test(href) ? href : null;
}

function take(node, own) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.textContent);
  if (node.nodeType !== Node.ELEMENT_NODE || ['SCRIPT', 'STYLE', 'HEAD', 'TITLE', 'NAV'].includes(node.tagName)) return null;
  const children = [...node.childNodes].map((child) => take(child, own)).filter(Boolean);
  if (!ELEMENTS.has(node.tagName)) {
    const fragment = document.createDocumentFragment();
    fragment.append(...children);
    return fragment;
  }
  const href = node.tagName === 'A' ? linkTo(node.getAttribute('href') ?? '', own) : null;
  const element = el(node.tagName === 'A' && !href ? 'span' : node.tagName.toLowerCase(), {}, children);
  if (node.id) element.id = node.id;
  if (href) element.href = href;
  if (href?.startsWith('https:')) Object.assign(element, { target: '_blank', rel: 'noopener noreferrer' });
  // A wide table or a long line scrolls by itself, also by keyboard.
  if (node.tagName === 'PRE') element.tabIndex = 0;
  if (node.tagName === 'TABLE') return el('div', { className: 'scroll', tabIndex: 0 }, element);
  return element;
}

/** The documents and the sections of this one: the headings of the second level, and the alerts below theirs. */
function listOf(article) {
  const documents = Object.entries(DOCUMENTS).map(([name, title]) => el('li', {},
    el('a', { href: `#${name}`, 'aria-current': name === document_ && anchor === '' && 'true' }, t(`runbook.${title}`))));
  const sections = [...article.querySelectorAll('h2[id], h3[id]')].map((heading) => el('li', { className: heading.tagName.toLowerCase() },
    el('a', { href: `#${document_}/${heading.id}`, 'aria-current': heading.id === anchor && 'true' }, heading.textContent)));
  return el('nav', { className: 'contents', 'aria-label': t('runbook.contents') },
    el('ul', { className: 'documents', 'aria-label': t('runbook.documents') }, documents), el('ol', {}, sections));
}

function scroll() {
  const content = read[document_];
  for (const marked of content.querySelectorAll('.target')) marked.classList.remove('target');
  contents.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  const target = anchor && [...content.querySelectorAll('[id]')].find(({ id }) => id === anchor);
  if (!target) { window.scrollTo(0, 0); return; }
  target.classList.add('target');
  target.tabIndex = -1;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

export function draw() {
  const place = $('runbook');
  if (place.hidden || !read[document_]) return;
  contents = listOf(read[document_]);
  fill(place, el('div', { className: 'book' }, el('div', { className: 'contents-column' }, el('p', { className: 'quiet' }, t('runbook.note')), contents), read[document_]));
}

/** Shows a section of a document. */
export async function showRunbook(name, wanted) {
  [document_, anchor] = [name, wanted ?? ''];
  if (!read[name]) {
    fill($('runbook'), el('p', { className: 'quiet', role: 'status' }, t('reading')));
    try {
      const page = new DOMParser().parseFromString(await (await request('GET', name)).text(), 'text/html');
      const source = page.querySelector('main') ?? page.body;
      read[name] = el('article', { className: 'card document', lang: 'en' }, [...source.childNodes].map((node) => take(node, name)));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      fill($('runbook'), problemNotice(error));
      return;
    }
  }
  // The operator may have gone on while it was read.
  if (name !== document_ || $('runbook').hidden) return;
  draw();
  scroll();
}
