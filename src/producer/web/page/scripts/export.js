// The export menu: saves the contacts of the search as a file.

import { Problem, request } from './api.js';
import { $, announce, button, el, notify } from './dom.js';
import { t } from './language.js';
import { currentSearch } from './list.js';

function closeMenu() {
  $('export').open = false;
  $('export').firstElementChild.focus();
}

/** Loads the file with `fetch`: a plain link could not send the key and would not show a problem on this page. */
async function exportFile(format) {
  const search = currentSearch();
  search.set('format', format);
  notify('', el('span', {}, t('exporting')));
  announce(t('exporting'));
  try {
    const response = await request('GET', `contacts/export?${search}`, { seconds: 0 });
    const disposition = response.headers.get('Content-Disposition') ?? '';
    const file = /filename="([^"/\\]+)"/.exec(disposition)?.[1] ?? `contacts.${format}`;
    const address = URL.createObjectURL(await response.blob());
    el('a', { href: address, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    notify('good', el('span', {}, t('exported', { file })), button(t('dismiss'), () => notify()));
    announce(t('exported', { file }));
  } catch (problem) {
    const content = problem instanceof Problem ? problem.content() : [el('strong', {}, t('exportIncomplete'))];
    notify('bad', ...content, button(t('dismiss'), () => notify()));
    announce($('notice').textContent);
  }
}

for (const choice of $('export').querySelectorAll('[data-format]')) {
  choice.addEventListener('click', () => {
    closeMenu();
    exportFile(choice.dataset.format);
  });
}
document.addEventListener('click', (event) => { if (!$('export').contains(event.target)) $('export').open = false; });
document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && $('export').open) closeMenu(); });
