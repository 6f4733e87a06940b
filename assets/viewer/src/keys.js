// One list of keys: what they do, and what the page says of them.
import { element } from './facts.js';

export function keys(app, scene, actions) {
  const help = document.getElementById('keys');
  const list = [
    [['/'], 'search; Enter selects what is found', actions.search],
    [['v'], 'move and zoom', () => app.setMode('pan')],
    [['b'], 'select by a box (also Shift and drag, in two dimensions)', () => app.setMode('box')],
    [['l'], 'select by a lasso; Shift adds, Alt takes away', () => app.setMode('lasso')],
    [['a'], 'select all that is shown', actions.all],
    [['Escape'], 'stop searching, then select nothing', actions.escape],
    [['z'], 'zoom to the selection', () => scene.show(app.selection())],
    [['0'], 'the whole map', () => scene.fit()],
    [['+', '='], 'closer', () => scene.zoomBy(0.6)],
    [['-', '_'], 'farther', () => scene.zoomBy(-0.6)],
    [['[', ']'], 'colour by the column before or after', actions.column],
    [['r'], 'show all that is hidden', () => app.tell('reset')],
    [['c'], 'save the selection as CSV', actions.table],
    [['p'], 'save this view as PNG', actions.picture],
    ...(app.data.pictures ? [[['t'], 'pictures: when near, always, never', () => document.getElementById('thumbs').click()]] : []),
    ...(app.data.frames ? [[[' '], 'play the frames', actions.play], [[',', '.'], 'a frame back or on', actions.step]] : []),
    [['d'], 'dark or light', actions.theme],
    [['s'], 'side panel', actions.panel],
    [['?'], 'this list', actions.help],
  ];
  const shown = (key) => ({ ' ': 'Space', Escape: 'Esc', '-': '−' })[key] ?? key.toUpperCase();
  const rows = [
    ...list.map(([some, what]) => [some.filter((key) => !['=', '_'].includes(key)).map(shown), what]),
    [['←', '↑', '↓', '→'], scene.flat ? 'move the map' : 'turn the map; Shift and drag moves it'],
  ];
  help.querySelector('dl').append(
    ...rows.flatMap(([some, what]) => [element('dt', {}, ...some.flatMap((key) => [element('kbd', {}, key), ' '])), element('dd', {}, what)]),
  );
  addEventListener('keydown', (event) => {
    const typing = event.target.closest?.('input:not([type="range"]), select, textarea');
    if (event.ctrlKey || event.metaKey || event.altKey || typing || help.open) return;
    // On a button these two press it.
    if ([' ', 'Enter'].includes(event.key) && event.target.closest?.('button, summary')) return;
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const entry = list.find(([some]) => some.includes(pressed));
    if (!entry) return;
    event.preventDefault();
    event.stopPropagation();
    entry[2](pressed);
  }, true);
}
