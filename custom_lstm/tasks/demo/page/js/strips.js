// Strips that grow by a column for each step: a row for each unit of a gate or state.

import { colours, fitted } from './canvas.js';

const WIDEST = 34;
const NARROWEST = 3;
const AXIS = 20;
const HINT = 'Each step adds a column. Point at one, or go there by the arrow keys, to read its numbers.';

export class Strips {
  /**
   * @param {HTMLElement} place what they stand in.
   * @param {(step: number) => string} label of a column; short where it is drawn.
   */
  constructor(place, label) {
    Object.assign(this, { place, label, groups: [], steps: 0, begin: 0, cursor: null });
    this.axis = Object.assign(document.createElement('canvas'), { className: 'axis' });
    this.axis.setAttribute('aria-hidden', 'true');
    this.body = document.createElement('div');
    this.pan = Object.assign(document.createElement('input'), {
      type: 'range', min: 0, value: 0, className: 'pan', hidden: true,
    });
    this.pan.setAttribute('aria-label', 'Which steps are shown');
    this.text = Object.assign(document.createElement('p'), { className: 'cursor', textContent: HINT });
    this.text.setAttribute('aria-live', 'polite');
    place.replaceChildren(this.axis, this.body, this.pan, this.text);
    this.pan.addEventListener('input', () => {
      this.follows = Number(this.pan.value) === Number(this.pan.max);
      this.begin = Number(this.pan.value);
      this.draw();
    });
    this.follows = true;
    new ResizeObserver(() => this.draw()).observe(place);
  }

  /**
   * Choose what is shown.
   * @param groups of `{title, note, unit, signed, root, units, at}`: `units` are the numbers
   *   of the rows, `at(step)` gives the values of all units after a step; `root` says
   *   that colours go by the square root.
   */
  choose(groups) {
    this.groups = groups.map((group) => ({ ...group, most: 0, measured: 0 }));
    this.body.replaceChildren(...this.groups.map((group) => this.#made(group)));
    this.cursor = null;
    this.draw();
  }

  /** Show so many steps. */
  show(steps) {
    if (steps < this.steps) this.groups.forEach((group) => Object.assign(group, { most: 0, measured: 0 }));
    this.steps = steps;
    this.cursor = null;
    this.text.textContent = HINT;
    this.draw();
  }

  #made(group) {
    const box = Object.assign(document.createElement('div'), { className: 'strip' });
    const head = document.createElement('h3');
    const note = document.createElement('small');
    group.legend = document.createElement('small');
    note.textContent = group.note;
    head.append(group.title, note, group.legend);
    const canvas = document.createElement('canvas');
    canvas.tabIndex = 0;
    canvas.setAttribute('role', 'img');
    canvas.addEventListener('pointermove', (event) => this.#hover(group, event));
    canvas.addEventListener('pointerleave', () => this.#point(null));
    canvas.addEventListener('keydown', (event) => this.#key(group, event));
    group.canvas = canvas;
    box.append(head, canvas);
    return box;
  }

  #hover(group, event) {
    const box = group.canvas.getBoundingClientRect();
    const step = this.begin + Math.floor((event.clientX - box.left) / this.column);
    const row = Math.floor(((event.clientY - box.top) / box.height) * group.units.length);
    this.#point(step < this.steps && group.units[row] !== undefined ? { group, step, row } : null);
  }

  #key(group, event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move || !this.steps) return;
    event.preventDefault();
    const now = this.cursor?.group === group ? this.cursor : { step: this.steps - 1 - move[0], row: -move[1] };
    const within = (value, least, most) => Math.min(most, Math.max(least, value));
    const step = within(now.step + move[0], 0, this.steps - 1);
    const row = within(now.row + move[1], 0, group.units.length - 1);
    if (step < this.begin) this.begin = step;
    if (step >= this.begin + this.visible) this.begin = step - this.visible + 1;
    this.follows = this.begin >= this.steps - this.visible;
    this.#point({ group, step, row });
  }

  #point(cursor) {
    if (!cursor && !this.cursor) return;
    this.cursor = cursor;
    this.draw();
    if (!cursor) { this.text.textContent = HINT; return; }
    const { group, step, row } = cursor;
    const unit = group.units[row];
    const value = group.at(step)[unit];
    const said = Number.isFinite(value) ? value.toFixed(3).replace('-', '−') : 'none';
    const label = this.label(step);
    const where = `step ${step + 1}${label && ` (${label})`}`;
    this.text.textContent = `${where} · ${group.title}, ${group.unit} ${unit + 1} · ${said}`;
  }

  draw() {
    const width = this.place.clientWidth;
    if (!width || !this.groups.length) return;
    const steps = Math.max(1, this.steps);
    this.column = Math.min(WIDEST, Math.max(NARROWEST, Math.floor(width / steps)));
    this.visible = Math.floor(width / this.column);
    const last = Math.max(0, this.steps - this.visible);
    this.begin = this.follows ? last : Math.min(this.begin, last);
    Object.assign(this.pan, { max: last, hidden: last === 0 });
    this.pan.value = this.begin;
    const tones = colours(this.place);
    this.#axis(width, tones);
    this.groups.forEach((group) => this.#group(group, width, tones));
  }

  #axis(width, tones) {
    this.axis.style.height = `${AXIS}px`;
    const context = fitted(this.axis, width, AXIS);
    const end = Math.min(this.steps, this.begin + this.visible);
    const roomy = this.column >= 22;
    context.fillStyle = tones.css('--soft');
    context.font = `${roomy ? 13 : 11}px ${tones.font}`;
    context.textAlign = 'center';
    const every = roomy ? 1 : 10 ** Math.ceil(Math.log10(40 / this.column));
    for (let step = this.begin; step < end; step++) {
      if (!roomy && (step + 1) % every) continue;
      const text = roomy ? this.label(step) : String(step + 1);
      context.fillText(text, (step - this.begin + 0.5) * this.column, AXIS - 6);
    }
  }

  #group(group, width, tones) {
    const rows = group.units.length;
    const row = rows > 40 ? 3 : rows > 20 ? 4 : rows > 4 ? 7 : 14;
    const end = Math.min(this.steps, this.begin + this.visible);
    for (; group.measured < this.steps; group.measured++) {
      const values = group.at(group.measured);
      for (const unit of group.units) {
        const size = Math.abs(values[unit]);
        if (size > group.most) group.most = size;
      }
    }
    const most = group.signed ? Math.max(group.least ?? 1, group.most) : 1;
    group.canvas.style.height = `${rows * row}px`;
    const context = fitted(group.canvas, width, rows * row);
    const shown = end - this.begin;
    if (shown > 0) {
      const image = this.#image(group, shown, most, tones);
      context.imageSmoothingEnabled = false;
      context.drawImage(image, 0, 0, shown * this.column, rows * row);
    }
    if (this.column >= 10) {
      context.fillStyle = tones.css('--card');
      for (let k = 1; k <= shown; k++) context.fillRect(k * this.column - 1, 0, 1, rows * row);
    }
    this.#mark(context, group, row, tones);
    this.#tell(group, most);
  }

  #image(group, shown, most, tones) {
    const rows = group.units.length;
    const image = Object.assign(document.createElement('canvas'), { width: shown, height: rows });
    const context = image.getContext('2d');
    const pixels = context.createImageData(shown, rows);
    const [zero, high, low] = group.signed
      ? [tones.rgb('--zero'), tones.rgb('--high'), tones.rgb('--low')]
      : [tones.rgb('--zero'), tones.rgb('--accent'), tones.rgb('--zero')];
    for (let k = 0; k < shown; k++) {
      const values = group.at(this.begin + k);
      for (let r = 0; r < rows; r++) {
        const value = values[group.units[r]] / most;
        const size = Math.min(1, Math.abs(value) || 0);
        const share = group.root ? Math.sqrt(size) : size;
        const end = value < 0 ? low : high;
        const at = 4 * (r * shown + k);
        for (let c = 0; c < 3; c++) pixels.data[at + c] = zero[c] + share * (end[c] - zero[c]);
        pixels.data[at + 3] = 255;
      }
    }
    context.putImageData(pixels, 0, 0);
    return image;
  }

  #mark(context, group, row, tones) {
    if (!this.cursor) return;
    const x = (this.cursor.step - this.begin) * this.column;
    context.strokeStyle = tones.css('--ink');
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, 0.5, this.column - 1, group.units.length * row - 1);
    if (this.cursor.group !== group) return;
    context.lineWidth = 2;
    context.strokeRect(x, this.cursor.row * row - 1, this.column, row + 2);
  }

  #tell(group, most) {
    const round = most >= 10 ? Math.round(most) : Number(most.toPrecision(2));
    const key = `${group.signed} ${round}`;
    if (group.key !== key) {
      group.key = key;
      const scale = document.createElement('span');
      scale.className = `scale ${group.signed ? 'signed' : 'gate'}`;
      const root = group.root ? ' (by the square root)' : '';
      group.legend.replaceChildren(group.signed ? `−${round}` : '0', scale, `${round}${root}`);
    }
    const rows = `${group.units.length} rows`;
    group.canvas.setAttribute('aria-label', `${group.title}, ${rows} by ${this.steps} steps. `
      + 'The arrow keys read single values.');
  }
}
