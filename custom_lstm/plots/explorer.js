/** Heat maps of a trace: point at a unit and a step, or use the arrow keys. */

const GATE = [[247, 247, 247], [0, 158, 115], [0, 64, 47]];
const STATE = [[0, 63, 102], [0, 114, 178], [247, 247, 247], [213, 94, 0], [122, 50, 0]];

/** The colour at `share`, 0 to 1, of a ramp. */
function colour(ramp, share) {
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[low].map((from, k) => from + (ramp[low + 1][k] - from) * (place - low));
}

/** The maps of the trace: name, units, values `[step * units + unit]`, and a scale. */
function maps(model) {
  const bytes = model.get("values");
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const all = new Float32Array(copy);
  const steps = model.get("steps");
  let begin = 0;
  return model.get("names").map((name, k) => {
    const units = model.get("units")[k];
    const values = all.subarray(begin, (begin += steps * units));
    const finite = values.filter(Number.isFinite);
    const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
    const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    const limit = Math.max(-low, high) || 1;
    const gate = low >= 0 && high <= 1;
    const share = (value) => (gate ? value : (value / limit + 1) / 2);
    return { name, units, steps, values, low, high, ramp: gate ? GATE : STATE, share };
  });
}

/** Draw a map, a pixel a value; the style sheet enlarges it. Empty where it is NaN. */
function paint(canvas, map) {
  canvas.width = map.steps;
  canvas.height = map.units;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.steps, map.units);
  map.values.forEach((value, at) => {
    if (!Number.isFinite(value)) return;
    const pixel = 4 * ((at % map.units) * map.steps + Math.floor(at / map.units));
    image.data.set([...colour(map.ramp, map.share(value)), 255], pixel);
  });
  context.putImageData(image, 0, 0);
}

/** The path of one unit's values over the steps, in a box of `width` by `height`. */
function path(map, unit, width, height) {
  const range = map.high - map.low || 1;
  let pen = "M";
  let drawn = "";
  for (let step = 0; step < map.steps; step++) {
    const value = map.values[step * map.units + unit];
    if (!Number.isFinite(value)) {
      pen = "M";
      continue;
    }
    const x = ((step + 0.5) * width) / map.steps;
    drawn += `${pen}${x} ${2 + ((map.high - value) / range) * (height - 4)}`;
    pen = "L";
  }
  return drawn;
}

function make(tag, parent, style = "", text = "") {
  const element = document.createElement(tag);
  element.style.cssText = style;
  element.textContent = text;
  parent.append(element);
  return element;
}

/** One map with its heading, canvas, cursor and line. */
function panel(root, map, width, point) {
  make("div", root, "font-weight:bold;margin-top:8px", map.name);
  const tall = map.units * Math.max(3, Math.min(14, Math.floor(140 / map.units)));
  const box = make("div", root, `position:relative;width:${width}px;height:${tall}px`);
  const whole = "position:absolute;inset:0;width:100%;height:100%";
  const canvas = make("canvas", box, `${whole};image-rendering:pixelated`);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${map.name}: ${map.units} units, arrow keys read`);
  paint(canvas, map);
  const cursor = make("div", box, "position:absolute;pointer-events:none;display:none");
  cursor.style.outline = "2px solid #c44e00";
  const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  line.setAttribute("width", width);
  line.setAttribute("height", 40);
  const drawn = document.createElementNS(line.namespaceURI, "path");
  drawn.setAttribute("fill", "none");
  drawn.setAttribute("stroke", "#0072b2");
  drawn.setAttribute("stroke-width", "2");
  line.append(drawn);
  root.append(line);
  canvas.addEventListener("pointermove", (event) => {
    const { left, top, width: wide, height: high } = canvas.getBoundingClientRect();
    const unit = Math.floor(((event.clientY - top) / high) * map.units);
    point(map, unit, Math.floor(((event.clientX - left) / wide) * map.steps));
  });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1] };
    const [down, right] = { ...move, ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    if (down || right) {
      event.preventDefault();
      point(map, null, null, down, right);
    }
  });
  const show = (unit, step) => {
    cursor.style.display = "block";
    cursor.style.left = `${(100 * step) / map.steps}%`;
    cursor.style.top = `${(100 * unit) / map.units}%`;
    cursor.style.width = `${100 / map.steps}%`;
    cursor.style.height = `${100 / map.units}%`;
    drawn.setAttribute("d", path(map, unit, width, 40));
  };
  return { map, show };
}

function render({ model, el }) {
  const all = maps(model);
  const labels = model.get("labels");
  const steps = model.get("steps");
  const width = steps * Math.max(3, Math.min(48, Math.floor(640 / steps)));
  const root = make("div", el, "overflow-x:auto;font-family:sans-serif");
  const read = make("output", root, "display:block;min-height:1.5em", "Point at a unit.");
  read.setAttribute("aria-live", "polite");
  let at = [0, 0];
  const point = (map, unit, step, down = 0, right = 0) => {
    const clip = (value, count) => Math.min(Math.max(value, 0), count - 1);
    const where = [clip((unit ?? at[0]) + down, map.units), (step ?? at[1]) + right];
    at = [where[0], clip(where[1], steps)];
    const value = map.values[at[1] * map.units + at[0]];
    const seen = labels.length ? ` (${labels[at[1]]})` : "";
    const told = Number.isFinite(value) ? value.toPrecision(4) : "left out";
    read.textContent = `${map.name}, unit ${at[0]}, step ${at[1] + 1}${seen}: ${told}`;
    for (const other of panels) if (other.map.units === map.units) other.show(...at);
  };
  const panels = all.map((map) => panel(root, map, width, point));
}

export default { render };
