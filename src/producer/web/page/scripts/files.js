// Files: the import dialog decodes a file, splits it into parts, checks them and sends them. The export menu saves the
// contacts of the search as a file.

import { errorText, newIdempotencyKey, pageVisible, Problem, read, request, sleep } from './api.js';
import { $, announce, button, el, fill, notify } from './dom.js';
import { keyButton } from './key.js';
import { nationalPhone, sentence, t } from './language.js';
import { currentSearch, loadList } from './list.js';

const MEDIA_TYPES = {
  csv: 'text/csv',
  vcf: 'text/vcard',
  vcard: 'text/vcard',
  ndjson: 'application/x-ndjson',
  jsonl: 'application/x-ndjson',
};
const FORMATS = { 'text/csv': 'csv', 'text/vcard': 'vcard', 'application/x-ndjson': 'ndjson' };
/** The size of a part in bytes. A part may be larger by one record. */
const PART_SIZE = 64 * 1024;
/** How many contacts of the check are shown. */
const MAX_FIRST_SHOWN = 5;
/** How many invalid records are shown. */
const MAX_INVALID_SHOWN = 100;

/** The import of the chosen file, or null. */
let current = null;

/** `checked` and `sent` have the result of each part: of the dry run, and of the import. `stop` aborts the request. */
function newImport(file) {
  const type = MEDIA_TYPES[file.name.split('.').pop().toLowerCase()];
  return { file, type, key: newIdempotencyKey(), bytes: null, parts: null, checked: [], sent: [], stop: null };
}

// -------------------------------------------------------------------------------------------------------- sending

/** The text of a file: UTF-8 or UTF-16, otherwise Windows-1252. The service guesses in the same way. */
function decode(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  if (first && second === 0) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0 && second) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** Reads the file as UTF-8, and finds its format by the content if its name does not show it. */
async function readFile(job) {
  const text = decode(new Uint8Array(await job.file.arrayBuffer()));
  // Old programs end a line with CR alone.
  const lines = text.includes('\n') ? text : text.replaceAll('\r', '\n');
  job.bytes = new TextEncoder().encode(lines);
  const start = lines.trimStart();
  if (/^BEGIN:VCARD\s/i.test(start)) job.type ??= 'text/vcard';
  job.type ??= start.startsWith('{') ? 'application/x-ndjson' : 'text/csv';
}

/**
 * Splits a file between its records. Each part has its position in bytes, its first line, and the length of the CSV
 * header that is sent before it. A browser reads the answer only after it has sent the whole request, so one large
 * request would block: both sides would wait for the other to read. After a fault only the failed part is sent again.
 */
function splitFile(bytes, format) {
  const NEWLINE = 0x0a;
  const QUOTE = 0x22;
  const FIELD_STARTS_AFTER = [0x2c, 0x3b, 0x09, 0x7c, NEWLINE, QUOTE];
  const parts = [];
  let [header, headerLines] = [format === 'csv' ? null : 0, 0];
  let [start, startLine, line, lineStart] = [0, 1, 1, 0];
  let [quoted, fieldStart] = [false, true];
  for (let position = 0; position < bytes.length; position += 1) {
    const byte = bytes[position];
    if (format === 'csv' && byte === QUOTE && (quoted || fieldStart)) quoted = !quoted;
    // `""` in a quoted field is one quote: it ends the field and starts it again.
    fieldStart = !quoted && FIELD_STARTS_AFTER.includes(byte);
    if (byte !== NEWLINE) continue;
    line += 1;
    const text = () => new TextDecoder().decode(bytes.subarray(lineStart, position)).trim();
    const endsCard = () => position - lineStart < 20 && /^END:VCARD$/i.test(text());
    const endsRecord = format === 'csv' ? !quoted : format === 'ndjson' || endsCard();
    const next = position + 1;
    // The line `sep=;` belongs to the header.
    if (endsRecord && header === null && text() && !/^sep=.?$/i.test(text())) {
      [header, headerLines, start, startLine] = [next, line - 1, next, line];
    } else if (endsRecord && header !== null && next - start >= PART_SIZE) {
      parts.push({ start, end: next, line: startLine });
      [start, startLine] = [next, line];
    }
    lineStart = next;
  }
  if (start < bytes.length || !parts.length) parts.push({ start, end: bytes.length, line: startLine });
  // The service counts lines from the start of each request. `shift` is the difference to the line in the file.
  return parts.map((part) => ({ ...part, header: header ?? 0, shift: part.line - 1 - headerLines }));
}

/** Reads the lines of an NDJSON response as they arrive. */
async function* responseLines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? '')).split('\n');
    rest = done ? '' : lines.pop();
    for (const line of lines) if (line.trim()) yield JSON.parse(line);
    if (done) return;
  }
}

/** Sends the parts that are not complete yet, one after the other. Writes the result of each part to `results`. */
async function sendParts(job, results, dryRun) {
  if (!job.bytes) await readFile(job);
  job.parts ??= splitFile(job.bytes, FORMATS[job.type]);
  job.stop = new AbortController();
  for (const [index, part] of job.parts.entries()) {
    if (results[index]?.complete) continue;
    const result = { records: 0, valid: 0, accepted: 0, invalid: 0, not_accepted: 0, wrong: [], ignored: {}, first: [], complete: false };
    results[index] = result;
    await sendPart(job, { index, part, result, results, dryRun });
    showProgress(job, results, dryRun);
    if (!result.complete) {
      const detail = t('importRest', { refused: result.not_accepted });
      throw new Problem({ status: 503, title: sentence(result.problem), detail });
    }
  }
}

async function sendPart(job, { index, part, result, results, dryRun }) {
  const search = new URLSearchParams({ dry_run: String(dryRun) });
  if (FORMATS[job.type] === 'csv') {
    for (const input of $('import-columns').querySelectorAll('input')) {
      if (input.value.trim()) search.set(input.name, input.value.trim());
    }
  }
  const body = new Blob([job.bytes.subarray(0, part.header), job.bytes.subarray(part.start, part.end)]);
  const headers = dryRun ? {} : { 'Idempotency-Key': `${job.key}-${index}` };
  const options = { type: `${job.type}; charset=utf-8`, headers, signal: job.stop.signal, seconds: 0, body };
  const response = await request('POST', `contacts/import?${search}`, options);
  for await (const { line, status, errors, ignored, contact, operation_id: operation, summary, detail } of responseLines(response)) {
    if (summary) {
      result.complete = summary.complete && result.not_accepted === 0;
      if (!summary.complete) throw new Problem({ status: 200, title: sentence(summary.detail) || t('importStopped') });
    } else {
      result.records += 1;
      result[status] += 1;
      if (operation) job.operation = operation;
      if (status === 'not_accepted') result.problem = detail;
      if (contact) result.first.push(contact);
      for (const { field } of ignored ?? []) result.ignored[field] = (result.ignored[field] ?? 0) + 1;
      if (status === 'invalid') result.wrong.push({ line: line + part.shift, errors });
      if (result.records % 50 === 0) showProgress(job, results, dryRun);
    }
  }
}

/** Checks the chosen file with a dry run, which changes nothing. */
async function checkFile() {
  const file = $('import-file').files[0];
  current?.stop?.abort();
  fill($('import-problem'));
  fill($('import-lines'));
  $('import-report').hidden = true;
  $('import-send').disabled = true;
  $('import-send').textContent = t('import');
  if (!file) return;
  const job = (current = newImport(file));
  setBusy(true);
  try {
    await readFile(job);
    $('import-columns').hidden = FORMATS[job.type] !== 'csv';
    await sendParts(job, job.checked, true);
    const [valid, records] = [sum(job.checked, 'valid'), sum(job.checked, 'records')];
    const checked = `${t('importChecked', { valid, records })} ${valid < records ? t('importSkips') : ''}`;
    $('import-state').textContent = records ? `${checked} ${notKept(job.checked)}` : t('importNothing');
    $('import-send').textContent = t('importSend', { count: valid });
    $('import-send').disabled = valid === 0;
    showFirst(job.checked);
    announce($('import-state').textContent);
  } catch (problem) {
    if (job !== current) return;
    showProblem(problem);
  } finally {
    if (job === current) setBusy(false);
  }
}

/** Loads the list again when the last change of the import is finished. Most of the other changes are then applied. */
async function loadListWhenFinished(operation) {
  for (let wait = 1; wait < 60; wait *= 1.5) {
    await sleep(wait);
    await pageVisible();
    const known = await read(`operations/${operation}`, { quiet: true }).catch(() => null);
    if (known && known.status !== 'pending') break;
  }
  loadList({ quiet: true });
}

// -------------------------------------------------------------------------------------------------------- showing

const sum = (results, count) => results.reduce((total, result) => total + (result?.[count] ?? 0), 0);

/** Shows the first contacts as they would be created, above the invalid records. */
function showFirst(results) {
  const contacts = results.flatMap((result) => result?.first ?? []).slice(0, MAX_FIRST_SHOWN);
  const items = contacts.map(({ name, phone, email }) => {
    return el('li', {}, el('strong', {}, name), ' ', [nationalPhone(phone), email].filter(Boolean).join(' · '));
  });
  $('import-lines').prepend(...items);
}

/** What the contacts do not keep, by field. */
function notKept(results) {
  const counts = {};
  for (const result of results) {
    for (const [field, count] of Object.entries(result?.ignored ?? {})) counts[field] = (counts[field] ?? 0) + count;
  }
  const fields = Object.entries(counts).map(([field, count]) => `${field} (${count})`);
  return fields.length ? t('importNotKept', { fields: fields.join(', ') }) : '';
}

function showProgress(job, results, dryRun) {
  const records = sum(results, 'records');
  const complete = job.parts.filter((part, index) => results[index]?.complete);
  $('import-report').hidden = false;
  $('import-progress').max = job.bytes.length;
  $('import-progress').value = complete.reduce((total, part) => total + part.end - part.start, 0);
  $('import-state').textContent = dryRun
    ? t('importChecking', { records })
    : t('importRunning', { accepted: sum(results, 'accepted'), valid: sum(job.checked, 'valid') });
  if (dryRun) showInvalid(results.flatMap((result) => result?.wrong ?? []));
}

function showInvalid(wrong) {
  const shown = wrong.slice(0, MAX_INVALID_SHOWN).map(({ line, errors }) => {
    const details = errors.map((error) => `${error.field}: ${errorText(error)}`).join('; ');
    return el('li', {}, el('strong', {}, t('line', { line })), ' ', details);
  });
  const more = wrong.length - MAX_INVALID_SHOWN;
  if (more > 0) shown.push(el('li', {}, t('linesMore', { count: more })));
  fill($('import-lines'), ...shown);
}

function setBusy(busy) {
  $('import-file').disabled = busy;
  $('import-check').disabled = busy;
  $('import-close').textContent = t(busy ? 'stop' : 'close');
}

function showProblem(error) {
  const problem = error instanceof Problem ? error : new Problem({ title: t('importStopped') });
  const fieldErrors = problem.fieldErrors().map((text) => el('span', {}, text));
  fill($('import-problem'), ...problem.content(), ...fieldErrors, keyButton(problem, { className: '' }));
}

$('import-open').addEventListener('click', () => {
  $('import-form').reset();
  current = null;
  checkFile();
  $('import').showModal();
});
$('import-file').addEventListener('change', checkFile);
$('import-check').addEventListener('click', checkFile);
$('import').addEventListener('close', () => current?.stop?.abort());
$('import-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const job = current;
  if (!job || $('import-send').disabled) return;
  fill($('import-problem'));
  $('import-send').disabled = true;
  setBusy(true);
  try {
    await sendParts(job, job.sent, false);
    $('import-state').textContent = t('importDone', { accepted: sum(job.sent, 'accepted') });
    $('import-send').textContent = t('import');
    announce($('import-state').textContent);
    if (job.operation) loadListWhenFinished(job.operation);
  } catch (problem) {
    showProblem(problem);
    $('import-send').textContent = t('tryAgain');
    $('import-send').disabled = false;
  } finally {
    setBusy(false);
  }
});

// --------------------------------------------------------------------------------------------------------- export

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
