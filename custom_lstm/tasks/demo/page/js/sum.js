// The digits so far, what the networks made of them, and what is true.

import { advanceAll } from './engine.js';

export class Sum {
  /** @param networks those of engine.js; the first one's reading counts where no label is known. */
  constructor(networks) {
    this.networks = networks;
    this.entries = [];
  }

  get length() { return this.entries.length; }

  /** The sign of a step's digit. */
  sign(step) {
    return (step % 2 ? -1 : 1) * (this.networks[0]?.about.start ?? 1);
  }

  /**
   * Let all networks read digits; they count as one action.
   * @param {{image: Uint8Array, label: number | null}[]} digits
   */
  async add(digits, action) {
    const images = digits.map(({ image }) => image);
    const last = this.entries.at(-1);
    const states = this.networks.map((network, n) => network.states(last?.rows[n]));
    const rows = await advanceAll(this.networks, states, images);
    digits.forEach((digit, k) => {
      this.entries.push({
        ...digit, action, corrected: null, rows: rows.map((own) => own[k]),
      });
    });
    this.judge(this.length - digits.length);
  }

  /** Take back the last action; return how many digits went. */
  undo() {
    const action = this.entries.at(-1)?.action;
    const before = this.length;
    this.entries = this.entries.filter((entry) => entry.action !== action);
    return before - this.length;
  }

  clear() { this.entries = []; }

  /** Say which digit a step's really is. */
  correct(step, digit) {
    this.entries[step].corrected = digit;
    this.judge(step);
  }

  /** Work out readings, true totals and verdicts from a step on. */
  judge(from = 0) {
    for (let step = from; step < this.length; step++) {
      const entry = this.entries[step];
      const before = this.entries[step - 1];
      const sign = this.sign(step);
      entry.sign = sign;
      entry.totals = entry.rows.map((row) => whole(row[0]));
      entry.reads = entry.totals.map((total, n) => whole(sign * (total - (before?.totals[n] ?? 0))));
      entry.digit = entry.corrected ?? entry.label ?? entry.reads[0];
      entry.truth = (before?.truth ?? 0) + sign * entry.digit;
      entry.verdicts = entry.totals.map((total, n) => {
        if (entry.reads[n] !== entry.digit) return 'misread';
        return total === entry.truth ? 'right' : 'carried';
      });
      entry.read = entry.verdicts.map(
        (verdict, n) => (before?.read[n] ?? 0) + (verdict === 'misread' ? 0 : 1),
      );
    }
  }
}

const whole = (value) => Math.round(value) || 0; // never -0

/** Return a number with a sign as one prints it. */
export const signed = (value) => (value < 0 ? '−' : '+') + Math.abs(value);

/** Return a total as one prints it. */
export const printed = (value) => (value < 0 ? '−' : '') + Math.abs(value).toLocaleString('en');
