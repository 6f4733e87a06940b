//! `--resume`, `--checkpoint` and containers as users meet them: a run that is killed loses nothing, options that a map has settled are refused,
//! and no file is left that nobody asked for.

mod common;

use common::adapters;
use nearfield::container;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.current_dir(self.0.path()).args(arguments.split_whitespace());
        command
    }

    fn start(&self, arguments: &str) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// What a run that must go well says.
    fn ok(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{arguments}: {said}");
        said
    }

    /// The line of a request that must be refused.
    fn refused(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{arguments}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments}: {said}");
        said
    }

    /// Files that are not hidden.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn done(&self, name: &str) -> usize {
        container::head(&self.path(name)).expect("sound").expect("a container").iterations
    }
}

/// 300 of the digits.
const DIGITS: &str = "embed sample:digits --subsample 300";

/// Kills a run twenty times, each soon after it was kept, goes on each time, and ends with the bytes of a run that nobody disturbed.
fn survives(options: &str, iterations: usize) {
    const KILLS: usize = 20;
    let folder = Folder::new();
    let line = format!("{DIGITS} {options} --iterations {iterations} --trace-every 7");
    folder.ok(&format!("{line} -o whole.npy"));
    let place = folder.path("map.nearfield");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut kills, mut seen) = (0, Vec::new());
    while kills < KILLS {
        let before = fs::metadata(&place).and_then(|found| found.modified()).ok();
        let resumes = if before.is_some() { "embed --resume map.nearfield".to_owned() } else { line.clone() };
        let mut run = folder.start(&format!("{resumes} -o map.npy --checkpoint 0.001s"));
        let newer = || fs::metadata(&place).and_then(|found| found.modified()).ok() > before;
        let patience = Instant::now();
        while !newer() && run.try_wait().expect("a process").is_none() {
            assert!(patience.elapsed() < Duration::from_secs(60), "nothing was kept");
            std::thread::sleep(Duration::from_millis(1));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 25_000));
        if let Some(status) = run.try_wait().expect("a process") {
            let mut said = String::new();
            std::io::Read::read_to_string(&mut run.stderr.take().expect("piped"), &mut said).expect("text");
            panic!("after {kills} kills it ended by itself ({status}), give it more to do: {said}");
        }
        run.kill().expect("it can be killed");
        run.wait().expect("it ends");
        kills += 1;
        seen.push(folder.done("map.nearfield"));
    }
    assert!(seen.is_sorted() && seen.last() < Some(&iterations), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > KILLS / 2, "it hardly went on: {seen:?}");
    assert!(!folder.path("map.npy").exists());
    folder.ok("embed --resume map.nearfield -o map.npy");
    assert!(folder.read("map.npy") == folder.read("whole.npy"), "the map differs after {seen:?}");
}

#[test]
fn a_run_that_is_killed_twenty_times_loses_nothing() {
    survives("--device cpu --field mesh", 6000);
}

#[test]
fn a_run_on_a_device_that_is_killed_twenty_times_loses_nothing() {
    let Some(adapter) = adapters::chosen().into_iter().next() else {
        return adapters::on_each(nearfield::gpu::Options::default(), |_| ());
    };
    let device = if adapter.is_software() { "llvmpipe" } else { "gpu" };
    survives(&format!("--device {device} --field mesh"), 800);
}

#[test]
fn iterations_are_more_of_them() {
    let folder = Folder::new();
    let line = format!("{DIGITS} --device cpu --perplexity 12 --log1p --seed 3");
    folder.ok(&format!("{line} --iterations 400 -o whole.npy -o whole.nearfield"));
    folder.ok(&format!("{line} --iterations 300 -o part.nearfield -o part.npy"));
    assert_eq!(folder.files(), ["part.nearfield", "part.npy", "whole.nearfield", "whole.npy"]);
    assert_eq!((folder.done("part.nearfield"), folder.done("whole.nearfield")), (300, 400));
    // In place, and with the whole report.
    folder.ok("embed --resume part.nearfield --iterations 60 -o part.nearfield --report report.json");
    let said =
        folder.ok("embed --resume part.nearfield --iterations 40 -o part.nearfield -o map.npy --report report.json");
    assert!(said.contains("400 iterations"), "{said}");
    assert!(folder.read("map.npy") == folder.read("whole.npy"));
    let report: serde_json::Value = serde_json::from_slice(&folder.read("report.json")).expect("JSON");
    let trace: Vec<u64> = report["trace"]
        .as_array()
        .expect("a trace")
        .iter()
        .filter_map(|reading| reading["iteration"].as_u64())
        .collect();
    assert_eq!(trace, [50, 100, 150, 200, 250, 300, 350, 400]);
    assert_eq!((&report["iterations"], &report["plan"]["perplexity"]), (&400.into(), &12.0.into()));
    let old = container::read(&folder.path("whole.nearfield")).expect("sound");
    let new = container::read(&folder.path("part.nearfield")).expect("sound");
    assert_eq!(old.snapshot, new.snapshot);
    assert_eq!((old.prepared, old.about.fingerprint), (new.prepared, new.about.fingerprint));
    let mut options = new.about.options;
    options.sort();
    let want = ["--device=cpu", "--iterations=400", "--log1p", "--perplexity=12", "--seed=3", "--subsample=300"];
    assert_eq!(options, want);
    // All done, and phases that a run of another length would have had.
    assert!(
        folder
            .refused("embed --resume part.nearfield -o map.npy")
            .contains("all of its 400 iterations are done; give --iterations N")
    );
    folder.ok(&format!("{line} --iterations 100 -o short.nearfield"));
    let said = folder.ok("embed --resume short.nearfield --iterations 300 -o map.npy");
    assert!(!said.contains("other phases"), "{said}");
    folder.ok(&format!("{line} --method nerv --neighbors all --iterations 270 -o short.nearfield"));
    let said = folder.ok("embed --resume short.nearfield --iterations 100 -o map.npy");
    assert_eq!(said.contains("other phases"), said.contains("planned for 270"), "{said}");
}

#[test]
fn what_a_map_has_settled_is_not_asked_again() {
    let folder = Folder::new();
    folder.ok(&format!("{DIGITS} --device cpu --iterations 60 -o a.nearfield"));
    for option in [
        "--perplexity 9",
        "--neighbors 20",
        "--metric cosine",
        "--pca 5",
        "--columns 1..4",
        "--dims 3",
        "--method sne",
        "--kernel gaussian",
        "--seed 1",
        "--log1p",
        "--labels b.csv",
        "--subsample 20",
    ] {
        let said = folder.refused(&format!("embed --resume a.nearfield {option} -o b.npy --iterations 5"));
        let name = option.split(' ').next().expect("a name");
        assert!(said.contains(&format!("{name}: the map that goes on")), "{said}");
    }
    for option in [
        "--learning-rate 50",
        "--late-exaggeration 2",
        "--momentum 0.5",
        "--field mesh",
        "--trace-every 9",
        "--threads 1",
        "--marks points",
        "--score",
        "--exaggeration-iterations 64",
    ] {
        folder.ok(&format!("embed --resume a.nearfield {option} -o b.npy --iterations 5"));
    }
    // The data may be given, if they are the same.
    folder.ok("embed --resume a.nearfield sample:digits --iterations 5 -o b.html --atlas c.png");
    folder.ok(&format!("{DIGITS} --device cpu --iterations 5 --seed 5 -o other.nearfield"));
    for other in ["sample:turntable", "other.nearfield:data"] {
        let said = folder.refused(&format!("embed --resume a.nearfield {other} --iterations 5 -o b.npy"));
        assert!(said.contains("these are not the data that the kept map is of"), "{said}");
    }
    assert!(folder.refused("embed --resume a.nearfield --iterations 5 -o b.npy --atlas c.png").contains("--atlas: "));
    assert!(folder.refused("embed -o b.npy").contains("missing"));
    assert!(folder.refused("embed --resume no.nearfield -o b.npy").contains("no.nearfield: no such file"));
    fs::write(folder.path("x.nearfield"), "x").expect("written");
    assert!(folder.refused("embed --resume x.nearfield -o b.npy").contains("x.nearfield: is no map that was kept"));
    // Where something is written is never said by a file.
    let mut kept = container::read(&folder.path("a.nearfield")).expect("sound");
    for token in ["--output=evil.npy", "-oevil.npy", "--report=evil.json", "--", "evil.npy"] {
        kept.about.options = vec![token.to_owned()];
        let mut bytes = Vec::new();
        container::write(&mut bytes, &kept.about, &kept.along, &kept.moment()).expect("memory takes it");
        fs::write(folder.path("evil.nearfield"), bytes).expect("written");
        let said = folder.refused("embed --resume evil.nearfield --iterations 5 -o b.npy");
        assert!(said.contains("which no map keeps"), "{said}");
    }
    assert!(!folder.files().iter().any(|name| name.starts_with("evil") && name != "evil.nearfield"));
    let plan = folder.ok("embed --resume a.nearfield --iterations 5 --plan");
    assert!(plan.contains("iterations = 65") && plan.contains("n = 300"), "{plan}");
}

#[test]
fn a_checkpoint_that_nobody_asked_for_is_taken_away() {
    let folder = Folder::new();
    folder.ok(&format!("{DIGITS} --device cpu --iterations 90 --checkpoint 0.001s -o a.npy -o b.csv"));
    assert_eq!(folder.files(), ["a.npy", "b.csv"]);
    folder.ok(&format!("{DIGITS} --device cpu --iterations 90 --checkpoint 0.001s -o c.npy -o d.nearfield"));
    assert_eq!(folder.files(), ["a.npy", "b.csv", "c.npy", "d.nearfield"]);
    assert_eq!(folder.done("d.nearfield"), 90);
    assert!(folder.read("a.npy") == folder.read("c.npy"));
    // One that is there may be all that is left of a long run.
    let said = folder.refused(&format!("{DIGITS} --device cpu --checkpoint 1s -o d.npy"));
    assert!(said.contains("d.nearfield is there"), "{said}");
    folder.refused(&format!("{DIGITS} --checkpoint 1s -o -"));
    folder.refused(&format!("{DIGITS} --checkpoint 0s -o a.npy"));
    // What a run goes on from stays, and is brought up to date.
    folder.ok("embed --resume d.nearfield --iterations 10 --checkpoint 0.001s -o d.npy");
    assert_eq!(folder.done("d.nearfield"), 100);
    folder.ok("embed --resume d.nearfield --iterations 10 --checkpoint 0.001s -o e.npy");
    assert_eq!(folder.files(), ["a.npy", "b.csv", "c.npy", "d.nearfield", "d.npy", "e.npy"]);
    assert_eq!(folder.done("d.nearfield"), 100);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_what_goes_on() {
    let folder = Folder::new();
    let line = format!("{DIGITS} --device cpu --field mesh --iterations 3000");
    folder.ok(&format!("{line} -o whole.npy"));
    for outputs in ["-o map.npy --checkpoint 0.001s", "-o map.nearfield"] {
        let _ = fs::remove_file(folder.path("map.nearfield"));
        let mut run = folder.start(&format!("{line} {outputs}"));
        let begun = SystemTime::now();
        // Something is kept, or else it surely descends.
        while !folder.path("map.nearfield").exists()
            && begun.elapsed().is_ok_and(|time| time < Duration::from_millis(400))
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(run.try_wait().expect("a process").is_none(), "it ended by itself");
        let asked = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        assert_eq!(run.wait().expect("it ends").code(), Some(130), "{outputs}");
        let done = folder.done("map.nearfield");
        assert!(done > 0 && done < 3000, "{done}");
        folder.ok("embed --resume map.nearfield -o again.npy");
        assert!(folder.read("again.npy") == folder.read("whole.npy"), "{outputs}, from {done}");
    }
}

#[test]
fn a_container_says_what_it_is_and_is_a_map() {
    let folder = Folder::new();
    folder.ok(&format!("{DIGITS} --device cpu --iterations 30 --perplexity 9 -o a.nearfield -o a.npy"));
    let said = folder.ok("info a.nearfield");
    for what in [
        "a map of digits in 2 dimensions by tsne",
        "300 points of 64 columns",
        "30 of 30 iterations done, objective",
        "--perplexity=9",
        "affinities",
        "embed --resume a.nearfield --iterations 250",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(said.contains(what), "{said} does not tell of {what}");
    }
    folder.ok("plot a.nearfield -o a.png");
    let by_container = folder.ok("score a.nearfield:data a.nearfield");
    assert_eq!(
        folder.ok("score a.nearfield:data a.npy").lines().next().is_some(),
        by_container.lines().next().is_some()
    );
    let picture = folder.read("a.png");
    folder.ok("plot a.npy -o b.png");
    // With its labels, which the array has not.
    assert!(picture.len() > folder.read("b.png").len() || picture != folder.read("b.png"));
    let mut bytes = folder.read("a.nearfield");
    bytes.truncate(bytes.len() - 1);
    fs::write(folder.path("b.nearfield"), bytes).expect("written");
    assert!(folder.refused("info b.nearfield").contains("b.nearfield: "));
    assert!(folder.refused("embed --resume b.nearfield -o c.npy").contains("b.nearfield: "));
}
