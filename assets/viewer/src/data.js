// Reads what the page brings: the head (JSON) and its parts (base64 in elements of their own; see src/render/html.rs, which writes them).

/** Lets the page draw and answer between two parts. */
export const breath = () => new Promise((done) => setTimeout(done));

/** The bytes of a part. Its text is let go, as a page of a million points holds many of them. */
function bytes(name) {
  const element = document.getElementById(`part-${name}`);
  const text = element.textContent;
  element.remove();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const all = new Uint8Array(binary.length);
  for (let i = 0; i < all.length; i++) all[i] = binary.charCodeAt(i);
  return all;
}

/** The inflated bytes of a part. */
async function inflated(name) {
  await breath();
  const stream = new Blob([bytes(name)]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

const json = async (name) => JSON.parse(new TextDecoder().decode(await inflated(name)));

/**
 * A column: `codes` into `names` with `counts` (classes), or `values` between `low` and `high` (numbers).
 */
async function column(head, index) {
  const buffer = await inflated(`column-${index}`);
  if (head.kind === 'classes') {
    const codes = new { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[head.bytes](buffer);
    const names = await json(`column-${index}-names`);
    const counts = new Uint32Array(names.length);
    for (const code of codes) counts[code]++;
    return { ...head, codes, names, counts, text: (i) => names[codes[i]] };
  }
  const values = new { 4: Float32Array, 8: Float64Array }[head.bytes](buffer);
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { ...head, values, low, high, text: (i) => exact(values[i], head.bytes) };
}

/** The fewest digits that are read back as the same number of so many bytes. */
export function exact(value, size) {
  if (size === 8) return String(value);
  for (let digits = 6; digits < 9; digits++) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return String(text);
  }
  return String(Number(value.toPrecision(9)));
}

/** A number for people. */
export function short(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(5)));
  return text.replace('e+', 'e').replace(/-/g, '−');
}

/** All but the frames: `points` [n, dims] as in the map, `ids`, `columns`, `pictures`. */
export async function read() {
  const head = JSON.parse(document.getElementById('head').textContent);
  const points = new Float32Array(await inflated('points'));
  const columns = [];
  for (const [index, about] of head.columns.entries()) columns.push(await column(about, index));
  const ids = head.ids ? await json('ids') : null;
  const slots = head.pictures ? new Uint32Array(await inflated('slots')) : null;
  const pictures = slots && { ...head.pictures, slots, sheet: sheets(head.pictures.sheets) };
  return { ...head, n: head.points, points, columns, ids, pictures };
}

/** Sheets of pictures, unpacked when they are first asked for; the last few dozen are kept. */
function sheets(count) {
  const files = Array.from({ length: count }, () => null);
  const kept = new Map();
  return (k) => {
    let sheet = kept.get(k);
    if (sheet) kept.delete(k);
    files[k] ??= new Blob([bytes(`sheet-${k}`)], { type: 'image/png' });
    sheet ??= createImageBitmap(files[k]);
    kept.set(k, sheet);
    for (const [old] of kept) {
      if (kept.size <= 32) break;
      kept.delete(old);
    }
    return sheet;
  };
}

/** The steps [n, dims] of frame `k`, as u16 from `low` to `high`. */
export const frame = async (k) => new Uint16Array(await inflated(`frame-${k}`));
