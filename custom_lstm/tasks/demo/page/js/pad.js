// The drawing pad: strokes by mouse, finger and pen, or by keys.

import { PEN } from './digit.js';

const REST = 900; // milliseconds
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad extends EventTarget {
  /** Dispatches `rest` when the pen has rested, `enter`, and `say` with a text. */
  constructor(canvas, wait) {
    super();
    Object.assign(this, { canvas, wait, strokes: [], auto: true });
    this.pen = { x: 0.5, y: 0.25, down: false, shown: false };
    wait.style.setProperty('--rest', `${REST}ms`);
    canvas.addEventListener('pointerdown', (event) => this.#begin(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(name, (event) => this.#end(event));
    }
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('blur', () => { this.pen.shown = false; this.draw(); });
    this.draw();
  }

  get empty() { return this.strokes.length === 0; }

  clear() {
    this.strokes = [];
    this.pen.down = false;
    this.#rest(false);
    this.draw();
    this.dispatchEvent(new Event('change'));
  }

  /** Replace the strokes, as if they were drawn. */
  set(strokes) {
    this.strokes = strokes;
    this.draw();
    this.dispatchEvent(new Event('change'));
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #begin(event) {
    if (event.button !== 0 || this.pointer !== undefined) return;
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.pen.shown = false;
    this.#rest(false);
    this.strokes.push([this.#at(event)]);
    this.draw();
    this.dispatchEvent(new Event('change'));
  }

  #move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.strokes.at(-1)?.push(...(events.length ? events : [event]).map((e) => this.#at(e)));
    this.draw();
  }

  #end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = undefined;
    this.#rest(this.auto && !this.empty);
  }

  #rest(waits) {
    clearTimeout(this.timer);
    this.wait.classList.remove('on');
    if (!waits) return;
    void this.wait.offsetWidth; // begins the animation from its start
    this.wait.classList.add('on');
    this.timer = setTimeout(() => {
      this.wait.classList.remove('on');
      this.dispatchEvent(new Event('rest'));
    }, REST);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (move) this.#moved(move, event.shiftKey ? 0.01 : 0.04);
    else if (event.key === ' ') this.#lift();
    else if (event.key === 'Enter') this.dispatchEvent(new Event('enter'));
    else if (event.key === 'Escape') this.clear();
    else return;
    event.preventDefault();
  }

  #moved([right, down], far) {
    const { pen } = this;
    const inside = (value) => Math.min(0.96, Math.max(0.04, value));
    Object.assign(pen, { x: inside(pen.x + right * far), y: inside(pen.y + down * far), shown: true });
    if (pen.down) this.strokes.at(-1).push({ x: pen.x, y: pen.y });
    this.draw();
  }

  #lift() {
    const { pen } = this;
    Object.assign(pen, { down: !pen.down, shown: true });
    if (pen.down) this.strokes.push([{ x: pen.x, y: pen.y }]);
    this.draw();
    this.dispatchEvent(new Event('change'));
    this.dispatchEvent(new CustomEvent('say', { detail: pen.down ? 'Pen down' : 'Pen up' }));
  }

  draw() {
    const { canvas, pen } = this;
    const context = canvas.getContext('2d');
    const side = canvas.width;
    const style = getComputedStyle(canvas);
    context.clearRect(0, 0, side, side);
    context.lineCap = context.lineJoin = 'round';
    context.lineWidth = PEN * side;
    context.strokeStyle = style.getPropertyValue('--pad-ink');
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(stroke[0].x * side, stroke[0].y * side);
      for (const { x, y } of stroke) context.lineTo(x * side, y * side);
      context.stroke();
    }
    if (!pen.shown) return;
    context.lineWidth = 3;
    context.strokeStyle = style.getPropertyValue('--high');
    context.beginPath();
    context.arc(pen.x * side, pen.y * side, (PEN * side) / 2 + 4, 0, 2 * Math.PI);
    context.stroke();
    if (pen.down) {
      context.fillStyle = context.strokeStyle;
      context.beginPath();
      context.arc(pen.x * side, pen.y * side, 6, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
