// A drawn digit in the form of MNIST's: what `centre_digit` of
// custom_lstm/data/images.py does, for a picture whose background is known to be black.

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;
/** Height and width at which strokes become a picture. */
export const RASTER = 140;
/** Width of the pen, as a share of the pad. */
export const PEN = 0.08;

const LENGTH = 20; // pixels: the longer side of MNIST's digits
const THINNEST = 2; // pixels: the stroke width of MNIST's thinnest digits
const FAINTEST = 0.06;
const NOISE = 6;
const MINOR = 0.08; // of the largest stroke's ink: less is a speck
const STROKE = 0.08; // of the picture's longer side: as long may be a stroke
const EDGE = 0.25; // of the picture's longer side: as long on the border may be an edge
const MAD = 1.4826;

/** A picture: `data` holds `height` rows of `width` numbers. */
const picture = (height, width, data = new Float64Array(height * width)) => ({
  height, width, data,
});

/**
 * Return the ink of strokes, 0 to 1, at every pixel.
 * @param {{x: number, y: number}[][]} strokes points of each stroke, 0 to 1 on the pad.
 */
export function drawn(strokes, side = RASTER, pen = PEN) {
  const made = picture(side, side);
  const radius = (pen * side) / 2;
  for (const stroke of strokes) {
    const points = stroke.map(({ x, y }) => [x * side - 0.5, y * side - 0.5]);
    if (points.length === 1) points.push(points[0]);
    for (let k = 1; k < points.length; k++) {
      segment(made, points[k - 1], points[k], radius);
    }
  }
  return made;
}

function segment({ height, width, data }, [x0, y0], [x1, y1], radius) {
  const reach = radius + 1;
  const clamp = (value, most) => Math.max(0, Math.min(most, value));
  const left = clamp(Math.floor(Math.min(x0, x1) - reach), width - 1);
  const right = clamp(Math.ceil(Math.max(x0, x1) + reach), width - 1);
  const top = clamp(Math.floor(Math.min(y0, y1) - reach), height - 1);
  const bottom = clamp(Math.ceil(Math.max(y0, y1) + reach), height - 1);
  const [dx, dy] = [x1 - x0, y1 - y0];
  const square = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = square ? ((x - x0) * dx + (y - y0) * dy) / square : 0;
      const t = clamp(along, 1);
      const [u, v] = [x - x0 - t * dx, y - y0 - t * dy];
      const away = Math.sqrt(u * u + v * v);
      const ink = clamp(radius + 0.5 - away, 1);
      const at = y * width + x;
      if (ink > data[at]) data[at] = ink;
    }
  }
}

/**
 * Bring the picture of one digit to the form of MNIST's.
 * @returns {Uint8Array | null} 28×28, bright on black; null if there is no ink.
 */
export function centred(grey) {
  const ink = segmented(grey);
  if (!ink) return null;
  return placed(scaled(cropped(ink)));
}

function segmented(grey) {
  const longer = Math.max(grey.height, grey.width);
  const { data } = blurred(grey, longer / 400);
  const noise = MAD * median(data.filter((_, k) => grey.data[k] < 0.02));
  const highest = ranked(data)(data.length - Math.max(3, Math.floor(data.length / 2000)));
  if (highest < Math.max(FAINTEST, NOISE * noise)) return null;
  const full = median(data.filter((value) => value > 0.5 * highest));
  const least = Math.max(0.1 * full, 3 * noise);
  const ink = picture(grey.height, grey.width, data.map(
    (value) => Math.min(1, Math.max(0, (value - least) / (full - least))),
  ));
  const mask = strokesOf(ink);
  let most = 0;
  for (let k = 0; k < mask.length; k++) {
    if (!mask[k]) ink.data[k] = 0;
    most = Math.max(most, ink.data[k]);
  }
  for (let k = 0; k < mask.length; k++) ink.data[k] /= most;
  return ink;
}

/** Return which pixels belong to the digit's strokes, without specks. */
function strokesOf(ink) {
  const { height, width, data } = ink;
  const longer = Math.max(height, width);
  let near = new Uint8Array(data.length);
  for (let k = 0; k < near.length; k++) near[k] = data[k] > 0.35 ? 1 : 0;
  for (let k = 0; k < Math.max(1, Math.floor(longer / 100)); k++) {
    near = dilated(near, height, width);
  }
  const parts = connected(near, ink);
  const isStroke = (part) => part.side === 0 && part.long > STROKE * longer;
  if (parts.some(isStroke)) {
    for (const part of parts) if (part.side > EDGE * longer) part.mass = 0;
  }
  const least = MINOR * parts.reduce((most, part) => Math.max(most, part.mass), 0);
  const mask = new Uint8Array(data.length);
  for (const part of parts) {
    if (part.mass > least) for (const at of part.pixels) mask[at] = 1;
  }
  return mask;
}

function dilated(set, height, width) {
  const pass = (from, stride, across) => {
    const made = new Uint8Array(from);
    for (let k = 0; k < from.length; k++) {
      if (!from[k]) continue;
      const place = Math.floor(k / stride) % across;
      if (place > 0) made[k - stride] = 1;
      if (place < across - 1) made[k + stride] = 1;
    }
    return made;
  };
  return pass(pass(set, 1, width), width, height);
}

/** Return the connected parts of a set: pixels, ink, length, and how many on the border. */
function connected(set, { height, width, data }) {
  const seen = new Uint8Array(set.length);
  const parts = [];
  for (let start = 0; start < set.length; start++) {
    if (!set[start] || seen[start]) continue;
    const pixels = [start];
    seen[start] = 1;
    let [left, right, top, bottom, mass, side] = [width, 0, height, 0, 0, 0];
    for (let k = 0; k < pixels.length; k++) {
      const [y, x] = [Math.floor(pixels[k] / width), pixels[k] % width];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      mass += data[pixels[k]];
      side += (x === 0) + (x === width - 1) + (y === 0) + (y === height - 1);
      for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
          const at = v * width + u;
          if (set[at] && !seen[at]) { seen[at] = 1; pixels.push(at); }
        }
      }
    }
    parts.push({ pixels, mass, side, long: 1 + Math.max(right - left, bottom - top) });
  }
  return parts;
}

function cropped({ height, width, data }) {
  let [left, right, top, bottom] = [width, -1, height, -1];
  data.forEach((value, at) => {
    if (value <= 0.2) return;
    const [y, x] = [Math.floor(at / width), at % width];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  });
  const made = picture(bottom - top + 1, right - left + 1);
  for (let y = 0; y < made.height; y++) {
    const from = (top + y) * width + left;
    made.data.set(data.subarray(from, from + made.width), y * made.width);
  }
  return made;
}

/** Scale to a longer side of 20 pixels, strokes no thinner than MNIST's. */
function scaled(ink) {
  const longer = Math.max(ink.height, ink.width);
  const lacking = (THINNEST / LENGTH) * longer - strokeWidth(ink);
  const thick = lacking > 0 ? thickened(ink, lacking / 2) : ink;
  const most = Math.max(thick.height, thick.width);
  const size = (side) => Math.max(1, evenly((LENGTH * side) / most));
  const small = resized(thick, size(thick.height), size(thick.width));
  const data = small.data.map((value) => Math.max(0, value));
  const bright = quantile(data.filter((value) => value > 0.1), 0.9);
  return picture(small.height, small.width, data.map((value) => Math.min(1, value / bright)));
}

/** Return the mean width of the strokes: a bar's is four times its mean depth. */
function strokeWidth(ink) {
  const wide = padded(ink, 1);
  const depth = distances(wide, (value) => value <= 0.5).filter((value) => value > 0);
  return 4 * (depth.reduce((a, b) => a + b, 0) / depth.length - 0.25);
}

/** Grow the strokes by so many pixels on every side. */
function thickened(ink, more) {
  const wide = padded(ink, Math.ceil(more));
  const away = distances(wide, (value) => value >= 0.5);
  wide.data.forEach((value, k) => {
    wide.data[k] = Math.max(value, Math.min(1, Math.max(0, more + 0.5 - away[k])));
  });
  return wide;
}

function padded({ height, width, data }, by) {
  const made = picture(height + 2 * by, width + 2 * by);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    made.data.set(row, (y + by) * made.width + by);
  }
  return made;
}

/**
 * Return every pixel's distance from the nearest that `isTarget` accepts
 * (P. Felzenszwalb and D. Huttenlocher, "Distance transforms of sampled functions").
 */
function distances({ height, width, data }, isTarget) {
  const far = 4 * (height + width) ** 2;
  const squares = data.map((value) => (isTarget(value) ? 0 : far));
  for (let x = 0; x < width; x++) parabolas(squares, x, width, height);
  for (let y = 0; y < height; y++) parabolas(squares, y * width, 1, width);
  return squares.map(Math.sqrt);
}

function parabolas(values, start, stride, count) {
  const f = new Float64Array(count);
  for (let q = 0; q < count; q++) f[q] = values[start + q * stride];
  const [at, from] = [new Int32Array(count), new Float64Array(count + 1)];
  let k = 0;
  [from[0], from[1]] = [-Infinity, Infinity];
  const meet = (q, p) => (f[q] + q * q - f[p] - p * p) / (2 * q - 2 * p);
  for (let q = 1; q < count; q++) {
    while (meet(q, at[k]) <= from[k]) k--;
    from[k + 1] = meet(q, at[k]);
    at[++k] = q;
    from[k + 1] = Infinity;
  }
  k = 0;
  for (let q = 0; q < count; q++) {
    while (from[k + 1] < q) k++;
    values[start + q * stride] = (q - at[k]) ** 2 + f[at[k]];
  }
}

/** Resize by a cubic that is as wide as the pixels that become one, as Pillow does. */
function resized(from, height, width) {
  const across = picture(from.height, width);
  const columns = weights(from.width, width);
  for (let y = 0; y < from.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, share } = columns[x];
      const start = y * from.width + first;
      let sum = 0;
      for (let k = 0; k < share.length; k++) sum += share[k] * Math.fround(from.data[start + k]);
      across.data[y * width + x] = Math.fround(sum);
    }
  }
  const made = picture(height, width);
  const rows = weights(from.height, height);
  for (let y = 0; y < height; y++) {
    const { first, share } = rows[y];
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = 0; k < share.length; k++) sum += share[k] * across.data[(first + k) * width + x];
      made.data[y * width + x] = Math.fround(sum);
    }
  }
  return made;
}

function weights(many, few) {
  const scale = many / few;
  const wide = Math.max(1, scale);
  return Array.from({ length: few }, (_, k) => {
    const centre = (k + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const end = Math.min(many, Math.trunc(centre + 2 * wide + 0.5));
    const share = Array.from(
      { length: end - first }, (_, n) => cubic((n + first - centre + 0.5) / wide),
    );
    const sum = share.reduce((a, b) => a + b, 0);
    return { first, share: share.map((w) => w / sum) };
  });
}

function cubic(signed) {
  const x = Math.abs(signed);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return -0.5 * (((x - 5) * x + 8) * x - 4);
  return 0;
}

/** Place ink in the field, its centre of mass as near the middle as it fits. */
function placed({ height, width, data }) {
  let [mass, down, right] = [0, 0, 0];
  data.forEach((value, at) => {
    mass += value;
    down += value * Math.floor(at / width);
    right += value * (at % width);
  });
  const begin = (mean, side) =>
    Math.min(SIDE - side, Math.max(0, evenly(SIDE / 2 - mean)));
  const [top, left] = [begin(down / mass, height), begin(right / mass, width)];
  const field = new Uint8Array(PIXELS);
  data.forEach((value, at) => {
    const [y, x] = [top + Math.floor(at / width), left + (at % width)];
    field[y * SIDE + x] = evenly(255 * value);
  });
  return field;
}

function blurred({ height, width, data }, sigma) {
  const radius = Math.trunc(4 * sigma + 0.5);
  const kernel = Float64Array.from(
    { length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / sigma) ** 2),
  );
  const sum = kernel.reduce((a, b) => a + b, 0);
  const shares = kernel.map((value) => value / sum);
  const pass = (from, stride, count, across, lines) => {
    const places = new Int32Array(count + 2 * radius);
    for (let k = 0; k < places.length; k++) {
      const turn = (((k - radius) % (2 * count)) + 2 * count) % (2 * count);
      places[k] = stride * (turn < count ? turn : 2 * count - 1 - turn);
    }
    const made = new Float64Array(from.length);
    for (let line = 0; line < lines; line++) {
      const start = line * across;
      for (let place = 0; place < count; place++) {
        let value = 0;
        for (let k = 0; k <= 2 * radius; k++) {
          value += shares[k] * from[start + places[place + k]];
        }
        made[start + place * stride] = value;
      }
    }
    return made;
  };
  const down = pass(data, width, height, 1, width);
  return picture(height, width, pass(down, 1, width, width, height));
}

const median = (values) => (values.length ? quantile(values, 0.5) : 0);

function quantile(values, share) {
  const at = ranked(values);
  const place = share * (values.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, values.length - 1);
  return at(low) + (place - low) * (at(high) - at(low));
}

/** Return a function rank → value of numbers from 0 up. Most are 0, and are not sorted. */
function ranked(values) {
  const sorted = values.filter((value) => value > 0).sort();
  const zeros = values.length - sorted.length;
  return (rank) => (rank < zeros ? 0 : sorted[rank - zeros]);
}

/** Round; halves go to the even number, as in Python. */
function evenly(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 ? down + 1 : down;
}
