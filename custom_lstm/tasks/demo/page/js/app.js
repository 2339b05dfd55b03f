// The page: what is drawn goes to the networks, and their answers to the screen.

import { lines, drawDigit } from './canvas.js';
import { centred, drawn, PIXELS } from './digit.js';
import { advanceAll, open } from './engine.js';
import { groupsOf, noteOf } from './groups.js';
import { Pad } from './pad.js';
import { openSeries } from './series.js';
import { Strips } from './strips.js';
import { printed, signed, Sum } from './sum.js';

const ON_TAPE = 40;
const CHUNK = 50; // digits that are read before the screen is drawn again
const COLOURS = ['--first', '--second'];

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const say = (text) => { $('live').textContent = text; };

class Page {
  constructor(session, networks, samples) {
    Object.assign(this, { session, networks, samples, action: 0, inside: 0 });
    this.sum = new Sum(networks);
    this.random = generator(new URLSearchParams(location.search).get('seed'));
    this.pad = new Pad($('pad'), $('pad-wait'));
    this.strips = new Strips($('inside'), (step) => this.#label(step));
    this.queue = Promise.resolve();
    this.#wire();
    this.#choices();
    this.#look(0);
    $('pad-hint').textContent = 'Draw a digit';
    this.show();
  }

  #label(step) {
    const entry = this.sum.entries[step];
    return entry ? signed(entry.sign * entry.reads[this.inside]) : '';
  }

  #wire() {
    const { pad } = this;
    pad.addEventListener('rest', () => this.read());
    pad.addEventListener('enter', () => this.read());
    pad.addEventListener('say', (event) => say(event.detail));
    pad.addEventListener('change', () => this.#hint());
    $('read').addEventListener('click', () => this.read());
    $('clear').addEventListener('click', () => pad.clear());
    $('sample').addEventListener('click', () => this.take([this.samples.next(this.random)]));
    for (const many of [100, 1000]) {
      $(`more-${many}`).addEventListener('click', () => this.more(many));
    }
    $('undo').addEventListener('click', () => this.undo());
    $('restart').addEventListener('click', () => this.restart());
    $('stop').addEventListener('click', () => { this.stopped = true; });
    $('auto').addEventListener('change', (event) => { pad.auto = event.target.checked; });
    document.addEventListener('keydown', (event) => this.#typed(event));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.show());
    new ResizeObserver(() => this.#chart()).observe($('chart').parentElement);
  }

  #typed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $('view-digits').hidden) return;
    if ($('correct').open || event.target.matches('input:not([type=checkbox]), textarea')) return;
    if (/^[0-9]$/.test(event.key)) this.take([this.samples.next(this.random, Number(event.key))]);
  }

  #hint() {
    $('pad-hint').hidden = !this.pad.empty;
  }

  /** Read what is on the pad. */
  read() {
    if (this.pad.empty) { say('The pad is empty'); return; }
    const began = performance.now();
    const image = centred(drawn(this.pad.strokes));
    this.pad.clear();
    if (image) this.take([{ image, label: null }], began);
  }

  /** Let the networks read digits, one after the other, after those that wait. */
  take(digits, began = performance.now()) {
    const action = ++this.action;
    this.queue = this.queue.then(() => this.#take(digits, action, began)).catch(trouble);
    return this.queue;
  }

  async #take(digits, action, began) {
    this.stopped = false;
    $('trouble').hidden = true;
    const many = digits.length > CHUNK;
    for (let done = 0; done < digits.length && !this.stopped; done += CHUNK) {
      await this.sum.add(digits.slice(done, done + CHUNK), action);
      if (many) await this.#progress(Math.min(1, (done + CHUNK) / digits.length), digits.length);
      else this.took = performance.now() - began;
      this.show();
    }
    $('progress').hidden = true;
    this.#speak(digits.length);
  }

  async #progress(share, of) {
    $('progress').hidden = false;
    $('progress').querySelector('progress').value = share;
    $('progress').querySelector('span').textContent = `${Math.round(share * of).toLocaleString('en')} of ${of.toLocaleString('en')}`;
    await new Promise(requestAnimationFrame);
  }

  more(many) {
    this.take(Array.from({ length: many }, () => this.samples.next(this.random)));
  }

  undo() {
    this.queue = this.queue.then(() => {
      const gone = this.sum.undo();
      say(gone ? `${gone === 1 ? 'One digit' : `${gone} digits`} taken back` : 'Nothing to take back');
      this.show();
    });
  }

  restart() {
    this.stopped = true;
    this.queue = this.queue.then(() => {
      this.sum.clear();
      this.pad.clear();
      say('Begun again');
      this.show();
    });
  }

  #speak(count) {
    const last = this.sum.entries.at(-1);
    if (!last) return;
    const read = count === 1 ? `${last.sign > 0 ? 'plus' : 'minus'} ${last.reads[0]}` : `${count} digits`;
    const totals = this.networks.map(({ about }, n) => `${about.title}: ${last.totals[n]}`);
    say(`Read ${read}. Totals: ${totals.join('; ')}. True: ${last.truth}.`);
  }

  show() {
    this.#tape();
    this.#answers();
    this.#chart();
    this.strips.show(this.sum.length);
    document.body.dataset.digits = String(this.sum.length);
    $('sign').textContent = this.sum.sign(this.sum.length) > 0 ? '+' : '−';
    $('undo').disabled = $('restart').disabled = this.sum.length === 0;
    const took = this.took ? ` The last answer took ${Math.round(this.took)} ms.` : '';
    $('where').textContent = (this.session.server
      ? 'Answers come from the server on this machine.'
      : 'Answers are computed in this browser, by ONNX Runtime; nothing leaves it.') + took;
  }

  #tape() {
    const { entries } = this.sum;
    const begin = Math.max(0, entries.length - ON_TAPE);
    const shown = entries.slice(begin).map((entry, k) => this.#onTape(entry, begin + k));
    if (begin) {
      shown.unshift(make('li', { className: 'earlier', textContent: `${begin.toLocaleString('en')} earlier …` }));
    }
    $('tape').replaceChildren(...shown);
    $('tape').scrollLeft = $('tape').scrollWidth;
    $('empty').hidden = entries.length > 0;
  }

  #onTape(entry, step) {
    const [verdict] = entry.verdicts;
    const canvas = make('canvas', { width: 28, height: 28 });
    drawDigit(canvas, entry.image);
    const read = signed(entry.sign * entry.reads[0]);
    const button = make(
      'button', { className: verdict, title: 'A mistake here?' }, canvas,
      make('span', { className: 'read', textContent: read }),
      make('span', { className: 'total', textContent: `= ${printed(entry.totals[0])}` }),
    );
    const wrong = { right: '', misread: ', misread', carried: ', an earlier mistake carried on' };
    button.setAttribute('aria-label',
      `Digit ${step + 1}: read ${read}, total ${entry.totals[0]}${wrong[verdict]}. A mistake here?`);
    button.addEventListener('click', () => this.#ask(step));
    return make('li', {}, button);
  }

  #answers() {
    const last = this.sum.entries.at(-1);
    $('answers').replaceChildren(...this.networks.map(({ about }, n) => {
      const card = make(
        'section', { className: 'card answer' },
        make('h2', { textContent: about.title }),
        make('p', { className: 'note', textContent: about.note }),
        make('p', { className: 'total', textContent: last ? printed(last.totals[n]) : '0' }),
        this.#verdict(last, n),
      );
      card.style.setProperty('--colour', `var(${COLOURS[n]})`);
      return card;
    }));
  }

  #verdict(last, n) {
    const place = make('p', { className: 'verdict' });
    if (!last) {
      place.textContent = 'waits for the first digit';
      return place;
    }
    const count = this.sum.length;
    const off = Math.abs(last.totals[n] - last.truth);
    const share = `${printed(last.read[n])} of ${printed(count)} read right`;
    const said = off ? `✗ off by ${printed(off)}` : '✓ right';
    place.replaceChildren(make('b', { textContent: said }), ' ', make('small', { textContent: share }));
    place.classList.toggle('bad', off > 0);
    return place;
  }

  #chart() {
    const { entries } = this.sum;
    const own = this.networks.map((_, n) => ({
      values: entries.map(({ totals }) => totals[n]), colour: COLOURS[n],
    }));
    const truth = { values: entries.map((entry) => entry.truth), colour: '--truth', wide: 9 };
    lines($('chart'), [truth, ...own.reverse()]);
    const names = [['True total', '--truth'], ...this.networks.map(({ about }, n) => [about.title, COLOURS[n]])];
    $('chart-key').replaceChildren(...names.map(([textContent, colour]) => {
      const key = make('span', { textContent });
      key.style.setProperty('--colour', `var(${colour})`);
      return key;
    }));
    const last = entries.at(-1);
    $('chart').setAttribute('aria-label', last
      ? `Running totals of ${entries.length} digits; at the end ${last.totals.join(' and ')}, true ${last.truth}`
      : 'Running totals: none yet');
  }

  /** Look inside one of the networks. */
  #look(number) {
    this.inside = number;
    $('inside-which').replaceChildren(...this.networks.map(({ about }, n) => {
      const button = make('button', { textContent: about.title });
      button.setAttribute('aria-pressed', String(n === number));
      button.addEventListener('click', () => { this.#look(n); $('inside-which').children[n].focus(); });
      return button;
    }));
    const network = this.networks[number];
    $('inside-note').textContent = noteOf(network.about);
    const at = (step, name) => network.shown(this.sum.entries[step].rows[number], name);
    this.strips.choose(groupsOf(network.about, at));
    this.strips.show(this.sum.length);
  }

  #choices() {
    $('correct-choices').replaceChildren(...Array.from({ length: 10 }, (_, digit) => {
      const button = make('button', { value: String(digit), textContent: String(digit) });
      return button;
    }));
    $('correct').addEventListener('close', () => {
      const { returnValue } = $('correct');
      if (returnValue !== '') {
        this.sum.correct(this.asked, Number(returnValue));
        say(`Digit ${this.asked + 1} is ${returnValue}`);
        this.show();
      }
    });
  }

  #ask(step) {
    const entry = this.sum.entries[step];
    this.asked = step;
    drawDigit($('correct-digit'), entry.image);
    const [read] = entry.reads;
    const label = entry.label === null ? '' : ` Its label in MNIST is ${entry.label}.`;
    $('correct-about').textContent = `The ${this.networks[0].about.title} read ${read}.${label}`;
    [...$('correct-choices').children].forEach((button, digit) => {
      button.setAttribute('aria-pressed', String(digit === entry.digit));
    });
    $('correct').returnValue = '';
    $('correct').showModal();
  }
}

/** Digits that somebody wrote, in shuffled order, each before any comes again. */
class Samples {
  constructor(content) {
    const count = content.length / (PIXELS + 1);
    this.digits = Array.from({ length: count }, (_, k) => ({
      label: content[k],
      image: content.subarray(count + k * PIXELS, count + (k + 1) * PIXELS),
    }));
    this.left = [];
  }

  next(random, digit = null) {
    if (digit !== null) {
      const some = this.digits.filter(({ label }) => label === digit);
      return some[Math.floor(random() * some.length)];
    }
    if (!this.left.length) {
      this.left = [...this.digits];
      for (let k = this.left.length - 1; k > 0; k--) {
        const other = Math.floor(random() * (k + 1));
        [this.left[k], this.left[other]] = [this.left[other], this.left[k]];
      }
    }
    return this.left.pop();
  }
}

/** Return a generator of random numbers, the same for equal seeds (mulberry32). */
function generator(seed) {
  if (seed === null) return Math.random;
  let state = Number(seed) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function trouble(error) {
  $('trouble').hidden = false;
  $('trouble').textContent = `Something went wrong: ${error.message}`;
  console.error(error);
}

function openViews() {
  const tabs = [...document.querySelectorAll('[role=tab]')];
  const choose = (tab) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute('aria-selected', String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      $(other.getAttribute('aria-controls')).hidden = !chosen;
    }
  };
  tabs.forEach((tab, k) => {
    tab.addEventListener('click', () => choose(tab));
    tab.addEventListener('keydown', (event) => {
      if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
      const next = tabs[(k + 1) % tabs.length];
      choose(next);
      next.focus();
    });
  });
  return choose;
}

/** Let the browser compile, between other things, what the first digit will need. */
function warm(times) {
  const idle = window.requestIdleCallback ?? setTimeout;
  centred(drawn([[{ x: 0.3, y: 0.2 }, { x: 0.7, y: 0.2 }, { x: 0.45, y: 0.85 }]]));
  if (times > 1) idle(() => warm(times - 1));
}

async function begin() {
  const choose = openViews();
  const [{ session, networks }, samples] = await Promise.all([
    open(), fetch('samples.bin').then((response) => response.arrayBuffer()),
  ]);
  openSeries(session);
  if (!networks.length) {
    $('tab-digits').hidden = true;
    choose($('tab-series'));
  } else {
    const digits = new Samples(new Uint8Array(samples));
    await advanceAll(networks, networks.map((own) => own.initial), [digits.digits[0].image]);
    warm(12);
    window.page = new Page(session, networks, digits);
  }
  document.body.dataset.ready = 'true';
}

begin().catch(trouble);
