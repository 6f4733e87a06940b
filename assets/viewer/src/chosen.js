// The panel of the selection: how many, of which classes, which pictures; saved as CSV.
import { chip, mark, portion } from './colours.js';
import { short } from './data.js';
import { element, facts, header, named, portrait, record } from './facts.js';
import { picture } from './pictures.js';
import { save } from './save.js';

const LISTED = 8;

export function chosen(app, scene) {
  const [count, about] = ['count', 'about'].map((id) => document.getElementById(id));
  const [saving, going, clearing] = ['save', 'goto', 'clear'].map((id) => document.getElementById(id));

  /** Shares of the classes of the colours' column, or the spread of its numbers. */
  function summary(points) {
    const { column } = app;
    if (!column) return [];
    if (column.kind === 'numbers') {
      const values = points.map((i) => column.values[i]).sort((a, b) => a - b);
      const at = (t) => short(values[Math.round(t * (values.length - 1))]);
      return [element('p', {}, `${column.name}: median ${at(0.5)}, half of them ${at(0.25)} to ${at(0.75)}`)];
    }
    const counts = new Map();
    for (const i of points) counts.set(column.codes[i], (counts.get(column.codes[i]) ?? 0) + 1);
    const order = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const rows = order.slice(0, LISTED).map(([k, n]) => {
      const bar = element('i');
      bar.style.width = `${(100 * n) / points.length}%`;
      return element('div', { className: 'share' }, bar, chip(mark(app.shades, k)), element('span', {}, named(column.names[k])), element('em', {}, n.toLocaleString('en')));
    });
    if (order.length > LISTED) rows.push(element('p', { className: 'note' }, `and ${order.length - LISTED} classes more`));
    return rows;
  }

  /** Some of the pictures of a selection, side by side. */
  function mosaic(points) {
    const { width, height } = app.data.pictures;
    const across = points.length <= 16 ? 4 : points.length <= 36 ? 6 : 8;
    const some = points.length <= 64 ? points : Array.from({ length: 64 }, (_, k) => points[Math.floor((k * points.length) / 64)]);
    const canvas = element('canvas', { width: across * (width + 1) - 1, height: Math.ceil(some.length / across) * (height + 1) - 1 });
    const pen = canvas.getContext('2d');
    some.forEach(async (i, k) => {
      const { sheet, x, y } = await picture(app.data, i);
      pen.drawImage(sheet, x, y, width, height, (k % across) * (width + 1), Math.floor(k / across) * (height + 1), width, height);
    });
    return canvas;
  }

  const show = () => {
    const points = app.selection();
    const n = points.length;
    count.textContent = n ? `${n.toLocaleString('en')} of ${app.data.n.toLocaleString('en')}` : '';
    saving.textContent = n || app.nHidden === 0 ? 'Save as CSV' : 'Save shown';
    saving.title = n ? 'The selected points (C)' : app.nHidden ? 'All points that are not hidden (C)' : 'All points (C)';
    going.disabled = clearing.disabled = n === 0;
    if (n === 0) {
      const way = scene.flat ? 'Shift and drag for a box, ' : '';
      about.replaceChildren(element('p', { className: 'note' }, `${way}B and L for box and lasso, or click a point.`));
    } else if (n === 1) {
      about.replaceChildren(...(app.data.pictures ? [portrait(app, points[0], 254)] : []), facts(app, points[0]));
    } else {
      about.replaceChildren(...summary(points), ...(app.data.pictures ? [mosaic(points)] : []));
    }
  };
  for (const what of ['selection', 'column', 'theme', 'filter']) app.on(what, show);
  saving.addEventListener('click', () => saveTable(app));
  going.addEventListener('click', () => scene.show(app.selection()));
  clearing.addEventListener('click', () => app.select([]));
  show();
}

/** The selected points, or, where none is, all that are shown, as RFC 4180 has it. */
export function saveTable(app) {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const line = (texts) => `${texts.map(quoted).join(',')}\r\n`;
  const lines = [line(header(app))];
  for (let i = 0; i < app.data.n; i++) {
    if (app.nSelected ? app.selected[i] : !app.hidden[i]) lines.push(line(record(app, i)));
  }
  save(app, new Blob(lines, { type: 'text/csv' }), app.nSelected ? 'selection.csv' : 'points.csv');
}
