// The run's frames: a slider from the start to the map, and playing it. Between two frames points move evenly.
import { breath, frame } from './data.js';

const PER_SECOND = 14; // frames

export async function film(app) {
  const { data } = app;
  if (!data.frames) return null;
  const { iterations, low, high } = data.frames;
  const last = iterations.length - 1;
  const [place, slider, said, button] = ['film', 'frame', 'iteration', 'play'].map((id) => document.getElementById(id));
  const frames = [];
  for (let k = 0; k <= last; k++) frames.push(await frame(k));
  await breath();

  /** The points of time t, 0 to `last`, into the page's own scale. */
  function between(t) {
    const k = Math.min(Math.floor(t), Math.max(last - 1, 0));
    const [a, b, s] = [frames[k], frames[Math.min(k + 1, last)], t - k];
    const { n, dims, middle, scale } = data;
    const positions = new Float32Array(3 * n);
    for (let c = 0; c < dims; c++) {
      const step = ((high[c] - low[c]) / 65535) * scale;
      const from = (low[c] - middle[c]) * scale;
      for (let i = 0, at = c; i < n; i++, at += dims) positions[3 * i + c] = from + step * (a[at] + s * (b[at] - a[at]));
    }
    return positions;
  }

  let t = last;
  let playing = null;
  const say = () => {
    const k = Math.min(Math.floor(t), Math.max(last - 1, 0));
    const at = last === 0 ? iterations[0] : iterations[k] + (t - k) * (iterations[k + 1] - iterations[k]);
    said.textContent = `iteration ${Math.round(at).toLocaleString('en')}`;
    slider.value = t;
    slider.setAttribute('aria-valuetext', said.textContent);
    button.setAttribute('aria-pressed', String(playing !== null));
  };
  const go = (to) => {
    t = Math.min(last, Math.max(0, to));
    app.setHover(null);
    // At the end stands the map itself, which is more exact than its frame.
    app.place(t === last ? app.final : between(t));
    say();
  };
  const stop = () => {
    cancelAnimationFrame(playing);
    playing = null;
    say();
  };
  const play = () => {
    if (playing !== null) return stop();
    let [from, start] = [t >= last ? 0 : t, performance.now()];
    const step = (now) => {
      const to = from + ((now - start) / 1000) * PER_SECOND;
      go(to);
      if (to >= last) stop();
      else playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
    say();
  };
  slider.max = last;
  slider.addEventListener('input', () => {
    if (playing !== null) stop();
    go(Number(slider.value));
  });
  button.addEventListener('click', play);
  place.hidden = false;
  say();
  return { play, go, stop, last };
}
