// The map itself: deck.gl draws it; where a point lies on the screen, and which is under the pointer, is computed here.
import { Deck, OrbitView, OrthographicView } from '@deck.gl/core';
import { Marks } from './marks.js';
import { colour, css, paint } from './colours.js';

/** Beyond so many points a pixel of a fine screen is drawn as one, not as several. */
const FINE_SCREENS = 300_000;
const GLIDE = 350; // ms
/** A view that moves is drawn in about this time: where all points take longer, with as many as fit; all again once it rests. */
const FLUENT = 60, REST = 220; // ms
/** Fewer points than these are always drawn. */
const FEWEST = 50_000;
const ON_TOP = { depthCompare: 'always', depthWriteEnabled: false };

export class Scene {
  constructor(app, parent) {
    this.app = app;
    this.parent = parent;
    this.flat = app.data.dims === 2;
    this.colours = null;
    /** Layers over the points: pictures. */
    this.extra = [];
    this.pictured = { points: [], side: 0 };
    const View = this.flat ? OrthographicView : OrbitView;
    this.view = new View({ id: 'map', ...(this.flat ? { flipY: false } : { orbitAxis: 'Y', fovy: 40 }) });
    /** The share of points that a moving view is drawn with, and whether it moves. */
    this.share = 1;
    this.moving = false;
    this.size = { width: parent.clientWidth || 800, height: parent.clientHeight || 600 };
    this.state = this.whole();
    const keyboard = { moveSpeed: 60, zoomSpeed: 2, rotateSpeedX: 8, rotateSpeedY: 8 };
    this.ready = new Promise((ready, failed) => {
      this.deck = new Deck({
        parent,
        width: '100%',
        height: '100%',
        views: this.view,
        viewState: this.state,
        controller: { keyboard, inertia: 200, scrollZoom: { speed: 0.006, smooth: false }, doubleClickZoom: true, touchRotate: true },
        useDevicePixels: app.data.n > FINE_SCREENS ? 1 : true,
        layers: [],
        // Marks smooth their own edges.
        deviceProps: { type: 'webgl', webgl: { antialias: false, failIfMajorPerformanceCaveat: false } },
        onViewStateChange: ({ viewState }) => {
          cancelAnimationFrame(this.gliding);
          this.look(viewState);
        },
        onResize: () => app.tell('view'),
        onAfterRender: () => this.pace(),
        onLoad: ready,
        onError: (error, layer) => {
          if (!layer) failed(error);
          console.error(error);
        },
        getCursor: ({ isDragging }) => (app.mode !== 'pan' ? 'crosshair' : app.hover !== null ? 'pointer' : isDragging ? 'grabbing' : 'grab'),
      });
    });
    const later = (what) => () => {
      this.stale = { ...this.stale, [what]: true };
      this.draw();
    };
    for (const what of ['filter', 'selection', 'search', 'column', 'theme']) app.on(what, later('colours'));
    for (const what of ['frame', 'view', 'style', 'pictures']) app.on(what, later('layers'));
    this.stale = { colours: true };
    for (const what of ['hover', 'frame', 'view', 'pictures', 'column', 'theme', 'style']) app.on(what, () => this.ring());
    new ResizeObserver(() => this.measure()).observe(parent);
  }

  measure() {
    // A view that is still the one the map was opened with follows the window.
    const fitted = !this.moved;
    this.size = { width: this.parent.clientWidth || 1, height: this.parent.clientHeight || 1 };
    if (fitted) this.look(this.whole());
    this.app.tell('view');
  }

  /** The view of the whole map: its points lie within 1 of the origin along each axis. */
  whole() {
    const { width, height } = this.size;
    // Below the title, and above the film's bar where there is one.
    const [above, below] = [60, this.app.data.frames ? 84 : 24];
    const room = Math.max(100, Math.min(width - 60, height - above - below));
    const zoom = Math.log2((room / 2) * (this.flat ? 0.97 : 0.88));
    const target = [0, (above - below) / 2 / 2 ** zoom, 0];
    const limits = { minZoom: zoom - 3, maxZoom: zoom + 16 };
    if (this.flat) return { target, zoom, ...limits };
    return { target, zoom, rotationX: 18, rotationOrbit: 30, minRotationX: -90, maxRotationX: 90, ...limits };
  }

  /** Takes a view. deck.gl's own may bring a transition along, and each axis' zoom, which would outlive a later `zoom`. */
  look({ zoomX, zoomY, ...state }) {
    this.state = state;
    const { zoom, target } = this.whole();
    this.moved = Math.abs(state.zoom - zoom) > 1e-6 || state.target.some((x, c) => Math.abs(x - target[c]) > 1e-6);
    this.deck?.setProps({ viewState: state });
    this.move();
    this.app.tell('view');
  }

  /** Says that the view moves, until it has rested for a while. */
  move() {
    if (this.app.data.n <= FEWEST) return;
    this.moving = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      this.moving = false;
      this.rendered = null;
      this.draw();
    }, REST);
  }

  /** Learns from the time between two pictures of a moving view how many points it can take. */
  pace() {
    const now = performance.now();
    const took = this.moving && this.rendered ? now - this.rendered : FLUENT;
    this.rendered = now;
    const wished = took > 1.5 * FLUENT || took < FLUENT / 2 ? this.share * Math.min(1.5, Math.max(0.1, FLUENT / took)) : this.share;
    this.share = Math.min(1, Math.max(FEWEST / this.app.data.n, wished));
  }

  /** Moves to a view, visibly unless the reader asked for less motion. */
  glide(to) {
    const from = Object.fromEntries(Object.keys(this.whole()).map((key) => [key, this.state[key]]));
    const start = performance.now();
    cancelAnimationFrame(this.gliding);
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return this.look({ ...from, ...to });
    const step = (now) => {
      const t = Math.min(1, Math.max(0, (now - start) / GLIDE));
      const s = t * t * (3 - 2 * t);
      const mix = (a, b) => (Array.isArray(a) ? a.map((x, k) => mix(x, b[k])) : a + (b - a) * s);
      const between = Object.fromEntries(Object.keys(to).map((key) => [key, mix(from[key], to[key])]));
      this.look({ ...from, ...(t < 1 ? between : to) });
      if (t < 1) this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }

  fit() {
    this.glide(this.whole());
  }

  zoomBy(by) {
    const { minZoom, maxZoom, zoom } = this.state;
    this.glide({ zoom: Math.min(maxZoom, Math.max(minZoom, zoom + by)) });
  }

  /** Moves to points so that all of them are seen. */
  show(points) {
    const { positions } = this.app;
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (const i of points) {
      for (let c = 0; c < 3; c++) {
        low[c] = Math.min(low[c], positions[3 * i + c]);
        high[c] = Math.max(high[c], positions[3 * i + c]);
      }
    }
    if (!(low[0] <= high[0])) return;
    const { width, height } = this.size;
    const { minZoom, maxZoom } = this.whole();
    const span = (c) => Math.max(high[c] - low[c], 1e-3);
    const zoom = this.flat
      ? Math.log2(Math.min((width - 160) / span(0), (height - 160) / span(1)))
      : Math.log2((0.7 * Math.min(width, height)) / Math.hypot(span(0), span(1), span(2)));
    this.glide({ target: low.map((x, c) => (x + high[c]) / 2), zoom: Math.min(maxZoom - 3, Math.max(minZoom, zoom)) });
  }

  viewport() {
    return this.view.makeViewport({ ...this.size, viewState: this.state });
  }

  /** Calls back with the place on the screen of every point that is not hidden: (i, x, y, depth). */
  each(tell) {
    const m = this.viewport().pixelProjectionMatrix;
    const { positions, hidden, data } = this.app;
    for (let i = 0; i < data.n; i++) {
      if (hidden[i]) continue;
      const x = positions[3 * i], y = positions[3 * i + 1], z = positions[3 * i + 2];
      const w = m[3] * x + m[7] * y + m[11] * z + m[15];
      if (w <= 0) continue;
      tell(i, (m[0] * x + m[4] * y + m[8] * z + m[12]) / w, (m[1] * x + m[5] * y + m[9] * z + m[13]) / w, w);
    }
  }

  /** The place of one point on the screen. */
  place(i, viewport = this.viewport()) {
    const { positions } = this.app;
    return viewport.project([positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]]);
  }

  /** The point under the pointer: the nearest one that it touches; in depth the foremost. Null if there is none. */
  under(x, y) {
    const viewport = this.viewport();
    const shown = this.pictured.points.findLast((i) => {
      const [px, py] = this.place(i, viewport);
      return Math.max(Math.abs(px - x), Math.abs(py - y)) <= this.pictured.side / 2;
    });
    if (shown !== undefined) return shown;
    const reach = Math.max(this.radius() * 1.2, 5);
    let [best, least] = [null, Infinity];
    this.each((i, px, py, depth) => {
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away > reach * reach) return;
      const rank = this.flat ? away : depth + 1e-4 * away;
      if (rank < least) [best, least] = [i, rank];
    });
    return best;
  }

  /** Radius of a point in pixels: so that all together could cover a tenth of the map, growing slowly as one zooms in. */
  radius() {
    const { width, height } = this.size;
    const side = Math.min(width, height);
    const at = Math.min(5, Math.max(0.9, side * Math.sqrt(0.1 / (Math.PI * this.app.data.n))));
    const closer = Math.max(0, this.state.zoom - this.whole().zoom);
    return Math.min(at * 2 ** (0.33 * closer), Math.max(at, 9)) * 2 ** this.app.style.size;
  }

  /** A ring around the point that the pointer is on: over the map and not in it, so that nothing else is drawn again. */
  ring() {
    const { hover } = this.app;
    const ring = document.querySelector('#lasso circle');
    const seen = hover !== null && !this.pictured.points.includes(hover);
    ring.setAttribute('visibility', seen ? 'visible' : 'hidden');
    if (!seen) return;
    const [x, y] = this.place(hover);
    const attributes = { cx: x, cy: y, r: this.radius() + 1.5, fill: css(colour(this.app, hover).rgb) };
    for (const [name, value] of Object.entries(attributes)) ring.setAttribute(name, value);
  }

  /** Draws before the next picture, once for all that has changed until then. */
  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { app } = this;
    if (this.stale?.colours) this.colours = paint(app);
    this.stale = null;
    if (!this.colours || !this.deck) return;
    const radius = this.radius();
    const hex = getComputedStyle(document.documentElement).getPropertyValue('--page').trim();
    const shared = {
      page: [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255).concat(1),
      parameters: this.flat ? ON_TOP : { depthCompare: 'less-equal', depthWriteEnabled: true },
    };
    if (this.drawn?.placed !== app.placed || this.drawn?.colours !== this.colours) {
      const attributes = { getPosition: { value: app.placed, size: 3 }, getColor: { value: this.colours, size: 4, normalized: true } };
      this.drawn = { placed: app.placed, colours: this.colours, data: { length: app.data.n, attributes } };
    }
    const layers = [
      new Marks({
        ...shared,
        id: 'points',
        data: this.drawn.data,
        share: this.moving ? this.share : 1,
        radius,
        opacity: app.style.opacity,
        dimmed: Math.min(0.16, app.style.opacity * 0.4),
        haze: this.flat ? 0 : 0.75,
        solid: this.flat ? 0 : 1,
      }),
      ...this.extra,
    ];
    this.deck.setProps({ layers });
  }

  /** The picture as it is, on a canvas of its own. */
  snapshot() {
    this.drawNow();
    this.deck.redraw('snapshot');
    const canvas = this.deck.getCanvas();
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    copy.getContext('2d').drawImage(canvas, 0, 0);
    return copy;
  }
}
