// What the colours mean, and hiding by it: a class or a range of numbers.
import { chip, css, mark } from './colours.js';
import { short } from './data.js';
import { element, named } from './facts.js';

/** Classes listed at once; of more, those that are sought. */
const LISTED = 200;

export function legend(app) {
  const { data } = app;
  const chooser = document.getElementById('column');
  const place = document.getElementById('legend');
  chooser.append(...data.columns.map((column, k) => element('option', { value: k, selected: k === 0 }, column.name)));
  chooser.append(element('option', { value: -1, selected: data.columns.length === 0 }, 'nothing'));
  chooser.addEventListener('change', () => app.setColumn(data.columns[chooser.value] ?? null));

  /** Hidden classes by column. */
  const hiddenOf = new Map();

  function classes(column) {
    const index = data.columns.indexOf(column);
    if (!hiddenOf.has(index)) hiddenOf.set(index, new Uint8Array(column.names.length));
    const hidden = hiddenOf.get(index);
    const filter = () => app.filter(index, hidden.some((one) => one) ? (i) => !hidden[column.codes[i]] : null);
    const list = element('div', { role: 'group', ariaLabel: 'Classes' });
    const all = (value) => {
      hidden.fill(value);
      filter();
    };
    const isolate = (k) => {
      const alone = !hidden[k] && hidden.every((one, j) => one || j === k);
      hidden.fill(alone ? 0 : 1);
      hidden[k] = 0;
      filter();
    };
    const entry = (k) => {
      const name = named(column.names[k]);
      const button = element('button', { className: 'entry', title: `${name}: click to hide, double-click or Alt-click to see it alone`, ariaPressed: String(!hidden[k]) });
      button.dataset.class = k;
      button.append(chip(mark(app.shades, k)), element('span', {}, name), element('em', {}, column.counts[k].toLocaleString('en')));
      button.addEventListener('click', (event) => {
        if (event.detail > 1) return;
        if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return isolate(k);
        hidden[k] ^= 1;
        filter();
      });
      button.addEventListener('dblclick', () => {
        // The first click of the two has hidden or shown it.
        hidden[k] = 0;
        const others = hidden.some((one, j) => !one && j !== k);
        hidden.fill(others ? 1 : 0);
        hidden[k] = 0;
        filter();
      });
      return button;
    };
    const many = column.names.length > LISTED;
    const byCount = column.names.map((_, k) => k);
    if (many) byCount.sort((a, b) => column.counts[b] - column.counts[a] || a - b);
    const sought = element('input', { type: 'search', placeholder: `Among ${column.names.length.toLocaleString('en')} classes`, ariaLabel: 'Search classes' });
    const fill = () => {
      const text = sought.value.trim().toLowerCase();
      const found = text ? byCount.filter((k) => column.names[k].toLowerCase().includes(text)) : byCount;
      list.replaceChildren(...found.slice(0, LISTED).map(entry));
      const notes = [];
      if (found.length > LISTED) notes.push(`and ${(found.length - LISTED).toLocaleString('en')} more`);
      const looks = 4 * app.shades.classes.length;
      if (column.names.length > looks) notes.push(`marks repeat after ${looks} classes`);
      if (notes.length) list.append(element('p', { className: 'note' }, notes.join('; ')));
    };
    sought.addEventListener('input', fill);
    const show = element('button', { className: 'text', onclick: () => all(0) }, 'All');
    const none = element('button', { className: 'text', onclick: () => all(1) }, 'None');
    place.replaceChildren(element('div', { className: 'row' }, show, none), ...(many ? [sought] : []), list);
    refresh = () => {
      for (const button of list.querySelectorAll('.entry')) button.setAttribute('aria-pressed', String(!hidden[button.dataset.class]));
    };
    fill();
  }

  /** The ends that are kept, by column. */
  const endsOf = new Map();

  function numbers(column) {
    const index = data.columns.indexOf(column);
    if (!endsOf.has(index)) endsOf.set(index, [0, 1]);
    const ends = endsOf.get(index);
    const value = (t) => column.low * (1 - t) + column.high * t;
    const bar = element('div', { className: 'scale' });
    bar.style.background = `linear-gradient(90deg, ${app.shades.numbers.filter((_, k) => k % 15 === 0).map(css).join(',')})`;
    const ticks = element('div', { className: 'ticks' });
    const said = element('p', { className: 'note' });
    const say = () => {
      ticks.replaceChildren(...[0, 0.5, 1].map((t) => {
        const tick = element('span', {}, short(value(t)));
        tick.style.left = `${100 * t}%`;
        return tick;
      }));
      const [a, b] = ends;
      said.textContent = a > 0 || b < 1 ? `from ${short(value(a))} to ${short(value(b))}` : 'Drag the ends to hide what is outside.';
    };
    const slider = (end, name) => {
      const input = element('input', { type: 'range', min: 0, max: 1, step: 0.002, value: ends[end], ariaLabel: name });
      input.addEventListener('input', () => {
        ends[end] = Number(input.value);
        const [a, b] = [value(ends[0]), value(ends[1])];
        app.filter(index, ends[0] > 0 || ends[1] < 1 ? (i) => column.values[i] >= a && column.values[i] <= b : null);
        say();
      });
      return input;
    };
    say();
    place.replaceChildren(bar, ticks, slider(0, 'Smallest shown'), slider(1, 'Largest shown'), said);
    refresh = say;
  }

  let refresh = () => {};
  const renew = () => {
    chooser.value = app.column ? data.columns.indexOf(app.column) : -1;
    if (!app.column) {
      place.replaceChildren();
      refresh = () => {};
    } else if (app.column.kind === 'classes') classes(app.column);
    else numbers(app.column);
  };
  app.on('column', renew);
  app.on('theme', renew);
  const unseen = document.getElementById('unseen');
  unseen.querySelector('button').addEventListener('click', () => app.tell('reset'));
  app.on('filter', () => {
    refresh();
    unseen.hidden = app.nHidden === 0;
    unseen.querySelector('span').textContent = `${app.nHidden.toLocaleString('en')} hidden`;
  });
  app.on('reset', () => {
    hiddenOf.clear();
    endsOf.clear();
    [...app.filters.keys()].forEach((index) => app.filter(index, null));
    renew();
  });
  renew();
}
