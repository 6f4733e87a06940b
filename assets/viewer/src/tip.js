// What the pointer is on.
import { facts, portrait } from './facts.js';

export function tip(app, scene, selection) {
  const [place, map] = ['tip', 'map'].map((id) => document.getElementById(id));
  let asked = null;
  let at = null;
  const look = () => {
    asked = null;
    app.setHover(at && !selection.dragging() ? scene.under(...at) : null);
    put();
  };
  const later = () => {
    asked ??= requestAnimationFrame(look);
  };
  const put = () => {
    if (app.hover === null || !at) return;
    const { width, height } = scene.size;
    const { offsetWidth, offsetHeight } = place;
    const x = at[0] + 16 + offsetWidth > width ? at[0] - 14 - offsetWidth : at[0] + 16;
    const y = Math.min(at[1] + 14, height - offsetHeight - 8);
    place.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  };
  map.addEventListener('pointermove', (event) => {
    const { left, top } = map.getBoundingClientRect();
    at = event.pointerType === 'touch' ? null : [event.clientX - left, event.clientY - top];
    later();
  }, true);
  map.addEventListener('pointerleave', () => {
    at = null;
    later();
  });
  app.on('hover', () => {
    place.hidden = app.hover === null;
    if (place.hidden) return;
    place.replaceChildren(...(app.data.pictures ? [portrait(app, app.hover, 128)] : []), facts(app, app.hover));
    put();
  });
  for (const what of ['view', 'frame']) app.on(what, () => at && later());
}
