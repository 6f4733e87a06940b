// Files that the page gives: a blob, and the view as a picture with its title, caption and legend.
import { css, mark, stamp } from './colours.js';
import { short } from './data.js';
import { named } from './facts.js';

export function save(app, blob, name) {
  const base = app.data.title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 60);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = base ? `${base}-${name}` : name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Words in lines of at most `width` pixels. */
function wrapped(pen, text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (lines.at(-1) && pen.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

function cut(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}

/** The view as it is on the screen, and beside it what it says. */
export async function shoot(app, scene) {
  const { data, column } = app;
  const view = scene.snapshot();
  const unit = view.width / scene.size.width;
  const style = getComputedStyle(document.documentElement);
  const [page, ink, faint] = ['--page', '--ink', '--faint'].map((name) => style.getPropertyValue(name).trim());
  const font = (size, weight = 400) => `${weight} ${size * unit}px ${getComputedStyle(document.body).fontFamily}`;
  const margin = 16 * unit;
  const beside = column ? 220 * unit : 0;

  const canvas = document.createElement('canvas');
  let pen = canvas.getContext('2d');
  pen.font = font(13);
  const lines = wrapped(pen, data.caption, view.width + beside - 2 * margin);
  const top = 24 * unit + 18 * unit * lines.length + margin;
  canvas.width = view.width + beside;
  canvas.height = view.height + top;
  pen = canvas.getContext('2d');
  pen.fillStyle = page;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(view, 0, top);
  pen.textBaseline = 'middle';
  pen.fillStyle = ink;
  pen.font = font(17, 650);
  pen.fillText(cut(pen, data.title, canvas.width - 2 * margin), margin, margin + 8 * unit);
  pen.fillStyle = faint;
  pen.font = font(13);
  lines.forEach((line, k) => pen.fillText(line, margin, margin + (30 + 18 * k) * unit));

  if (column?.kind === 'classes') {
    const seen = new Set();
    for (let i = 0; i < data.n; i++) if (!app.hidden[i]) seen.add(column.codes[i]);
    const step = 22 * unit;
    const room = Math.floor((view.height - 2 * margin) / step) - 1;
    const all = [...seen].sort((a, b) => a - b);
    const listed = all.slice(0, all.length > room ? room - 1 : room);
    listed.forEach((k, row) => {
      const y = top + margin + (row + 0.5) * step;
      stamp(pen, mark(app.shades, k), view.width + 8 * unit, y, 7 * unit);
      pen.fillStyle = ink;
      pen.fillText(cut(pen, named(column.names[k]), beside - 40 * unit), view.width + 22 * unit, y);
    });
    pen.fillStyle = faint;
    if (all.length > listed.length) pen.fillText(`and ${all.length - listed.length} more`, view.width + 22 * unit, top + margin + (listed.length + 0.5) * step);
  } else if (column) {
    const [left, width, y] = [view.width, beside - 2 * margin, top + margin + 20 * unit];
    const shades = app.shades.numbers;
    shades.forEach((rgb, k) => {
      pen.fillStyle = css(rgb);
      pen.fillRect(left + (k * width) / shades.length, y, width / shades.length + 1, 14 * unit);
    });
    pen.fillStyle = ink;
    pen.fillText(cut(pen, column.name, width), left, y - 14 * unit);
    pen.fillText(short(column.low), left, y + 28 * unit);
    pen.textAlign = 'right';
    pen.fillText(short(column.high), left + width, y + 28 * unit);
  }
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
  save(app, blob, 'map.png');
}
