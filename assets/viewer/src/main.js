// Puts the page together.
import { App } from './app.js';
import { chosen, saveTable } from './chosen.js';
import { breath, read } from './data.js';
import { film } from './film.js';
import { keys } from './keys.js';
import { legend } from './legend.js';
import { pictureLayers } from './pictures.js';
import { shoot } from './save.js';
import { Scene } from './scene.js';
import { searching } from './search.js';
import { selecting } from './select.js';
import { tip } from './tip.js';

const $ = (id) => document.getElementById(id);

async function main() {
  await breath();
  const data = await read();
  const app = new App(data);
  $('title').textContent = data.title;
  $('caption').textContent = data.caption;

  const system = matchMedia('(prefers-color-scheme: dark)');
  app.setDark(system.matches);
  let chose = false;
  system.addEventListener('change', () => chose || app.setDark(system.matches));
  const theme = () => {
    chose = true;
    app.setDark(!app.dark);
  };

  const scene = new Scene(app, $('map'));
  const selection = selecting(app, scene);
  tip(app, scene, selection);
  legend(app);
  searching(app, scene);
  chosen(app, scene);

  const columns = [...data.columns, null];
  let playing = null;
  const actions = {
    search: () => {
      document.body.classList.remove('folded');
      $('search').focus();
    },
    all: () => app.select(Array.from(app.hidden.keys()).filter((i) => !app.hidden[i])),
    escape: () => {
      if (app.matched) {
        $('search').value = '';
        app.matched = null;
        app.tell('search');
      } else if (app.nSelected) app.select([]);
      else app.setMode('pan');
    },
    column: (key) => app.setColumn(columns[(columns.indexOf(app.column) + (key === ']' ? 1 : columns.length - 1)) % columns.length]),
    table: () => saveTable(app),
    picture: () => shoot(app, scene),
    play: () => playing?.play(),
    step: (key) => playing?.go(Math.round(Number($('frame').value)) + (key === '.' ? 1 : -1)),
    theme,
    panel: () => {
      const folded = document.body.classList.toggle('folded');
      $('fold').setAttribute('aria-expanded', String(!folded));
    },
    help: () => $('keys').showModal(),
  };
  keys(app, scene, actions);
  const pressed = { theme, help: actions.help, shoot: actions.picture, fold: actions.panel, fit: () => scene.fit(), closer: () => scene.zoomBy(0.6), farther: () => scene.zoomBy(-0.6) };
  for (const [id, action] of Object.entries(pressed)) $(id).addEventListener('click', action);

  $('opacity').value = app.style.opacity;
  $('size').addEventListener('input', () => {
    app.style.size = Number($('size').value);
    app.tell('style');
  });
  $('opacity').addEventListener('input', () => {
    app.style.opacity = Number($('opacity').value);
    app.tell('style');
  });
  if (innerWidth < 720) actions.panel();

  await scene.ready;
  scene.drawNow();
  pictureLayers(app, scene);
  // For the console: what is selected, what is where, and selecting by program.
  window.nearfield = { app, scene, data };
  $('busy').remove();
  playing = await film(app);
  window.nearfield.film = playing;
  window.nearfield.ready = true;
}

main().catch((error) => {
  console.error(error);
  const text = /webgl/i.test(error.message) ? 'This browser gives the page no WebGL, which draws the map.' : 'The page cannot be read.';
  $('busy').textContent = `${text}\n${error.message}`;
});
