// Selecting with the pointer: a box, a lasso, or a click on a point. Shift adds, Alt takes away.

/** Shorter ways of the pointer are clicks. */
const CLICK = 4; // px

const how = (event) => (event.altKey ? 'remove' : event.shiftKey ? 'add' : 'replace');

/** Whether (x, y) lies in a polygon, by the even-odd rule. */
function inside(path, x, y) {
  let within = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [xi, yi] = path[i], [xj, yj] = path[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

/** The points of the map whose places lie in a polygon. */
export function enclosed(scene, path) {
  const xs = path.map(([x]) => x), ys = path.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const found = [];
  scene.each((i, x, y) => {
    if (x >= left && x <= right && y >= top && y <= bottom && inside(path, x, y)) found.push(i);
  });
  return found;
}

export function selecting(app, scene) {
  const stage = document.getElementById('stage');
  const map = document.getElementById('map');
  const outline = document.querySelector('#lasso path');
  let drag = null;

  const at = (event) => {
    const { left, top } = map.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const box = ([a, b], [c, d]) => [[a, b], [c, b], [c, d], [a, d]];
  const draw = (path) => outline.setAttribute('d', path.length ? `M${path.map((p) => p.join(' ')).join('L')}Z` : '');

  // Before deck.gl hears of it, which would move the map.
  map.addEventListener(
    'pointerdown',
    (event) => {
      if (event.button !== 0 || drag) return;
      const kind = app.mode !== 'pan' ? app.mode : event.shiftKey && scene.flat ? 'box' : null;
      drag = { kind, start: at(event), path: [at(event)], how: how(event), pointer: event.pointerId };
      // A box that was begun with Shift from the pan tool is a new selection.
      if (app.mode === 'pan' && kind) drag.how = event.altKey ? 'remove' : 'replace';
      if (!kind) return;
      event.stopImmediatePropagation();
      map.setPointerCapture(event.pointerId);
    },
    true,
  );
  map.addEventListener(
    'pointermove',
    (event) => {
      if (!drag?.kind || event.pointerId !== drag.pointer) return;
      event.stopImmediatePropagation();
      const here = at(event);
      const [x, y] = drag.path.at(-1);
      if (drag.kind === 'box') drag.path = box(drag.start, here);
      else if (Math.hypot(here[0] - x, here[1] - y) >= 2) drag.path.push(here);
      draw(drag.path);
    },
    true,
  );
  map.addEventListener(
    'pointerup',
    (event) => {
      if (!drag || event.pointerId !== drag.pointer) return;
      const { kind, start, path, how: mode } = drag;
      drag = null;
      draw([]);
      const [x, y] = at(event);
      if (kind) event.stopImmediatePropagation();
      if (kind && path.length > 2 && path.some(([px, py]) => Math.hypot(px - start[0], py - start[1]) > CLICK)) {
        app.select(enclosed(scene, path), mode);
      } else if (Math.hypot(x - start[0], y - start[1]) <= CLICK) {
        const point = scene.under(x, y);
        if (point !== null) app.select([point], app.selected[point] && mode === 'add' ? 'remove' : mode);
        else if (mode === 'replace' && app.nSelected) app.select([]);
      }
    },
    true,
  );
  map.addEventListener('pointercancel', () => {
    drag = null;
    draw([]);
  });

  const tools = [...document.querySelectorAll('#tools [data-mode]')];
  const show = () => {
    stage.dataset.mode = app.mode;
    for (const tool of tools) tool.setAttribute('aria-pressed', String(tool.dataset.mode === app.mode));
  };
  for (const tool of tools) tool.addEventListener('click', () => app.setMode(tool.dataset.mode));
  app.on('mode', show);
  show();
  return { dragging: () => drag !== null };
}
