// What colour and shape each point has. The palette itself comes with the data, so that page and picture agree.
import { CHOSEN, DIMMED, DISC, PLAIN, SHAPES, code } from './marks.js';

const lighter = (rgb, by) => rgb.map((channel) => Math.round(channel + (255 - channel) * by));

/** The colours for the current theme. */
export function shades({ palette }, dark) {
  const classes = dark ? palette.classes.map((rgb) => lighter(rgb, 0.16)) : palette.classes;
  // The darkest steps of the scale would be lost on a dark page.
  const first = dark ? 0.16 : 0;
  const last = palette.numbers.length - 1;
  const numbers = palette.numbers.map((_, k) => palette.numbers[Math.round(last * (first + (1 - first) * (k / last)))]);
  return { classes, numbers, plain: dark ? lighter(palette.unlabelled, 0.42) : palette.unlabelled };
}

/** Colour and shape of a class; beyond the colours times the shapes they start again. */
export function mark(shades, k) {
  const { classes } = shades;
  return { rgb: classes[k % classes.length], shape: Math.floor(k / classes.length) % SHAPES };
}

/** Where a number lies on its scale: 0 to 1, the middle if there is nothing between its ends. */
export const portion = (value, { low, high }) => (high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0.5);

export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

/** The colour of one point. */
export function colour(app, i) {
  const { shades, column } = app;
  if (!column) return { rgb: shades.plain, shape: DISC };
  if (column.kind === 'classes') return mark(shades, column.codes[i]);
  return { rgb: shades.numbers[Math.round(portion(column.values[i], column) * (shades.numbers.length - 1))], shape: DISC };
}

/** [n, 4] colours and codes (see marks.js) in the order of drawing. */
export function paint(app) {
  const { data, shades, column, hidden, selected, matched, order } = app;
  const all = new Uint8Array(4 * data.n);
  const looks = column?.kind === 'classes' ? column.names.map((_, k) => mark(shades, k)) : shades.numbers.map((rgb) => ({ rgb, shape: DISC }));
  const plain = { rgb: shades.plain, shape: DISC };
  const emphasised = app.nSelected > 0 || matched !== null;
  const last = shades.numbers.length - 1;
  for (let k = 0; k < data.n; k++) {
    const i = order[k];
    if (hidden[i]) continue;
    const look = !column ? plain : column.kind === 'classes' ? looks[column.codes[i]] : looks[Math.round(portion(column.values[i], column) * last)];
    const emphasis = !emphasised ? PLAIN : selected[i] || matched?.[i] ? CHOSEN : DIMMED;
    all[4 * k] = look.rgb[0];
    all[4 * k + 1] = look.rgb[1];
    all[4 * k + 2] = look.rgb[2];
    all[4 * k + 3] = code(look.shape, emphasis);
  }
  return all;
}

const SVG = 'http://www.w3.org/2000/svg';
const OUTLINES = ['M10 3a7 7 0 1 0 .01 0z', 'M4 4h12v12H4z', 'M10 2.5l8 14H2z', 'M10 1l9 9-9 9-9-9z'];

/** A small picture of a mark, for lists. */
export function chip({ rgb, shape }) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'chip');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', OUTLINES[shape]);
  path.setAttribute('fill', css(rgb));
  path.setAttribute('stroke', 'none');
  svg.append(path);
  return svg;
}

/** The same on a canvas, around (x, y). */
export function stamp(pen, { rgb, shape }, x, y, radius) {
  pen.save();
  pen.translate(x - radius, y - radius);
  pen.scale(radius / 10, radius / 10);
  pen.fillStyle = css(rgb);
  pen.fill(new Path2D(OUTLINES[shape]));
  pen.restore();
}
