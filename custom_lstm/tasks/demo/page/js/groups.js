// Which gates and states of a network the strips show, and in which order.

const GATES = new Set(['input', 'forget', 'output', 'update', 'reset']);
const count = (begin, end) => Array.from({ length: end - begin }, (_, k) => begin + k);

/** Say what the strips show. */
export function noteOf(about) {
  const carousels = carouselsOf(about);
  return carousels
    ? `${carousels} of its ${about.shown.c} units are constant error carousels: they only add, and `
      + 'nothing forgets. The others keep whose turn it is, plus or minus. The total is a '
      + 'weighted sum of the carousels.'
    : 'A gate between 0 and 1 for each unit: what comes in, what is kept, what goes out. The '
      + 'total is a weighted sum of what goes out.';
}

/** Return how many units only add, or 0. */
function carouselsOf({ readout, shown }) {
  return 'c' in shown && readout.length < shown.c ? readout.length : 0;
}

/**
 * Return the groups that `Strips.choose` takes.
 * @param about the network's entry of session.json.
 * @param at `(step, name)` gives a gate or state after a step.
 * @param every whether candidates, and what goes out, are shown too.
 */
export function groupsOf(about, at, every = false) {
  const carousels = carouselsOf(about);
  const group = (name, title, note, unit, units, signed, least) =>
    ({ title, note, unit, units, signed, least, at: (step) => at(step, name) });
  if (carousels) {
    const own = byWeight(about.readout);
    const others = count(carousels, about.shown.c);
    return [
      group('input', 'Input gates i', 'how far each carousel opens for this digit', 'carousel', own, false),
      group('candidate', 'Candidates g', 'what would be added', 'carousel', own, true, 1),
      {
        ...group('c', 'Carousels w·c', 'what each has summed up; together they are the total', 'carousel', own, true, 1),
        root: true,
        at: (step) => at(step, 'c').map((value, k) => value * (about.readout[k] ?? 0)),
      },
      group('h', 'Other units h', 'whose turn it is', 'unit', others, true, 1),
    ];
  }
  const notes = {
    input: ['Input gates i', 'what comes in'], forget: ['Forget gates f', 'what is kept'],
    output: ['Output gates o', 'what goes out'], candidate: ['Candidates g', 'what would be added'],
    c: ['Cell states c', 'what is remembered'], h: ['Outputs h', ''],
  };
  return Object.entries(about.shown)
    .filter(([name]) => every || !('c' in about.shown && ['h', 'candidate'].includes(name)))
    .map(([name, width]) => {
      const [title, note] = notes[name] ?? [name, ''];
      const units = about.readout?.length === width ? byWeight(about.readout) : count(0, width);
      const made = group(name, title, note, 'unit', units, !GATES.has(name), 1);
      return { ...made, root: name === 'c' };
    });
}

/** Return units in the order of their weights in the total, the highest first. */
function byWeight(readout) {
  return count(0, readout.length).sort((a, b) => readout[b] - readout[a]);
}
