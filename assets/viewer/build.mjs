// Bundles the viewer: `npm ci && npm run build` makes dist/ from src/ and the packages of package-lock.json; `npm run check` compares
// what lies there with what they make. The same sources give the same bytes.
import { build } from 'esbuild';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

process.chdir(import.meta.dirname);
const check = process.argv.includes('--check');

/** deck.gl brings each of its shaders in GLSL and in WGSL; the page draws by WebGL, so the WGSL is left out. */
const withoutWgsl = {
  name: 'without-wgsl',
  setup({ onLoad }) {
    onLoad({ filter: /@(deck|luma)\.gl[\\/].*[.-]wgsl(-integer)?\.js$/ }, ({ path }) => {
      const exported = readFileSync(path, 'utf8').matchAll(/^export (default|function (\w+)|const (\w+))/gm);
      const empty = ([, what, made, constant]) =>
        what === 'default' ? "export default '';" : made ? `export const ${made} = () => '';` : `export const ${constant} = '';`;
      return { contents: [...exported].map(empty).join('\n') };
    });
  },
};

const common = { bundle: true, minify: true, write: false, target: ['chrome103', 'firefox113', 'safari16.4'], logLevel: 'warning' };
const script = await build({
  ...common,
  entryPoints: ['src/main.js'],
  format: 'iife',
  metafile: true,
  legalComments: 'none',
  define: { 'process.env.NODE_ENV': '"production"' },
  plugins: [withoutWgsl],
});
const style = await build({ ...common, entryPoints: ['src/style.css'] });
if (process.argv.includes('--sizes')) {
  const sizes = {};
  for (const [file, { bytesInOutput }] of Object.entries(Object.values(script.metafile.outputs)[0].inputs)) {
    const name = file.match(/node_modules\/((@[^/]+\/)?[^/]+)/)?.[1] ?? 'src';
    sizes[name] = (sizes[name] ?? 0) + bytesInOutput;
  }
  console.table(sizes);
}

/** The licence of every package of which something is in the bundle. */
function licences() {
  const inputs = Object.entries(Object.values(script.metafile.outputs)[0].inputs);
  const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const names = used.map(([file]) => file.match(/node_modules\/((@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean);
  const parts = [...new Set(names)].sort().map((name) => {
    const folder = join('node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
    if (!file) throw new Error(`${name}@${version} (${license}) brings no licence`);
    const text = readFileSync(join(folder, file), 'utf8').replace(/\r/g, '').trim();
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return `Packages of which the viewer's bundle holds parts, each under its licence.\n\n${parts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

const made = {
  'dist/viewer.min.js': script.outputFiles[0].text,
  'dist/viewer.min.css': style.outputFiles[0].text,
  'dist/LICENSES': licences(),
};
mkdirSync('dist', { recursive: true });
for (const [file, text] of Object.entries(made)) {
  if (check && readFileSync(file, 'utf8') !== text) throw new Error(`${file} is not what the sources make: npm run build`);
  if (!check) writeFileSync(file, text);
  console.log(`${file}: ${text.length} characters`);
}
