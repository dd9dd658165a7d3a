// The web page: a client of the public API. This file connects the modules and starts the page.
//
// The service first accepts a change (202) and applies it later. The page shows both states and never shows an accepted
// change as applied. The list shows only what the service returned. Texts from the API become text, never HTML.

import { onChange } from './changes.js';
import { $, announce } from './dom.js';
import './files.js';
import { forgetKey } from './key.js';
import { switchLanguage, t, translatePage } from './language.js';
import { clearList, loadList, loadPage, redrawList, refreshContact, showDraft, showFilters } from './list.js';
import { redrawChanges, showChange } from './recent-changes.js';

onChange({
  accepted(change) {
    showDraft(change);
    showChange(change);
  },
  updated: showChange,
  async finished(change) {
    await refreshContact(change);
    showChange(change);
  },
});

for (const dialog of document.querySelectorAll('dialog')) {
  for (const close of dialog.querySelectorAll('[data-close]')) close.addEventListener('click', () => dialog.close());
  // A change that is being sent cannot be cancelled.
  dialog.addEventListener('cancel', (event) => { if (dialog.classList.contains('busy')) event.preventDefault(); });
}

$('key-change').addEventListener('click', () => {
  forgetKey();
  clearList();
  loadList();
});

function showLanguage() {
  translatePage();
  showFilters();
}

$('language').addEventListener('click', () => {
  switchLanguage();
  showLanguage();
  redrawChanges();
  redrawList();
  announce(t('title'));
});

document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, select, textarea, dialog');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $('q').focus();
    $('q').select();
  }
});

showLanguage();
loadPage();
