// Plots of the last hour, as SVG. Every value can be read without the picture: by the arrow keys, and as a table.
//
// A line has its own dash pattern besides its colour. It is the mean of the few values that share a pixel; the area around
// it goes from the lowest to the highest of them, so that a short peak is seen. A time without a known value is a gap,
// never a zero. All plots share one cursor, so that the same time can be compared in each of them.

import { el, svg } from './dom.js';
import { clock, clockWithSeconds, t } from './language.js';

const HEIGHT = 168;
/** A point of a line is so many pixels wide. */
const PIXELS = 2.5;
const MARGIN = { top: 10, right: 10, bottom: 24, left: 46 };
/** How many rows the table of values has. */
const TABLE_ROWS = 12;
/** What the time axis shows, in seconds, and the time between its labels: the first that has all values. */
const WINDOWS = [[300, 60], [900, 300], [3600, 900]];

/** The chosen place in the series, `null` for the newest value. */
let cursor = null;
const plots = [];

function moveCursor(index) {
  cursor = index;
  for (const plot of plots) plot.showCursor();
}

/** The next number of 1, 2, 5, 10, 20, … times a power of ten that is not less than `value`. */
function niceCeil(value, whole) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= value) * power;
  return whole ? Math.ceil(step) : step;
}

/** The upper end of an axis, and its ticks. */
function axis(highest, { least, whole }) {
  const top = Math.max(highest, least);
  const step = niceCeil(top / 3, whole);
  const count = Math.max(1, Math.ceil(top / step - 1e-9));
  return { top: step * count, ticks: Array.from({ length: count + 1 }, (_, at) => step * at) };
}

/**
 * Values that share two pixels, as one: their mean, lowest and highest. `null` if none of them is known. The places are
 * counted from a fixed time, so that the picture moves on and does not flicker.
 */
function bucketsOf(values, first, size) {
  const buckets = [];
  values.forEach((value, at) => {
    const number = Math.floor((first + at) / size);
    if (buckets.at(-1)?.number !== number) buckets.push({ number, from: at, to: at, known: [] });
    const bucket = buckets.at(-1);
    bucket.to = at;
    if (value !== null) bucket.known.push(value);
  });
  return buckets.map(({ from, to, known }) => ({
    at: (from + to) / 2, value: known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length,
    low: Math.min(...known), high: Math.max(...known),
  }));
}

/** Runs of known buckets: between two runs nothing is known. */
function runsOf(buckets) {
  const runs = [[]];
  for (const bucket of buckets) {
    if (bucket.value === null) runs.push([]);
    else runs.at(-1).push(bucket);
  }
  return runs.filter((run) => run.length > 0);
}

const points = (run, x, y, name) => run.map((bucket) => `${x(bucket.at).toFixed(1)} ${y(bucket[name]).toFixed(1)}`);

/** The path of a line, with a gap at each unknown value. A single value between two gaps is a dot. */
const linePath = (runs, x, y) => runs.map((run) => `M${points(run, x, y, 'value').join('L')}${run.length === 1 ? 'h.1' : ''}`).join('');

/** The area from the lowest to the highest values. */
const bandPath = (runs, x, y) => runs.filter((run) => run.length > 1)
  .map((run) => `M${points(run, x, y, 'high').join('L')}L${points(run, x, y, 'low').reverse().join('L')}Z`).join('');

const highestOf = (values) => values.reduce((best, value, at) => (value !== null && (best === null || value > values[best]) ? at : best), null);

export class Plot {
  /**
   * `series` has for each line its `key`, and the `line` (1, 2 or 3) whose look it has. `format` writes a value,
   * `whole` is true for counts, `least` is the smallest upper end of the axis, `mark` a value with a line of its own.
   */
  constructor({ name, series, format, tick = format, whole = false, least = 1, mark = null }) {
    Object.assign(this, { name, series, format, tick, options: { whole, least }, mark, data: null, width: 0 });
    this.drawing = svg('svg', { class: 'drawing', 'aria-hidden': 'true' });
    this.slider = el('div', { className: 'plot-area', role: 'slider', tabIndex: 0, 'aria-valuemin': 0 });
    this.slider.append(this.drawing);
    this.legend = el('ul', { className: 'legend' });
    this.time = el('span', { className: 'plot-time' });
    this.title = el('h3', { id: `plot-${name}` });
    this.summary = el('p', { className: 'visually-hidden', id: `plot-${name}-summary` });
    this.table = el('details', { className: 'values' }, el('summary', {}), el('div', { className: 'scroll' }));
    this.table.addEventListener('toggle', () => this.fillTable());
    this.slider.setAttribute('aria-labelledby', this.title.id);
    this.slider.setAttribute('aria-describedby', this.summary.id);
    this.element = el('article', { className: 'card plot' },
      el('header', {}, this.title, this.time), this.legend, this.slider, this.summary, this.table);
    this.slider.addEventListener('keydown', (event) => this.key(event));
    this.slider.addEventListener('pointermove', (event) => this.pointer(event));
    this.slider.addEventListener('pointerdown', (event) => this.pointer(event));
    this.slider.addEventListener('pointerleave', () => moveCursor(null));
    this.slider.addEventListener('blur', () => moveCursor(null));
    new ResizeObserver(() => this.resize()).observe(this.slider);
    plots.push(this);
  }

  /** Shows new values. `data` is the member `series` of the answer. */
  update(data, interval) {
    // Before the first sample there is no end. Then nothing is known at any time.
    this.data = { ...data, end: data.end ?? Math.floor(Date.now() / 1000) };
    this.interval = interval;
    this.length = Math.max(1, ...this.series.map(({ key }) => data[key]?.length ?? 0));
    this.draw();
  }

  values(key) { return this.data[key] ?? []; }

  /** The time of a place in the series, in milliseconds. */
  timeOf(index) { return (this.data.end - (this.length - 1 - index) * this.interval) * 1000; }

  /** A value of a series. Series may be shorter than others: they are aligned at their end. */
  valueAt(key, index) { return this.values(key)[index - (this.length - this.values(key).length)] ?? null; }

  resize() {
    const width = Math.round(this.slider.clientWidth);
    if (width === this.width) return;
    this.width = width;
    this.draw();
  }

  draw() {
    if (!this.data || !this.width) return;
    const { width } = this;
    const known = this.series.flatMap(({ key }) => this.values(key)).filter((value) => value !== null);
    const { top, ticks } = axis(Math.max(0, ...known), this.options);
    const [window, step] = WINDOWS.find(([seconds]) => seconds >= this.length * this.interval) ?? WINDOWS.at(-1);
    const span = Math.max(this.length, Math.round(window / this.interval)) - 1;
    const inner = width - MARGIN.left - MARGIN.right;
    this.x = (index) => MARGIN.left + ((index + span + 1 - this.length) / span) * inner;
    this.y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    this.at = (x) => Math.round(((x - MARGIN.left) / inner) * span - (span + 1 - this.length));

    const parts = [];
    for (const value of ticks) {
      const y = this.y(value);
      parts.push(svg('line', { class: value === 0 ? 'base' : 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }));
      parts.push(svg('text', { class: 'tick', x: MARGIN.left - 7, y: y + 4, 'text-anchor': 'end' }, this.tick(value)));
    }
    parts.push(...this.timeTicks(span, inner, step));
    if (this.mark && this.mark.value <= top) {
      const y = this.y(this.mark.value);
      parts.push(svg('line', { class: 'mark', x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }));
      parts.push(svg('text', { class: 'tick', x: MARGIN.left + 5, y: y - 4 }, t(this.mark.text)));
    }
    const lines = [];
    for (const { key, line } of [...this.series].reverse()) {
      const shift = this.length - this.values(key).length;
      const first = Math.round(this.data.end / this.interval) - this.values(key).length;
      const runs = runsOf(bucketsOf(this.values(key), first, Math.ceil((PIXELS * span) / inner)));
      const x = (at) => this.x(at + shift);
      parts.push(svg('path', { class: `band band-${line}`, d: bandPath(runs, x, this.y) }));
      lines.push(svg('path', { class: `line line-${line}`, d: linePath(runs, x, this.y) }));
    }
    parts.push(...lines);
    if (known.length === 0) {
      parts.push(svg('text', { class: 'nothing', x: MARGIN.left + inner / 2, y: HEIGHT - MARGIN.bottom - 12, 'text-anchor': 'middle' }, t('plots.nothing')));
    }
    this.cross = svg('g', { class: 'cross' });
    parts.push(this.cross);
    this.drawing.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.drawing.setAttribute('height', HEIGHT);
    this.drawing.replaceChildren(...parts);
    this.slider.setAttribute('aria-valuemax', this.length - 1);
    this.describe();
    this.showCursor();
    if (this.table.open) this.fillTable();
  }

  /** The labels of the time axis: full minutes. */
  timeTicks(span, inner, step) {
    const parts = [];
    const first = this.data.end - span * this.interval;
    for (let at = Math.ceil(first / step) * step; at <= this.data.end; at += step) {
      const x = MARGIN.left + ((at - first) / (span * this.interval)) * inner;
      const anchor = x > this.width - 30 ? 'end' : x < MARGIN.left + 12 ? 'start' : 'middle';
      parts.push(svg('line', { class: 'base', x1: x, x2: x, y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 4 }));
      parts.push(svg('text', { class: 'tick', x, y: HEIGHT - 6, 'text-anchor': anchor }, clock(at * 1000)));
    }
    return parts;
  }

  /** The title, and one sentence that says what the picture shows. */
  describe() {
    this.title.replaceChildren(t(`plots.${this.name}.title`), ' ', el('small', {}, t(`plots.${this.name}.unit`)));
    this.table.firstChild.textContent = t('plots.asTable');
    const sentences = this.series.map(({ key }) => {
      const label = t(`plots.series.${key}`);
      const highest = highestOf(this.values(key));
      if (highest === null) return t('plots.summaryNothing', { label });
      const shift = this.length - this.values(key).length;
      const newest = this.values(key).at(-1);
      return t('plots.summary', {
        label, newest: newest === null ? t('plots.notKnown') : this.format(newest),
        highest: this.format(this.values(key)[highest]), time: clock(this.timeOf(highest + shift)),
      });
    });
    this.summary.textContent = sentences.join(' ');
  }

  showCursor() {
    if (!this.data || !this.cross) return;
    const index = cursor === null ? this.length - 1 : Math.min(Math.max(cursor, 0), this.length - 1);
    this.time.textContent = cursor === null ? t('plots.newest') : clockWithSeconds(this.timeOf(index));
    this.legend.replaceChildren(...this.series.map(({ key, line }) => {
      const value = this.valueAt(key, index);
      const swatch = svg('svg', { class: 'swatch', viewBox: '0 0 20 8', 'aria-hidden': 'true' }, svg('path', { class: `line line-${line}`, d: 'M1 4h18' }));
      return el('li', {}, swatch, el('span', {}, t(`plots.series.${key}`)), el('b', {}, value === null ? '–' : this.format(value)));
    }));
    const spoken = this.series.map(({ key }) => {
      const value = this.valueAt(key, index);
      return `${t(`plots.series.${key}`)} ${value === null ? t('plots.notKnown') : this.format(value)}`;
    });
    this.slider.setAttribute('aria-valuenow', index);
    this.slider.setAttribute('aria-valuetext', `${clockWithSeconds(this.timeOf(index))}: ${spoken.join(', ')}`);
    if (cursor === null) {
      this.cross.replaceChildren();
      return;
    }
    const x = this.x(index);
    const dots = this.series.flatMap(({ key, line }) => {
      const value = this.valueAt(key, index);
      return value === null ? [] : [svg('circle', { class: `dot line-${line}`, cx: x, cy: this.y(value), r: 3.5 })];
    });
    this.cross.replaceChildren(svg('line', { x1: x, x2: x, y1: MARGIN.top - 4, y2: HEIGHT - MARGIN.bottom }), ...dots);
  }

  pointer(event) {
    if (!this.data || !this.at) return;
    const index = this.at(event.clientX - this.slider.getBoundingClientRect().left);
    moveCursor(Math.min(Math.max(index, 0), this.length - 1));
  }

  key(event) {
    if (!this.data) return;
    const now = cursor ?? this.length - 1;
    const minute = Math.round(60 / this.interval);
    const next = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
      PageDown: now - 5 * minute, PageUp: now + 5 * minute, Home: 0, End: this.length - 1,
    }[event.key];
    if (event.key === 'Escape') moveCursor(null);
    if (next === undefined) return;
    event.preventDefault();
    moveCursor(Math.min(Math.max(next, 0), this.length - 1));
  }

  /** The same values as a table: each minute at first, later each five minutes. */
  fillTable() {
    if (!this.table.open || !this.data) return;
    const step = Math.max(Math.round(60 / this.interval), Math.floor(this.length / TABLE_ROWS));
    const rows = [];
    for (let index = this.length - 1; index >= 0; index -= step) {
      const cells = this.series.map(({ key }) => {
        const value = this.valueAt(key, index);
        return el('td', {}, value === null ? '–' : this.format(value));
      });
      rows.push(el('tr', {}, el('th', { scope: 'row' }, clock(this.timeOf(index))), cells));
    }
    const heads = this.series.map(({ key }) => el('th', { scope: 'col' }, t(`plots.series.${key}`)));
    this.table.lastChild.replaceChildren(el('table', { className: 'plain-table' },
      el('caption', { className: 'visually-hidden' }, t(`plots.${this.name}.title`)),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, t('time')), heads)), el('tbody', {}, rows)));
  }
}
