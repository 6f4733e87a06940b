// The pictures that points stand for, at their places: few from afar, more as one zooms in, none over another.
import { IconLayer } from '@deck.gl/layers';
import { DIMMED, Marks, PLAIN, SQUARE, SQUARE_HALF, code } from './marks.js';
import { colour } from './colours.js';

/** Grids that the points are sorted into, each of half the cells' width of the one before. */
const LEVELS = 17;
/** No more pictures than these at once. */
const MOST = 3000;
/** Longer side of a picture on the screen, from afar and from near, and room around it. */
const SMALL = 34, LARGE = 76, ROOM = 6; // px

/** Where the picture of point `i` lies: its sheet, once unpacked, and its corner there. */
export async function picture({ pictures }, i) {
  const { k, x, y } = slot(pictures, i);
  return { sheet: await pictures.sheet(k), x, y };
}

function slot({ slots, columns, rows, width, height }, i) {
  const place = slots[i] % (columns * rows);
  return {
    k: Math.floor(slots[i] / (columns * rows)),
    x: (place % columns) * (width + 2) + 1,
    y: Math.floor(place / columns) * (height + 2) + 1,
  };
}

/**
 * For each point the first grid in which it is the first of its cell, in the order of drawing. Points of the first grids lie far apart,
 * and are still there in all that follow: so what is shown stays while one zooms in, and others come between.
 */
function levels({ data, final, order }) {
  const level = new Uint8Array(data.n).fill(LEVELS);
  let waiting = order;
  for (let l = 0; l < LEVELS; l++) {
    const cells = 2 ** l;
    const cell = (x) => Math.min(cells - 1, Math.floor(((x + 1) / 2) * cells));
    const taken = new Set();
    const key = (i) => (cell(final[3 * i]) * cells + cell(final[3 * i + 1])) * (data.dims === 3 ? cells : 1) + (data.dims === 3 ? cell(final[3 * i + 2]) : 0);
    for (const i of order) if (level[i] < l) taken.add(key(i));
    waiting = waiting.filter((i) => {
      if (taken.has(key(i))) return true;
      taken.add(key(i));
      level[i] = l;
      return false;
    });
  }
  return level;
}

export function pictureLayers(app, scene) {
  const { data } = app;
  const button = document.getElementById('thumbs');
  if (!data.pictures) return;
  const { width, height } = data.pictures;
  let when = 'near';
  let level = null, rank = null;
  let turn = 0;
  button.hidden = false;

  /** Longer side of a picture: it grows slowly as one zooms in. */
  const side = () => Math.min(LARGE, Math.max(SMALL, SMALL * 2 ** (0.22 * (scene.state.zoom - scene.whole().zoom))));

  /** Points whose pictures are shown: those in view that do not cover one of an earlier level. From afar none, and none on the way. */
  const wanted = () => {
    if (when === 'never' || app.positions !== app.final) return [];
    const { width: w, height: h } = scene.size;
    const spacing = side() + ROOM;
    const inView = [];
    scene.each((i, x, y) => {
      if (x > -LARGE && y > -LARGE && x < w + LARGE && y < h + LARGE) inView.push([i, x, y]);
    });
    // Near enough when a good part of what is in view could be shown.
    const room = ((w + LARGE) * (h + LARGE)) / spacing ** 2;
    const enough = 0.12 * inView.length;
    if (when === 'near' && room < enough) return [];
    if (!level) {
      level = levels(app);
      rank = new Uint32Array(data.n);
      app.order.forEach((i, k) => (rank[i] = k));
    }
    // Cells of this level are narrower than a picture, so that there are enough to choose from.
    const reached = Math.ceil(Math.log2((2 * 2 ** scene.state.zoom) / spacing)) + 1;
    const places = inView.filter(([i]) => level[i] <= reached);
    places.sort(([i], [j]) => level[i] - level[j] || rank[i] - rank[j]);
    const cells = new Map();
    const points = [];
    for (const place of places) {
      const [i, x, y] = place;
      const [column, row] = [Math.floor(x / spacing), Math.floor(y / spacing)];
      const around = [-1, 0, 1].flatMap((a) => [-1, 0, 1].flatMap((b) => cells.get(`${column + a} ${row + b}`) ?? []));
      if (around.some(([, px, py]) => Math.abs(px - x) < spacing && Math.abs(py - y) < spacing)) continue;
      const key = `${column} ${row}`;
      if (cells.has(key)) cells.get(key).push(place);
      else cells.set(key, [place]);
      points.push(i);
      if (points.length === MOST) break;
    }
    return when === 'always' || points.length >= enough ? points : [];
  };

  const renew = async () => {
    const mine = ++turn;
    const points = wanted();
    const size = side();
    const bySheet = new Map();
    for (const i of points) {
      const place = slot(data.pictures, i);
      if (!bySheet.has(place.k)) bySheet.set(place.k, []);
      bySheet.get(place.k).push({ i, ...place });
    }
    const sheets = await Promise.all([...bySheet].map(async ([k, places]) => ({ k, places, sheet: await data.pictures.sheet(k) })));
    if (mine !== turn) return;
    const at = ({ i }) => Array.from(app.positions.subarray(3 * i, 3 * i + 3));
    const parameters = { depthCompare: scene.flat ? 'always' : 'less-equal', depthWriteEnabled: !scene.flat };
    const frames = new Marks({
      id: 'borders',
      data: points.map((i) => ({ i })),
      parameters,
      radius: (size / 2 + 2.5) / SQUARE_HALF,
      getPosition: at,
      getColor: ({ i }) => {
        const faint = (app.nSelected > 0 || app.matched) && !app.selected[i] && !app.matched?.[i];
        return [...colour(app, i).rgb, code(SQUARE, faint ? DIMMED : PLAIN)];
      },
      dimmed: 0.25,
    });
    const square = Math.abs(width - height) <= 0.1 * Math.max(width, height);
    scene.extra = [
      ...(square ? [frames] : []),
      ...sheets.map(
        ({ k, places, sheet }) =>
          new IconLayer({
            id: `sheet-${k}`,
            data: places,
            iconAtlas: sheet,
            iconMapping: Object.fromEntries(places.map(({ i, x, y }) => [i, { x, y, width, height, mask: false }])),
            textureParameters: Math.max(width, height) <= 20 ? { minFilter: 'nearest', magFilter: 'nearest' } : { minFilter: 'linear', magFilter: 'linear' },
            parameters,
            getIcon: ({ i }) => String(i),
            getPosition: at,
            getSize: height,
            sizeScale: size / Math.max(width, height),
            getColor: ({ i }) => [255, 255, 255, (app.nSelected > 0 || app.matched) && !app.selected[i] && !app.matched?.[i] ? 70 : 255],
            alphaCutoff: 0,
          }),
      ),
    ];
    scene.pictured = { points, side: size };
    app.tell('pictures');
  };
  let due = null;
  const soon = () => {
    if (due === null) due = setTimeout(() => {
      due = null;
      renew();
    }, 60);
  };
  for (const what of ['view', 'filter', 'selection', 'search', 'column', 'theme', 'frame']) app.on(what, soon);
  const next = () => {
    when = { near: 'always', always: 'never', never: 'near' }[when];
    button.setAttribute('aria-pressed', String(when === 'always'));
    button.title = `Pictures: ${{ near: 'when near', always: 'always', never: 'never' }[when]} (T)`;
    button.style.opacity = when === 'never' ? 0.4 : 1;
    soon();
  };
  button.addEventListener('click', next);
  soon();
}
