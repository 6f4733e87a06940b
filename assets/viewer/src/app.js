// What the page knows, and who is told when it changes. Every part of the page changes this and listens to it; none knows another.
import { shades } from './colours.js';

export class App {
  constructor(data) {
    this.data = data;
    this.listeners = {};
    /** What the pointer does: pan, box or lasso. */
    this.mode = 'pan';
    /** The column that gives the colours, or null. */
    this.column = data.columns[0] ?? null;
    /** What is hidden by column: its number to a test of a row. */
    this.filters = new Map();
    this.hidden = new Uint8Array(data.n);
    this.nHidden = 0;
    this.selected = new Uint8Array(data.n);
    this.nSelected = 0;
    /** What the search found, or null where nothing is sought. */
    this.matched = null;
    this.hover = null;
    this.dark = false;
    this.shades = shades(data, false);
    this.style = { size: 0, opacity: data.n > 300_000 ? 0.35 : data.n > 30_000 ? 0.6 : 0.85 };
    this.order = shuffled(data.n);
    this.final = unit(data);
    this.place(this.final);
  }

  on(what, listener) {
    (this.listeners[what] ??= []).push(listener);
  }

  tell(what) {
    for (const listener of this.listeners[what] ?? []) listener();
  }

  /** Takes places of all points: `positions` [n, 3] by point, `placed` the same in the order of drawing. */
  place(positions) {
    this.positions = positions;
    // deck.gl takes an array for new if it is another one than before.
    [this.placed, this.spare] = [this.spare ?? new Float32Array(positions.length), this.placed];
    const { order, placed } = this;
    for (let k = 0; k < order.length; k++) {
      const i = 3 * order[k];
      placed[3 * k] = positions[i];
      placed[3 * k + 1] = positions[i + 1];
      placed[3 * k + 2] = positions[i + 2];
    }
    this.tell('frame');
  }

  /** Hides what does not pass `test` of column number `index`; everything passes null. */
  filter(index, test) {
    if (test) this.filters.set(index, test);
    else this.filters.delete(index);
    const tests = [...this.filters.values()];
    this.nHidden = 0;
    for (let i = 0; i < this.data.n; i++) {
      this.hidden[i] = tests.some((test) => !test(i)) ? 1 : 0;
      this.nHidden += this.hidden[i];
    }
    this.tell('filter');
  }

  /** Selects points: instead of, together with ('add'), or out of ('remove') those that are. */
  select(points, how = 'replace') {
    if (how === 'replace') this.selected.fill(0);
    const value = how === 'remove' ? 0 : 1;
    for (const i of points) this.selected[i] = value;
    this.nSelected = this.selected.reduce((sum, one) => sum + one, 0);
    this.tell('selection');
  }

  /** The points that are selected, in order. */
  selection() {
    const points = [];
    for (let i = 0; i < this.data.n; i++) if (this.selected[i]) points.push(i);
    return points;
  }

  setMode(mode) {
    this.mode = mode;
    this.tell('mode');
  }

  setHover(i) {
    if (i === this.hover) return;
    this.hover = i;
    this.tell('hover');
  }

  setColumn(column) {
    this.column = column;
    this.tell('column');
  }

  setDark(dark) {
    this.dark = dark;
    this.shades = shades(this.data, dark);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    this.tell('theme');
  }
}

/** Points in a fixed random order, so that no class covers another by its place in the input. */
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 0x9e3779b9;
  for (let i = n - 1; i > 0; i--) {
    // Marsaglia's xorshift32.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Places [n, 3] of which the widest axis goes from −1 to 1; `scale` and `middle` lead there. */
function unit(data) {
  const { points, dims, n } = data;
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < dims; c++) {
      const x = points[dims * i + c];
      if (x < low[c]) low[c] = x;
      if (x > high[c]) high[c] = x;
    }
  }
  data.middle = low.map((x, c) => (c < dims ? x / 2 + high[c] / 2 : 0));
  const widest = Math.max(...low.map((x, c) => (c < dims ? high[c] / 2 - x / 2 : 0)));
  data.scale = widest > 0 ? 1 / widest : 1;
  const positions = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < dims; c++) positions[3 * i + c] = (points[dims * i + c] - data.middle[c]) * data.scale;
  }
  return positions;
}
