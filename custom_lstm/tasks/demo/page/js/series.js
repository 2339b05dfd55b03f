// The second view: a model and a series of one's own; the server runs it.

import { lines } from './canvas.js';
import { answered } from './engine.js';
import { groupsOf } from './groups.js';
import { Strips } from './strips.js';

const $ = (id) => document.getElementById(id);
const COLOURS = ['--first', '--second', '--low', '--high'];

/** Make the view work, or say that it needs a server. */
export function openSeries(session) {
  $('series-needs').hidden = session.server;
  $('series-form').hidden = !session.server;
  if (!session.server) return;
  let model = session.series;
  const strips = new Strips($('series-inside'), () => '');
  const about = () => {
    $('model-about').textContent = model
      ? `${model.name}: ${model.width} ${model.width === 1 ? 'column' : 'columns'}, `
        + `${model.steps ?? 'any number of'} rows; layer ${model.layer}`
      : 'None yet. Cells must be those of custom_lstm or Keras.';
  };
  about();
  const tried = (work) => async (event) => {
    event.preventDefault();
    $('series-error').textContent = '';
    try { await work(event); } catch (error) { $('series-error').textContent = error.message; }
  };
  $('model-file').addEventListener('change', tried(async () => {
    const [file] = $('model-file').files;
    if (!file) return;
    const url = `model?name=${encodeURIComponent(file.name)}`;
    model = await (await answered(fetch(url, { method: 'POST', body: file }))).json();
    about();
  }));
  $('wave').addEventListener('click', () => { $('csv').value = wave(model); });
  $('series-form').addEventListener('submit', tried(async () => {
    const response = await answered(fetch('series', { method: 'POST', body: $('csv').value }));
    show(await response.json(), strips);
  }));
}

function wave(model) {
  const columns = Array.from({ length: model?.width ?? 1 }, (_, c) => c);
  return Array.from({ length: model?.steps ?? 60 }, (_, k) =>
    columns.map((c) => Math.sin((2 * Math.PI * k) / (20 + 7 * c)).toFixed(3)).join(',')).join('\n');
}

function show({ output, shown }, strips) {
  $('series-shown').hidden = false;
  const columns = output[0].map((_, c) => output.map((row) => row[c])).slice(0, COLOURS.length);
  const drawing = columns.map((values, c) => ({ values, colour: COLOURS[c] }));
  lines($('series-output'), drawing, 0);
  const more = output[0].length > columns.length ? `, the first ${columns.length} of ${output[0].length} columns` : '';
  $('series-output').setAttribute('aria-label', `The model's output at ${output.length} steps${more}`);
  const widths = Object.fromEntries(Object.entries(shown).map(([name, rows]) => [name, rows[0].length]));
  strips.choose(groupsOf({ shown: widths, readout: [] }, (step, name) => shown[name][step], true));
  strips.show(Object.values(shown)[0].length);
}
