// The pictures that points stand for, at their places: few from afar, more as one zooms in, none over another.
import { IconLayer } from '@deck.gl/layers';
import { DIMMED, Marks, PLAIN, SQUARE, SQUARE_HALF, code } from './marks.js';
import { colour } from './colours.js';

/** Spacings go down by this factor from level to level. */
const FINER = 2 ** 0.25;
/** No picture at a closer spacing than this share of the map, and none beyond so many at once. */
const LEVELS = 60;
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
 * For each point the first level at which its picture is shown: at level l all pictures shown lie at least FINER^-l apart (along an
 * axis). So what is shown stays while one zooms in, and others come between.
 */
function levels(app) {
  const { data, positions, order } = app;
  const level = new Uint8Array(data.n).fill(LEVELS);
  let waiting = Array.from(order);
  const shown = [];
  for (let l = 0; l < LEVELS && waiting.length; l++) {
    const spacing = 2 * FINER ** -l;
    const cells = new Map();
    const cell = (i, a, b, c) =>
      (Math.floor(positions[3 * i] / spacing) + a) * 2 ** 32 + (Math.floor(positions[3 * i + 1] / spacing) + b) * 2 ** 16 + Math.floor(positions[3 * i + 2] / spacing) + c;
    const put = (i) => {
      const key = cell(i, 0, 0, 0);
      if (cells.has(key)) cells.get(key).push(i);
      else cells.set(key, [i]);
    };
    const depths = data.dims === 3 ? [-1, 0, 1] : [0];
    const free = (i) => {
      for (const a of [-1, 0, 1]) for (const b of [-1, 0, 1]) for (const c of depths) {
        for (const j of cells.get(cell(i, a, b, c)) ?? []) {
          const near = (axis) => Math.abs(positions[3 * i + axis] - positions[3 * j + axis]) < spacing;
          if (near(0) && near(1) && near(2)) return false;
        }
      }
      return true;
    };
    shown.forEach(put);
    waiting = waiting.filter((i) => {
      if (!free(i)) return true;
      level[i] = l;
      shown.push(i);
      put(i);
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
  let level = null, of = null;
  let turn = 0;
  button.hidden = false;

  /** Longer side of a picture: it grows slowly as one zooms in. */
  const side = () => Math.min(LARGE, Math.max(SMALL, SMALL * 2 ** (0.22 * (scene.state.zoom - scene.whole().zoom))));

  /** The level whose spacing holds a picture on the screen now. */
  const now = () => Math.floor(Math.log(2 * 2 ** scene.state.zoom / (side() + ROOM)) / Math.log(FINER));

  /** Points to show: those in view whose level is reached. From afar, before one has zoomed in, none. */
  const wanted = () => {
    if (when === 'never') return [];
    if (of !== app.positions) [level, of] = [levels(app), app.positions];
    const reached = now();
    const points = [];
    const { width: w, height: h } = scene.size;
    let inView = 0;
    scene.each((i, x, y) => {
      if (x < -LARGE || y < -LARGE || x > w + LARGE || y > h + LARGE) return;
      inView++;
      if (level[i] <= reached && points.length < MOST) points.push(i);
    });
    // Near enough when a good part of what is in view can be shown.
    return when === 'always' || points.length >= 0.12 * inView ? points : [];
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
