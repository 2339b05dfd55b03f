// What every drawing needs: colours of the page, and a canvas as fine as the screen.

/** Return the page's colours: `css(name)`, `rgb(name)`, and its font. */
export function colours(element) {
  const style = getComputedStyle(element);
  const css = (name) => style.getPropertyValue(name).trim();
  const rgb = (name) => {
    const hex = css(name).slice(1);
    return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16));
  };
  return { css, rgb, font: css('--sans') };
}

/** Size a canvas for the screen, clear it, and return its context in CSS pixels. */
export function fitted(canvas, width, height) {
  const fine = Math.min(3, window.devicePixelRatio || 1);
  const [across, down] = [Math.round(width * fine), Math.round(height * fine)];
  if (canvas.width !== across || canvas.height !== down) {
    Object.assign(canvas, { width: across, height: down });
  }
  const context = canvas.getContext('2d');
  context.setTransform(fine, 0, 0, fine, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Draw a digit of 28×28 bytes into a canvas of that size. */
export function drawDigit(canvas, image) {
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(28, 28);
  image.forEach((value, k) => {
    pixels.data.set([value, value, value, 255], 4 * k);
  });
  context.putImageData(pixels, 0, 0);
}

/** Return a step between ticks so that some five fit into a range. */
function tick(range) {
  const rough = range / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((k) => k * power).find((step) => step >= rough);
}

/**
 * Draw lines over steps.
 * @param {{values: ArrayLike<number>, colour: string, wide?: number}[]} series the first
 *   one lies lowest.
 * @param {number} least of the range of values.
 */
export function lines(canvas, series, least = 10) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const tones = colours(canvas);
  const context = fitted(canvas, width, height);
  const count = Math.max(0, ...series.map(({ values }) => values.length));
  const [left, right, top, bottom] = [46, 10, 10, 24];
  let [low, high] = [0, least];
  for (const { values } of series) {
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  }
  const step = tick(high - low);
  [low, high] = [step * Math.floor(low / step), step * Math.ceil(high / step)];
  const across = (k) => left + ((width - left - right) * k) / Math.max(1, count - 1 || 1);
  const down = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
  context.font = `12px ${tones.font}`;
  for (let value = low; value <= high + step / 2; value += step) {
    const y = Math.round(down(value)) + 0.5;
    context.strokeStyle = tones.css('--line');
    context.lineWidth = 1;
    context.beginPath(); context.moveTo(left, y); context.lineTo(width - right, y); context.stroke();
    context.fillStyle = tones.css('--soft');
    context.textAlign = 'right';
    const text = Math.abs(step) < 1 ? value.toPrecision(2) : Math.round(value).toLocaleString('en');
    context.fillText(text.replace('-', '−'), left - 8, y + 4);
  }
  axis(context, count, across, height, tones);
  for (const { values, colour, wide = 2.5 } of series) {
    context.strokeStyle = tones.css(colour);
    context.lineWidth = wide;
    context.lineJoin = context.lineCap = 'round';
    context.beginPath();
    for (let k = 0; k < values.length; k++) context.lineTo(across(k), down(values[k]));
    context.stroke();
    if (values.length > 40 || wide > 4) continue;
    context.fillStyle = context.strokeStyle;
    for (let k = 0; k < values.length; k++) {
      context.beginPath();
      context.arc(across(k), down(values[k]), wide + 0.7, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function axis(context, count, across, height, tones) {
  context.fillStyle = tones.css('--soft');
  const step = Math.max(1, tick(count));
  for (let k = step; k <= count; k += step) {
    context.textAlign = k === count ? 'right' : 'center';
    context.fillText(k.toLocaleString('en'), across(k - 1), height - 6);
  }
  if (count === 0 || step > 1) {
    context.textAlign = 'left';
    context.fillText('step 1', across(0), height - 6);
  }
}
