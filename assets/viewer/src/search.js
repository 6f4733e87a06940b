// Finding points by their names, labels and columns, as one types.
import { element } from './facts.js';

/** [n] 1 for each point of which some text holds `text`, whatever its case; or whose row is the N of "#N". */
export function find({ data }, text) {
  const found = new Uint8Array(data.n);
  const row = text.match(/^#(\d+)$/);
  if (row) {
    if (Number(row[1]) < data.n) found[row[1]] = 1;
    return found;
  }
  const wanted = text.toLowerCase();
  for (const column of data.columns) {
    if (column.kind === 'classes') {
      const hits = Uint8Array.from(column.names, (name) => (name.toLowerCase().includes(wanted) ? 1 : 0));
      for (let i = 0; i < data.n; i++) found[i] |= hits[column.codes[i]];
    } else if (text !== '' && Number.isFinite(Number(text))) {
      const value = column.bytes === 4 ? Math.fround(Number(text)) : Number(text);
      for (let i = 0; i < data.n; i++) found[i] |= column.values[i] === value ? 1 : 0;
    }
  }
  if (data.ids) for (let i = 0; i < data.n; i++) found[i] |= data.ids[i].toLowerCase().includes(wanted) ? 1 : 0;
  return found;
}

export function searching(app, scene) {
  const input = document.getElementById('search');
  const said = document.getElementById('found');
  let due;
  const points = () => {
    const all = [];
    app.matched?.forEach((one, i) => one && !app.hidden[i] && all.push(i));
    return all;
  };
  const select = () => {
    const all = points();
    if (!all.length) return;
    app.select(all);
    scene.show(all);
  };
  const say = () => {
    said.hidden = app.matched === null;
    if (said.hidden) return;
    const count = points().length;
    said.replaceChildren(element('span', {}, `${count.toLocaleString('en')} found`));
    if (count) said.append(element('button', { className: 'text', title: 'Enter', onclick: select }, 'Select'));
  };
  const run = () => {
    clearTimeout(due);
    const text = input.value.trim();
    app.matched = text === '' ? null : find(app, text);
    app.tell('search');
  };
  input.addEventListener('input', () => {
    clearTimeout(due);
    due = setTimeout(run, app.data.n > 100_000 ? 250 : 40);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') {
      run();
      select();
    } else if (event.key === 'Escape') {
      event.stopPropagation();
      input.value = '';
      run();
      document.getElementById('stage').focus();
    }
  });
  app.on('search', say);
  app.on('filter', say);
}
