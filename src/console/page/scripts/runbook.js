// The runbook: docs/OPERATIONS.md, which the service makes into HTML, beside a list of its sections.
//
// Only the elements of the list below are taken over, with nothing but their ids and links. So no document can bring a
// script, a style or a picture into the console.

import { $, el, fill } from './dom.js';
import { Problem, problemNotice, request } from './api.js';
import { t } from './language.js';

const ELEMENTS = new Set([
  'H1', 'H2', 'H3', 'H4', 'P', 'UL', 'OL', 'LI', 'A', 'CODE', 'PRE', 'STRONG', 'EM', 'TABLE', 'THEAD', 'TBODY', 'TR', 'TH', 'TD', 'BLOCKQUOTE', 'HR', 'BR',
]);

let content = null;
let contents = null;
let anchor = '';

/** The link of the runbook as a link of the console. Links to other documents are text: the console serves only this one. */
function linkTo(href) {
  const own = /^(?:OPERATIONS\.md|\/?console\/runbook)?#(.+)$/.exec(href);
  return own ? `#runbook/${own[1]}` : null;
}

function take(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.textContent);
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const children = [...node.childNodes].map(take).filter(Boolean);
  if (['SCRIPT', 'STYLE', 'HEAD', 'TITLE', 'NAV'].includes(node.tagName)) return null;
  if (!ELEMENTS.has(node.tagName)) {
    const fragment = document.createDocumentFragment();
    fragment.append(...children);
    return fragment;
  }
  const href = node.tagName === 'A' ? linkTo(node.getAttribute('href') ?? '') : null;
  const element = el(node.tagName === 'A' && !href ? 'span' : node.tagName.toLowerCase(), {}, children);
  if (node.id) element.id = node.id;
  if (href) element.href = href;
  // A wide table or a long line scrolls by itself, also by keyboard.
  if (node.tagName === 'PRE') element.tabIndex = 0;
  if (node.tagName === 'TABLE') return el('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': t('runbook.table') }, element);
  return element;
}

/** The list of sections: the headings of the second level, and the alerts below theirs. */
function listOf(article) {
  return el('nav', { className: 'contents', 'aria-label': t('runbook.contents') }, el('ol', {},
    [...article.querySelectorAll('h2[id], h3[id]')].map((heading) => el('li', { className: heading.tagName.toLowerCase() }, el('a', { href: `#runbook/${heading.id}` }, heading.textContent)))));
}

function scroll() {
  const target = anchor && [...content.querySelectorAll('[id]')].find(({ id }) => id === anchor);
  for (const marked of content.querySelectorAll('.target')) marked.classList.remove('target');
  for (const link of contents.querySelectorAll('a')) {
    if (link.hash === `#runbook/${anchor}`) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
  if (!target) { window.scrollTo(0, 0); return; }
  target.classList.add('target');
  target.tabIndex = -1;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

export function draw() {
  const place = $('runbook');
  if (place.hidden || !content) return;
  contents = listOf(content);
  fill(place, el('p', { className: 'quiet language-note' }, t('runbook.note')), el('div', { className: 'book' }, contents, content));
}

export async function showRunbook(wanted) {
  anchor = decodeURIComponent(wanted ?? '');
  if (!content) {
    fill($('runbook'), el('p', { className: 'quiet', role: 'status' }, t('counting')));
    try {
      const page = new DOMParser().parseFromString(await (await request('GET', 'runbook')).text(), 'text/html');
      const source = page.querySelector('main') ?? page.body;
      content = el('article', { className: 'card document', lang: 'en' }, [...source.childNodes].map(take));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      fill($('runbook'), problemNotice(error));
      return;
    }
  }
  draw();
  scroll();
}
