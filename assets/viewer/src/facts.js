// What is known of a point, as elements.
import { chip, colour } from './colours.js';
import { exact, short } from './data.js';
import { picture } from './pictures.js';

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A name that can be seen. */
export const named = (text) => (text.trim() === '' ? '(blank)' : text);

const cut = (text, most = 160) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Name, label and columns of point `i`. */
export function facts(app, i) {
  const { data } = app;
  const rows = [];
  if (data.ids) rows.push(['id', cut(named(data.ids[i]))]);
  for (const column of data.columns) {
    const value = column.kind === 'classes' ? cut(named(column.text(i))) : short(column.values[i]);
    rows.push([cut(column.name, 40), value, column === app.column]);
  }
  rows.push(['row', String(i)]);
  const list = element('dl', { className: 'facts' });
  for (const [name, value, coloured] of rows) {
    const dd = element('dd', {}, value);
    if (coloured) dd.prepend(chip(colour(app, i)), ' ');
    list.append(element('dt', {}, name), dd);
  }
  return list;
}

/** All that is known of point `i` as texts, in the order of `header`. */
export function record(app, i) {
  const { data } = app;
  const place = Array.from(data.points.subarray(data.dims * i, data.dims * (i + 1)), (x) => exact(x, 4));
  const [label, others] = data.labelled ? [data.columns.slice(0, 1), data.columns.slice(1)] : [[], data.columns];
  const text = (column) => column.text(i);
  return [String(i), ...place, ...label.map(text), ...(data.ids ? [data.ids[i]] : []), ...others.map(text)];
}

export function header({ data }) {
  const names = data.columns.map((column) => column.name);
  const [label, others] = data.labelled ? [names.slice(0, 1), names.slice(1)] : [[], names];
  return ['row', ...['x', 'y', 'z'].slice(0, data.dims), ...label, ...(data.ids ? ['id'] : []), ...others];
}

/** The picture of point `i` on a canvas, `side` pixels high or wide. */
export function portrait(app, i, side) {
  const { width, height } = app.data.pictures;
  const scale = Math.max(1, Math.floor(side / Math.max(width, height)));
  const canvas = element('canvas', { width, height });
  canvas.style.width = `${width * scale}px`;
  picture(app.data, i).then(({ sheet, x, y }) => canvas.getContext('2d').drawImage(sheet, x, y, width, height, 0, 0, width, height));
  return canvas;
}
