// Networks that read one digit after the other: in this browser, or on the server.

import { PIXELS, SIDE } from './digit.js';

const AT_ONCE = 16; // images that are encoded together

/** Return what `session.json` says, and a network for each of its entries. */
export async function open() {
  const session = await (await answered(fetch('session.json'))).json();
  const made = session.server
    ? session.networks.map((about, number) => new ServerNetwork(about, number))
    : await inBrowser(session.networks);
  return { session, networks: made };
}

/**
 * Let networks read images, each from its states on; return the rows of each.
 * A server is asked once for all of them: most of the time goes into the asking.
 */
export async function advanceAll(networks, states, images) {
  const [first] = networks;
  if (first instanceof ServerNetwork) return ask('advance', networks, states, images);
  const rows = [];
  for (const [n, network] of networks.entries()) {
    rows.push(await network.advance(states[n], images));
  }
  return rows;
}

/** Return a response, or throw what the server says is wrong. */
export async function answered(promise) {
  const response = await promise;
  if (response.ok) return response;
  const text = await response.text();
  let said = text;
  try { said = JSON.parse(text).error ?? text; } catch { /* it is no JSON */ }
  throw new Error(said || `${response.status} ${response.statusText}`);
}

/** What both kinds share: where in a row, that a step makes, there is what. */
class Network {
  constructor(about) {
    this.about = about;
    this.width = about.states.reduce((a, b) => a + b, 0);
    this.initial = Float32Array.from(about.initial);
    this.places = {};
    let begin = 1 + this.width;
    for (const [name, width] of Object.entries(about.shown)) {
      this.places[name] = [begin, begin + width];
      begin += width;
    }
    this.columns = begin;
  }

  /** Return the states that a row holds; before the first, those to begin with. */
  states(row) {
    return row ? row.subarray(1, 1 + this.width) : this.initial;
  }

  /** Return a gate or state of a row. */
  shown(row, name) {
    return row.subarray(...this.places[name]);
  }
}

class ServerNetwork extends Network {
  constructor(about, number) {
    super(about);
    this.url = `advance/${number}`;
  }

  /** Read images, from given states on; return a row for each. */
  async advance(states, images) {
    const [rows] = await ask(this.url, [this], [states], images);
    return rows;
  }
}

/** Send states and images to the server; return the rows of each network. */
async function ask(url, networks, states, images) {
  const numbers = states.flatMap((own) => [...own]);
  const body = new Uint8Array(4 * numbers.length + PIXELS * images.length);
  const view = new DataView(body.buffer);
  numbers.forEach((value, k) => view.setFloat32(4 * k, value, true));
  images.forEach((image, k) => body.set(image, 4 * numbers.length + k * PIXELS));
  const headers = { 'content-type': 'application/octet-stream' };
  const response = await answered(fetch(url, { method: 'POST', headers, body }));
  const answer = new Float32Array(await response.arrayBuffer());
  let place = 0;
  return networks.map(({ columns }) => images.map(() => {
    place += columns;
    return answer.slice(place - columns, place);
  }));
}

class OnnxNetwork extends Network {
  constructor(about, ort, encoder, step) {
    super(about);
    Object.assign(this, { ort, encoder, step });
    this.known = new WeakMap(); // features by image: a sample comes again and again
  }

  async advance(states, images) {
    await this.#encode([...new Set(images.filter((image) => !this.known.has(image)))]);
    const rows = [];
    let held = states;
    for (const image of images) {
      const row = await this.#stepped(this.known.get(image), held);
      rows.push(row);
      held = this.states(row);
    }
    return rows;
  }

  async #encode(images) {
    for (let begin = 0; begin < images.length; begin += AT_ONCE) {
      const some = images.slice(begin, begin + AT_ONCE);
      const pixels = new Uint8Array(PIXELS * some.length);
      some.forEach((image, k) => pixels.set(image, k * PIXELS));
      const input = new this.ort.Tensor('uint8', pixels, [some.length, SIDE, SIDE, 1]);
      const [name] = this.encoder.inputNames;
      const made = await this.encoder.run({ [name]: input });
      const features = made[this.encoder.outputNames[0]].data;
      const width = this.about.features;
      some.forEach((image, k) => {
        this.known.set(image, features.slice(k * width, (k + 1) * width));
      });
    }
  }

  async #stepped(features, states) {
    const tensor = (data) => new this.ort.Tensor('float32', data, [1, data.length]);
    const inputs = [tensor(features)];
    let begin = 0;
    for (const width of this.about.states) {
      inputs.push(tensor(states.slice(begin, begin + width)));
      begin += width;
    }
    const feeds = Object.fromEntries(this.step.inputNames.map((n, k) => [n, inputs[k]]));
    const made = await this.step.run(feeds);
    const row = new Float32Array(this.columns);
    let place = 0;
    for (const name of this.step.outputNames) {
      row.set(made[name].data, place);
      place += made[name].data.length;
    }
    return row;
  }
}

async function inBrowser(abouts) {
  const runtime = new URL('../runtime/', import.meta.url);
  const ort = await import(new URL('ort.wasm.min.mjs', runtime).href);
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.wasm.numThreads = 1;
  const made = [];
  for (const about of abouts) {
    const [encoder, step] = await Promise.all(['encoder', 'step'].map((part) =>
      ort.InferenceSession.create(`networks/${about.id}-${part}.onnx`)));
    made.push(new OnnxNetwork(about, ort, encoder, step));
  }
  return made;
}
