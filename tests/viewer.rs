//! The page `map.html` in a real browser: drawn pixels are counted, and everything is done by mouse and keyboard.
//!
//! Without Chromium the tests say so and skip; `NEARFIELD_REQUIRE_BROWSER=1` makes that a failure.

#[path = "common/browser.rs"]
mod browser;

use browser::Browser;
use image::RgbImage;
use ndarray::Array2;
use nearfield::data::{Column, Frame, Labels, Pictures};
use nearfield::render::{self, Map};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Points of the test's map, in a lattice of `ACROSS` columns.
const N: usize = 200;
const ACROSS: usize = 20;

/// What hostile names look like.
const HOSTILE: &str = "</script><img src=x onerror=\"window.hurt=1\"> \u{202e}&amp; \u{1F60A} \"',\n";

/// A map that is easy to count: a lattice, its left half one class, its right half two.
struct Example {
    points: Array2<f32>,
    labels: Labels,
    ids: Vec<String>,
    columns: Vec<Column>,
    pictures: Pictures,
    frames: Vec<Frame>,
}

impl Example {
    fn new(dims: usize) -> Example {
        let place = |i: usize, c: usize| match c {
            0 => (i % ACROSS) as f32,
            1 => (i / ACROSS) as f32,
            _ => ((i * 7) % 10) as f32,
        };
        let points = Array2::from_shape_fn((N, dims), |(i, c)| place(i, c));
        let class = |i: usize| match i % ACROSS {
            0..10 => 0,
            10..15 => 1,
            _ => 2,
        };
        let names = vec!["apples".to_owned(), HOSTILE.to_owned(), String::new()];
        let frame = |(k, iteration): (usize, usize)| Frame { iteration, points: &points * (k as f32 / 2.0) };
        Example {
            labels: Labels::Classes { names, of: (0..N).map(class).collect() },
            ids: (0..N).map(|i| format!("{HOSTILE} row-{i:03}")).collect(),
            columns: vec![
                Column { name: "height".into(), values: Labels::Numbers((0..N).map(|i| i as f64 / 10.0).collect()) },
                Column {
                    name: HOSTILE.into(),
                    values: Labels::Classes {
                        names: (0..N).map(|i| format!("name {i}")).collect(),
                        of: (0..N as u32).collect(),
                    },
                },
            ],
            pictures: Pictures {
                width: 8,
                height: 8,
                channels: 3,
                bytes: (0..N).flat_map(|i| [255, 0, (i % 256) as u8].repeat(64)).collect(),
            },
            frames: [0, 10, 20].into_iter().enumerate().map(frame).collect(),
            points,
        }
    }

    fn map(&self) -> Map<'_> {
        Map {
            labels: Some(&self.labels),
            ids: Some(&self.ids),
            columns: &self.columns,
            title: HOSTILE,
            caption: "t-SNE of 200 points · KL 0.123 · <b>not bold</b>",
            ..Map::new(self.points.view())
        }
    }
}

/// A page in a folder that lasts as long as it.
struct Page(tempfile::TempDir);

impl Page {
    fn of(map: &Map) -> Page {
        let page = Page(tempfile::tempdir().expect("a folder"));
        render::write(&page.path(), map).expect("it is written");
        page
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("map.html")
    }
}

/// Where the pixels of the map are: left of the panel and of the tools, below the title.
const LEFT: u32 = 0;
const RIGHT: u32 = 750;
const TOP: u32 = 75;

/// Connected patches of other pixels than the page's colour, in the part of the picture where the map is.
fn patches(shot: &RgbImage) -> usize {
    let page = shot.get_pixel(LEFT + 2, shot.height() - 2).0;
    let differs = |x: u32, y: u32| {
        let pixel = shot.get_pixel(x, y).0;
        pixel.iter().zip(page).map(|(&a, b)| u32::from(a.abs_diff(b))).sum::<u32>() > 130
    };
    let mut seen = vec![false; (shot.width() * shot.height()) as usize];
    let mut count = 0;
    for y in TOP..shot.height() {
        for x in LEFT..RIGHT {
            if !differs(x, y) || seen[(y * shot.width() + x) as usize] {
                continue;
            }
            count += 1;
            let mut open = vec![(x, y)];
            while let Some((x, y)) = open.pop() {
                let place = (y * shot.width() + x) as usize;
                if seen[place] || !differs(x, y) {
                    continue;
                }
                seen[place] = true;
                let around = [(x + 1, y), (x.wrapping_sub(1), y), (x, y + 1), (x, y.wrapping_sub(1))];
                open.extend(around.into_iter().filter(|&(x, y)| x < RIGHT && (TOP..shot.height()).contains(&y)));
            }
        }
    }
    count
}

/// Pixels of a red like this, which only the test's pictures have.
fn red(shot: &RgbImage) -> usize {
    shot.pixels().filter(|pixel| pixel[0] > 235 && pixel[1] < 25).count()
}

fn place(browser: &mut Browser, i: usize) -> [f64; 2] {
    let at = browser.eval(&format!("nearfield.scene.place({i})"));
    [at[0].as_f64().expect("x"), at[1].as_f64().expect("y")]
}

/// A path around points `i` (upper left) to `j` (lower right) of the lattice, half a step away.
fn around(browser: &mut Browser, i: usize, j: usize) -> [[f64; 2]; 2] {
    let step = place(browser, 1)[0] - place(browser, 0)[0];
    let (from, to) = (place(browser, i), place(browser, j));
    [[from[0] - step / 2.0, from[1] - step / 2.0], [to[0] + step / 2.0, to[1] + step / 2.0]]
}

/// The lattice's first row is the lowest on the screen.
const UPPER_LEFT: usize = N - ACROSS;

fn unharmed(browser: &mut Browser) {
    assert!(browser.eval("window.hurt === undefined").as_bool() == Some(true), "a name was run as a program");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn a_page_opens_without_complaint_and_draws_every_point() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    browser.open(&Page::of(&example.map()).path());
    assert_eq!(patches(&browser.screenshot()), N);
    assert_eq!(browser.text("document.title").trim(), HOSTILE.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(browser.text("document.getElementById('title').textContent"), HOSTILE);
    assert!(browser.text("document.getElementById('caption').innerText").contains("<b>not bold</b>"));
    assert_eq!(browser.count("document.querySelectorAll('.entry').length"), 3);
    assert!(browser.text("document.getElementById('legend').innerText").contains("(blank)"));

    // Zooming by the wheel spreads the points, and the whole map comes back.
    let before = place(&mut browser, 0);
    browser.wheel([400.0, 400.0], -400.0);
    assert!(place(&mut browser, 0) != before && patches(&browser.screenshot()) < N);
    browser.press("0");
    browser.wait("Math.abs(nearfield.scene.state.zoom - nearfield.scene.whole().zoom) < 1e-9");
    // Dragging moves it, from the first motion on; let go of on the way it glides on, further the faster the browser hears of it.
    let path = [[300.0, 300.0], [330.0, 300.0], [360.0, 300.0]];
    browser.drag_to_rest(&path);
    let after = place(&mut browser, 0);
    let moved = [after[0] - before[0], after[1] - before[1]];
    assert!((moved[0] - 30.0).abs() < 1.0 && moved[1].abs() < 1.0, "{before:?} {after:?}");
    browser.drag(&path, 0);
    let glided = place(&mut browser, 0);
    assert!(glided[0] - after[0] > 31.0, "{after:?} {glided:?}");
    unharmed(&mut browser);
}

#[test]
fn spoiled_pages_are_found_out() {
    let Some(mut browser) = Browser::start() else { return };
    let mut example = Example::new(2);
    // Seven points upon others: the text still says 200.
    for i in 0..7 {
        let other = example.points.row(i + 20).to_owned();
        example.points.row_mut(i).assign(&other);
    }
    let page = Page::of(&example.map());
    browser.open(&page.path());
    assert_eq!(browser.count("nearfield.data.n"), N as u64);
    assert_eq!(patches(&browser.screenshot()), N - 7);
    unharmed(&mut browser);

    // A page that throws, and one that asks the network.
    let whole = fs::read_to_string(page.path()).expect("text");
    for (spoil, said) in [
        ("<script>setTimeout(() => { throw new Error('spoiled') })</script>", "spoiled"),
        ("<script>new Image().src = 'http://127.0.0.1:9/x.png'</script>", "127.0.0.1"),
    ] {
        fs::write(page.path(), whole.replace("</body>", &format!("{spoil}</body>"))).expect("written");
        browser.open(&page.path());
        browser.settle();
        let complaints = std::mem::take(&mut browser.complaints);
        assert!(complaints.iter().any(|text| text.contains(said)), "{said}: {complaints:?}");
    }
    // Points that cannot be read leave a sentence, not an empty page.
    let from = whole.find("id=\"part-points\">").expect("the part") + 17;
    let mut torn = whole.clone();
    torn.replace_range(from..from + 24, "AAAAAAAAAAAAAAAAAAAAAAAA");
    fs::write(page.path(), torn).expect("written");
    browser.call("Page.reload", serde_json::json!({}));
    browser.wait(
        "document.getElementById('busy') && document.getElementById('busy').textContent.includes('cannot be read')",
    );
}

#[test]
fn what_is_pointed_at_is_told() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    browser.open(&Page::of(&example.map()).path());
    for i in [0, 57, 134, N - 1] {
        let at = place(&mut browser, i);
        browser.hover(at);
        browser.wait("!document.getElementById('tip').hidden");
        let tip = browser.text("document.getElementById('tip').innerText");
        assert!(tip.contains(&format!("row-{i:03}")) && tip.contains(&format!("name {i}")), "{i}: {tip}");
        let label = example.labels.text(i);
        let want = if label.is_empty() { "(blank)" } else { label.trim() };
        assert!(tip.contains(want), "{i}: {tip} without {want}");
    }
    let [x, y] = place(&mut browser, 0);
    let step = place(&mut browser, 1)[0] - x;
    browser.hover([x + step / 2.0, y - step / 2.0]);
    browser.wait("document.getElementById('tip').hidden");
    // A click selects it, another one elsewhere nothing.
    browser.click([x, y], 0);
    assert_eq!(browser.text("document.getElementById('count').textContent"), "1 of 200");
    browser.click([x + step / 2.0, y - step / 2.0], 0);
    assert_eq!(browser.text("document.getElementById('count').textContent"), "");
    unharmed(&mut browser);
}

#[test]
fn boxes_and_lassos_select_and_a_table_is_saved() {
    let Some(mut browser) = Browser::start() else { return };
    let mut example = Example::new(2);
    example.points[[UPPER_LEFT, 0]] = 0.1;
    let mut map = example.map();
    map.title = "fruit, of <sorts>";
    browser.open(&Page::of(&map).path());
    let count = "nearfield.app.nSelected";

    // Shift and drag: 4 columns of 3 rows.
    let [from, to] = around(&mut browser, UPPER_LEFT, N - 3 * ACROSS + 3);
    let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
    browser.drag(&[from, middle, to], 8);
    assert_eq!(browser.count(count), 12);
    // The lasso, with Shift: a triangle over the lower left, which adds.
    browser.press("l");
    let [low, _] = around(&mut browser, 0, 0);
    let step = place(&mut browser, 1)[0] - place(&mut browser, 0)[0];
    let corner = [low[0], low[1] + step];
    let triangle = [corner, [corner[0] + 3.2 * step, corner[1]], [corner[0], corner[1] - 3.2 * step], corner];
    browser.drag(&triangle, 8);
    let inside = (0..N)
        .filter(|i| (i % ACROSS) as f64 + 0.5 + (i / ACROSS) as f64 + 0.5 < 3.2)
        .filter(|&i| i / ACROSS < 7)
        .collect::<Vec<_>>();
    assert_eq!(browser.count(count), 12 + inside.len() as u64);
    // The box, with Alt, takes away; without, it begins anew.
    browser.press("b");
    browser.drag(&[from, middle, to], 1);
    assert_eq!(browser.count(count), inside.len() as u64);
    browser.drag(&[from, middle, to], 0);
    assert_eq!(browser.count(count), 12);
    assert_eq!(browser.text("document.getElementById('count').textContent"), "12 of 200");

    browser.click_on("#save", 0);
    let table = browser.downloaded("fruit-of-sorts-selection.csv");
    let mut reader = csv::Reader::from_reader(table.as_slice());
    assert_eq!(
        reader.headers().expect("a header"),
        &csv::StringRecord::from(vec!["row", "x", "y", "label", "id", "height", HOSTILE])
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 12);
    for row in &rows {
        let i: usize = row[0].parse().expect("a number");
        let place = [&row[1], &row[2]].map(|x| x.parse::<f32>().expect("a number"));
        assert_eq!(place[..], example.points.row(i).to_vec()[..]);
        let want =
            [example.labels.text(i), example.ids[i].clone(), example.columns[0].values.text(i), format!("name {i}")];
        assert_eq!(want.to_vec(), row.iter().skip(3).collect::<Vec<_>>());
    }
    assert_eq!(rows.iter().filter(|row| &row[1] == "0.1").count(), 1);
    // The view, with what it says beside it.
    browser.press("p");
    let picture = image::load_from_memory(&browser.downloaded("fruit-of-sorts-map.png")).expect("a PNG").into_rgb8();
    assert!(picture.width() > 800 && picture.pixels().filter(|pixel| pixel.0 != [255; 3]).count() > 3000);
    browser.press("Escape");
    assert_eq!(browser.count(count), 0);
    unharmed(&mut browser);
}

#[test]
fn searching_dims_what_is_not_found() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    browser.open(&Page::of(&example.map()).path());
    browser.press("/");
    browser.type_text("ROW-19");
    browser.wait("!document.getElementById('found').hidden");
    assert!(browser.text("document.getElementById('found').innerText").starts_with("10 found"));
    assert_eq!(patches(&browser.screenshot()), 10, "the others are fainter than what is counted");
    browser.press("Enter");
    assert_eq!(browser.count("nearfield.app.nSelected"), 10);
    browser.press("Escape");
    assert!(browser.eval("document.getElementById('found').hidden").as_bool() == Some(true));
    for (text, count) in [("onerror", 200), ("#7", 1), ("3.5", 1), ("apples", 100), ("nowhere", 0)] {
        browser.press("/");
        browser.type_text(text);
        browser.wait(&format!("document.getElementById('found').innerText.startsWith('{count} found')"));
        browser.press("Escape");
    }
    unharmed(&mut browser);
}

#[test]
fn the_legend_hides_and_columns_colour() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    browser.open(&Page::of(&example.map()).path());
    browser.click_on("[data-class='1']", 0);
    assert_eq!(patches(&browser.screenshot()), 150);
    assert_eq!(browser.text("document.querySelector('[data-class=\"1\"]').ariaPressed"), "false");
    // What is hidden is neither pointed at nor selected.
    let at = place(&mut browser, 12);
    browser.hover(at);
    assert!(browser.eval("nearfield.app.hover === null").as_bool() == Some(true));
    browser.press("a");
    assert_eq!(browser.count("nearfield.app.nSelected"), 150);
    browser.press("Escape");
    // Alt-click: alone.
    browser.click_on("[data-class='2']", 1);
    assert_eq!(patches(&browser.screenshot()), 50);
    browser.press("r");
    assert_eq!(patches(&browser.screenshot()), N);

    // Numbers: the colours change along the scale, and its ends hide.
    let by_class = browser.screenshot();
    browser.press("]");
    assert_eq!(browser.text("document.getElementById('column').selectedOptions[0].text"), "height");
    let by_number = browser.screenshot();
    assert!(by_class != by_number && patches(&by_number) == N);
    browser.eval("(() => { const s = document.querySelector('#legend input'); s.value = 0.5; s.dispatchEvent(new Event('input')); return 1 })()");
    assert_eq!(patches(&browser.screenshot()), 100);
    // A column of as many names as points is listed and searched.
    browser.press("]");
    assert!(browser.text("document.getElementById('legend').innerText").contains("repeat after 40"));
    // Without a column.
    browser.press("]");
    browser.press("r");
    assert_eq!(patches(&browser.screenshot()), N);
    unharmed(&mut browser);
}

#[test]
fn dark_and_light_follow_the_system_and_the_key() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    let dark = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.call("Emulation.setEmulatedMedia", dark);
    browser.open(&Page::of(&example.map()).path());
    let shot = browser.screenshot();
    assert!(shot.get_pixel(2, shot.height() - 2).0.iter().all(|&x| x < 60));
    assert_eq!(patches(&shot), N);
    browser.press("d");
    let shot = browser.screenshot();
    assert!(shot.get_pixel(2, shot.height() - 2).0.iter().all(|&x| x > 240));
    // The keys that the page lists.
    browser.press("?");
    assert!(browser.count("document.querySelectorAll('#keys kbd').length") > 18);
    browser.press("Escape");
    browser.press("s");
    assert!(browser.count("document.getElementById('map').clientWidth") > 1000);
    browser.eval("document.getElementById('stage').focus()");
    let before = place(&mut browser, 0);
    browser.press("+");
    browser.wait("nearfield.scene.state.zoom > nearfield.scene.whole().zoom + 0.5");
    assert!(place(&mut browser, 0) != before);
    unharmed(&mut browser);
}

#[test]
fn three_dimensions_are_turned() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(3);
    browser.open(&Page::of(&example.map()).path());
    let (before, at) = (browser.screenshot(), place(&mut browser, 0));
    assert!(patches(&before) > 50);
    browser.drag(&[[350.0, 300.0], [400.0, 310.0], [470.0, 330.0]], 0);
    assert!(place(&mut browser, 0) != at && browser.screenshot() != before);
    let i = browser.count("(() => { let [best, near] = [0, Infinity]; nearfield.scene.each((i, x, y, w) => { if (w < near) [best, near] = [i, w]; }); return best; })()");
    let at = place(&mut browser, i as usize);
    browser.hover(at);
    assert!(browser.text("document.getElementById('tip').innerText").contains(&format!("row-{i:03}")));
    browser.press("l");
    browser.drag(&[[2.0, 80.0], [748.0, 80.0], [748.0, 750.0], [2.0, 750.0], [2.0, 80.0]], 0);
    let inside = browser.count("(() => { let n = 0; nearfield.scene.each((i, x, y) => { if (x > 2 && x < 748 && y > 80 && y < 750) n++; }); return n; })()");
    assert!(inside > 100);
    assert_eq!(browser.count("nearfield.app.nSelected"), inside);
    unharmed(&mut browser);
}

#[test]
fn pictures_appear_as_one_zooms_in() {
    let Some(mut browser) = Browser::start() else { return };
    let (across, down) = (200, 100);
    let n = across * down;
    let points = Array2::from_shape_fn((n, 2), |(i, c)| if c == 0 { i % across } else { i / across } as f32);
    let pictures = Pictures {
        width: 4,
        height: 4,
        channels: 3,
        bytes: (0..n).flat_map(|i| [255, 0, (i % 256) as u8].repeat(16)).collect(),
    };
    let map = Map { pictures: Some(&pictures), ..Map::new(points.view()) };
    browser.open(&Page::of(&map).path());
    // Their own red shows only when they are near.
    assert_eq!(red(&browser.screenshot()), 0);
    for _ in 0..4 {
        browser.wheel([400.0, 400.0], -400.0);
    }
    browser.wait("nearfield.scene.pictured.points.length > 5");
    assert!(red(&browser.screenshot()) > 1000);
    let shown = browser.count("nearfield.scene.pictured.points.length");
    // One of them is pointed at by its corner.
    let inner = "i => { const [x, y] = nearfield.scene.place(i); return x > 100 && x < 600 && y > 120 && y < 650 }";
    let i = browser.count(&format!("nearfield.scene.pictured.points.find({inner})")) as usize;
    let [x, y] = place(&mut browser, i);
    browser.hover([x + 12.0, y + 12.0]);
    browser.wait(&format!("nearfield.app.hover === {i}"));
    browser.hover([2.0, 2.0]);
    // Always, and never.
    browser.press("t");
    browser.press("t");
    browser.wait("nearfield.scene.pictured.points.length === 0");
    browser.hover([900.0, 700.0]);
    assert_eq!(red(&browser.screenshot()), 0, "never");
    browser.press("t");
    browser.wait(&format!("nearfield.scene.pictured.points.length === {shown}"));
    // A few points have room for theirs from the beginning.
    let example = Example::new(2);
    browser.open(&Page::of(&Map { pictures: Some(&example.pictures), ..example.map() }).path());
    browser.wait("nearfield.scene.pictured.points.length > 20");
    assert!(red(&browser.screenshot()) > 1000);
    unharmed(&mut browser);
}

#[test]
fn frames_play() {
    let Some(mut browser) = Browser::start() else { return };
    let example = Example::new(2);
    let map = Map { frames: &example.frames, ..example.map() };
    browser.open(&Page::of(&map).path());
    // The first frame is a point, the second half of the map.
    let whole = place(&mut browser, N - 1);
    let first = place(&mut browser, 0);
    browser.press(",");
    assert_eq!(browser.text("document.getElementById('iteration').textContent"), "iteration 10");
    let half = place(&mut browser, N - 1);
    let half_first = place(&mut browser, 0);
    for axis in 0..2 {
        let ratio = (half[axis] - half_first[axis]) / (whole[axis] - first[axis]);
        assert!((ratio - 0.5).abs() < 0.01, "{ratio}");
    }
    browser.press(",");
    assert_eq!(patches_but_film(&browser.screenshot()), 1);
    browser.click_on("#play", 0);
    browser.wait("document.getElementById('iteration').textContent === 'iteration 20'");
    assert_eq!(place(&mut browser, N - 1), whole);
    unharmed(&mut browser);
}

/// Patches without the bar of the film, which lies below.
fn patches_but_film(shot: &RgbImage) -> usize {
    let mut above = shot.clone();
    let page = shot.get_pixel(LEFT + 2, shot.height() - 2).0;
    for (_, _, pixel) in above.enumerate_pixels_mut().filter(|(_, y, _)| *y > shot.height() - 90) {
        pixel.0 = page;
    }
    patches(&above)
}

#[test]
fn a_folder_of_pictures_becomes_a_page_with_frames() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for (class, shade) in [("dark", 10u8), ("light", 200)] {
        fs::create_dir(folder.path().join(class)).expect("made");
        for i in 0..12u8 {
            let picture = RgbImage::from_fn(40, 20, |x, _| image::Rgb([shade + i, shade.wrapping_add(x as u8), 90]));
            picture.save(folder.path().join(class).join(format!("{i}.png"))).expect("saved");
        }
    }
    let out = folder.path().join("map.html");
    let film = folder.path().join("film");
    let run = Command::new(env!("CARGO_BIN_EXE_nearfield"))
        .args(["embed", "--device", "cpu", "--iterations", "40", "--frames"])
        .args([&film, folder.path(), "-o".as_ref(), &out])
        .output()
        .expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    browser.open(&out);
    assert_eq!(browser.count("nearfield.data.n"), 24);
    assert_eq!(browser.text("nearfield.data.columns[0].names.join()"), "dark,light");
    assert_eq!(browser.count("nearfield.film.last") + 1, fs::read_dir(&film).expect("a folder").count() as u64);
    let at = place(&mut browser, 3);
    browser.hover(at);
    browser.wait("document.querySelector('#tip canvas') !== null");
    browser.settle();
    // Wide pictures lie in the middle of a square.
    let i = browser.count("nearfield.app.hover");
    let center = browser
        .eval("Array.from(document.querySelector('#tip canvas').getContext('2d').getImageData(32, 32, 1, 1).data)");
    let id = browser.text(&format!("nearfield.data.ids[{i}]"));
    let (shade, number) = (
        if id.starts_with("dark") { 10.0 } else { 200.0 },
        id.trim_end_matches(".png").split('/').nth(1).expect("a name").parse::<f64>().expect("a number"),
    );
    assert!((center[0].as_f64().expect("red") - shade - number).abs() <= 1.0, "{id}: {center}");
    unharmed(&mut browser);
}

#[test]
fn the_same_map_gives_the_same_bytes() {
    let example = Example::new(2);
    let map = Map { frames: &example.frames, pictures: Some(&example.pictures), ..example.map() };
    let bytes = || fs::read(Page::of(&map).path()).expect("written");
    assert!(bytes() == bytes());
}
