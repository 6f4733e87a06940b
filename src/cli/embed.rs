//! `nearfield embed`: everything that can be refused is refused before any work, then the job runs and is written.

use super::args::Embed;
use super::given::{self, Resumed};
use super::progress::{self, Display};
use super::report::{Circumstances, Clusters, Report};
use super::{End, adapters, cluster, config, host, interrupt, outputs};
use crate::affinity::Law;
use crate::container::{self, About, Along, Kept, Moment};
use crate::data::{Dataset, Input, Pictures, Points};
use crate::engine::Stop;
use crate::gpu::{self, Gpu};
use crate::job::{self, Backend, Event, Given};
use crate::knn::Metric;
use crate::mixture::{self, Fit, Prepared};
use crate::objective::{Neighbour, Objective};
use crate::plan::{Affinity, Budget, Plan, Settings, Shape, Start};
use crate::score::{self, Shepard};
use crate::{Error, Result, input, render};
use ndarray::{Array2, Axis};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the command.
pub fn run(arguments: &Embed) -> Result<End> {
    let started = Instant::now();
    interrupt::listen();
    let from_file = arguments.config.as_ref().map(|path| config::joined(arguments, path)).transpose()?;
    let arguments = from_file.as_deref().unwrap_or(arguments);
    // Before anything is read, which is done by all threads.
    super::use_threads(arguments.threads)?;
    let (joined, kept, said) = match &arguments.resume {
        Some(path) => {
            let Resumed { arguments, kept, notes } = given::resume(arguments, path)?;
            (Some(arguments), Some(kept), notes)
        }
        None => (None, None, Vec::new()),
    };
    let arguments = joined.as_deref().unwrap_or(arguments);
    check_outputs(arguments)?;
    let checkpoint = checkpoint_place(arguments)?;
    let memory = arguments.host_memory.or_else(host::memory_budget);
    let Begun { brought, settings, given, fingerprint, input_dims, read } = match &kept {
        None => begin(arguments, memory)?,
        Some(kept) => begin_again(arguments, kept, memory)?,
    };
    let n = brought.points.dim().0;
    if arguments.atlas.is_some() && brought.pictures.is_none() {
        let cause = format!("the rows of {} are no pictures", brought.name);
        let remedy = match kept {
            None => "give a folder of pictures, idx or a sample of them, whole",
            Some(_) => "give the data beside --resume, if its rows are pictures",
        };
        return Err(Error::request("--atlas", cause, remedy));
    }
    if let Some(k) = arguments.clusters.filter(|&k| k > n) {
        let cause = format!("{k} components of {n} points were asked for");
        return Err(Error::request("--clusters", cause, format!("give from 1 to {n}")));
    }
    let before = host::held_bytes();
    let found = match arguments.device {
        gpu::Choice::Cpu => Vec::new(),
        _ => gpu::adapters(),
    };
    // Drivers load compilers of their own. Whole megabytes, so that a plan is the same twice.
    // Where none was asked there are none: what the process holds varies by a page from one look to the next, and would
    // round up to a megabyte now and then.
    let drivers = match arguments.device {
        gpu::Choice::Cpu => 0,
        _ => host::held_bytes().saturating_sub(before).next_multiple_of(1 << 20),
    };
    let resolve = |device| {
        let shape = Shape { name: &brought.name, n, input_dims };
        let mut plan = Plan::resolve(&settings, shape, device)?.held_as(&brought.points);
        plan.memory.host += drivers;
        Ok::<Plan, Error>(plan)
    };
    let adapter = gpu::choose(&arguments.device, &found)?;
    let budget = Budget { host: memory, device: arguments.device_memory };
    // An adapter that nobody named may turn out too small, or not open: then the CPU does the job.
    let replaceable = arguments.device == gpu::Choice::Auto && adapter.is_some();
    let mut plan = resolve(adapter)?;
    let mut too_small = plan.fits(&budget).err();
    let mut instead = None;
    if too_small.is_some() && replaceable {
        plan = resolve(None)?;
        instead = std::mem::replace(&mut too_small, plan.fits(&budget).err());
    }
    if arguments.plan {
        adapters::print(config::text(&plan, arguments)?.trim_end())?;
        too_small.iter().for_each(|error| progress::line(&format!("this would be refused: {error}")));
        return Ok(End::Done);
    }
    if let Some(error) = too_small {
        return Err(error);
    }
    let mut gpu = None;
    if let Some(adapter) = adapter.filter(|_| plan.adapter.is_some()) {
        match Gpu::open(adapter, gpu::Options::default()) {
            Ok(opened) => gpu = Some(opened),
            Err(error) if replaceable => {
                plan = resolve(None)?;
                plan.fits(&budget)?;
                instead = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let backend = match &gpu {
        None => Backend::Cpu,
        Some(gpu) if replaceable => Backend::GpuElseCpu(gpu),
        Some(gpu) => Backend::Gpu(gpu),
    };

    let mut display = Display::new();
    let mut notes = vec![match (&gpu, &instead, &arguments.device) {
        (Some(gpu), _, _) => {
            format!("computing on {} ({}, {})", gpu.adapter().name, gpu.adapter().device_type, gpu.adapter().backend)
        }
        (None, Some(error), _) => format!("computing on the CPU, because of the {error}"),
        (None, None, gpu::Choice::Auto) => "computing on the CPU: there is no hardware GPU adapter".to_owned(),
        (None, None, _) => "computing on the CPU".to_owned(),
    }];
    notes.extend(brought.notes.iter().chain(&plan.notes).chain(&said).cloned());
    notes.extend(arguments.config.as_ref().and_then(|path| config::other_plan(path, &plan)));
    notes.iter().for_each(|note| display.note(note));
    if progress::is_verbose() {
        display.note(&plan.in_words());
    }
    // On what it is computed is news only where it is not what was asked for.
    if instead.is_none() {
        notes.remove(0);
    }

    let Input { name, points, labels, ids, columns, pictures, treatment, .. } = brought;
    let along = Along { labels, ids, columns, treatment };
    let about = About {
        version: env!("CARGO_PKG_VERSION").into(),
        name: name.clone(),
        n,
        input_dims,
        dims: plan.dims,
        method: plan.method.into(),
        seed: plan.seed,
        fingerprint,
        options: arguments.kept_options(),
        plan: toml::to_string(&plan).map_err(|error| Error::job("the plan", error, "report this"))?,
        field: container::field_of(plan.method_of_field),
        planned: plan.iterations,
        objective: None,
    };
    let mut checkpointed = false;
    let mut observe = |event: Event| {
        match event {
            Event::Stage(name) => {
                // Preparation has nothing to write; from its end on Ctrl-C waits for the map.
                interrupt::worth_writing(name == "descent");
                display.stage(name);
            }
            Event::Progress(progress) => display.iterate(progress),
            Event::Note(note) => display.note(note),
            Event::Checkpoint(moment) => {
                if let Some(place) = &checkpoint {
                    match keep(place, &about, &along, moment) {
                        Ok(()) => checkpointed = true,
                        // The run is worth more than what it could be taken up from.
                        Err(error) => display.note(&format!("this moment was not kept: {error}")),
                    }
                }
            }
        }
        !interrupt::asked()
    };
    let clock = Instant::now();
    let mut narrowed = 0.0;
    let (data, done) = match kept {
        Some(kept) => {
            let data = match points {
                Points::Dense(points) => points,
                Points::Sparse(_) | Points::Stored(_) => kept.prepared.points.clone(),
            };
            (
                Dataset { name, points: data, labels: None, notes: Vec::new() },
                job::resume(&plan, &settings, kept, backend, &mut observe),
            )
        }
        None => {
            let is_dense = matches!(points, Points::Dense(_));
            if !is_dense {
                observe(Event::Stage("pca"));
            }
            let (labels, ids, columns, pictures, rows, notes) = (None, None, Vec::new(), None, None, Vec::new());
            let treatment = Default::default();
            let bare = Input { name, points, labels, ids, columns, pictures, of: n, rows, notes, treatment };
            let (data, projection) = job::narrowed(&plan, bare, memory.unwrap_or(u64::MAX))?;
            narrowed = if is_dense { 0.0 } else { clock.elapsed().as_secs_f64() };
            let given = Given { projection, ..given };
            let done = job::run(&plan, &settings, &data, given, backend, &mut observe);
            (data, done)
        }
    };
    display.finish();
    let mut done = done?;
    done.seconds.pca += narrowed;
    notes.append(&mut done.notes);
    // Nothing was made of the start yet, so there is no map to write.
    if done.outcome.iterations == 0
        && let Some(fault) = done.outcome.fault
    {
        return Err(fault);
    }
    if done.unreached > 0 {
        let note = format!("{} of {n} points have too many equal neighbours to reach the perplexity", done.unreached);
        display.note(&note);
        notes.push(note);
    }

    let clusters = arguments.clusters.and_then(|k| match clusters(&done, k, plan.seed) {
        Ok(fit) => Some(fit),
        // The map is worth more than its colours; one that holds no numbers is refused where it is written.
        Err(error) => {
            let note = format!("the map is not coloured by clusters: {error}");
            display.note(&note);
            notes.push(note);
            None
        }
    });
    // Whoever interrupts waits for the map alone.
    let scores = (arguments.score && done.outcome.stop != Stop::Interrupted).then(|| {
        display.stage("scores");
        let k = 10.min((n - 1) / 2);
        let asked = score::Settings { ks: vec![k], points: None, seed: plan.seed };
        let map = done.outcome.embedding.points.view();
        score::scores(data.points.view(), settings.metric, map, along.labels.as_ref(), &asked)
    });
    display.finish();
    let scores = match scores.transpose() {
        Ok(scores) => scores.map(|scores| {
            let told: Vec<String> = ["trustworthiness", "continuity", "knn_recall", "label_accuracy"]
                .into_iter()
                .filter_map(|name| Some(format!("{} {:.3}", name.replace('_', " "), scores.get(name)?.value)))
                .collect();
            display.note(&told.join(", "));
            super::score::keys(&scores)
        }),
        // As with the colours.
        Err(error) => {
            let note = format!("the map has no scores: {error}");
            display.note(&note);
            notes.push(note);
            None
        }
    };
    let clock = Instant::now();
    let brought = Brought { data: &data, along: &along, pictures: pictures.as_ref(), about: &about };
    let maps_written = write_maps(arguments, &brought, &settings, &plan, &done, clusters.as_ref());
    let left = leave(arguments, checkpoint.as_deref(), checkpointed, &brought, &done, maps_written.is_ok());
    if let Some(path) = &arguments.report {
        let around = Circumstances {
            device: gpu.as_ref().map(|gpu| (gpu.adapter(), gpu.memory().1)),
            read,
            write: clock.elapsed().as_secs_f64(),
            total: started.elapsed().as_secs_f64(),
            peak_host: host::peak_bytes(),
            clusters: clusters.map(|fit| Clusters {
                components: fit.mixture.n_components(),
                log_likelihood: fit.log_likelihood,
                bic: fit.bic,
            }),
            scores,
            warnings: notes,
        };
        // A map that was not written is the worse news of the two.
        let report_written = Report::new(&plan, &done, around).write(path);
        maps_written.and(report_written)?;
    } else {
        maps_written?;
    }
    if let Some(place) = left? {
        display.note(&format!("it goes on by --resume {}", place.display()));
    }
    if let Some(fault) = done.outcome.fault {
        let written = format!("the map of iteration {} was written", done.outcome.iterations);
        return Err(fault.with_remedy(&written));
    }
    let objective = done.outcome.trace.last().map_or(f64::NAN, |reading| reading.objective);
    let written = arguments.outputs.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    display.note(&format!(
        "{}{} iterations, objective {objective:.4}, {:.1} s; wrote {}",
        match done.outcome.stop {
            Stop::Iterations => "",
            Stop::Converged => "converged after ",
            Stop::Time => "out of time after ",
            Stop::Interrupted => "interrupted after ",
            Stop::Fault => "ended by a fault after ",
        },
        done.outcome.iterations,
        started.elapsed().as_secs_f64(),
        written.join(", ")
    ));
    Ok(if done.outcome.stop == Stop::Interrupted { End::Interrupted } else { End::Done })
}

/// What a run begins with.
struct Begun {
    brought: Input,
    settings: Settings,
    given: Given,
    fingerprint: u64,
    /// Columns of the input, before any were narrowed.
    input_dims: usize,
    /// Seconds that it took.
    read: f64,
}

/// Reads what a run begins with, and refuses what can be refused without a device.
fn begin(arguments: &Embed, memory: Option<u64>) -> Result<Begun> {
    let clock = Instant::now();
    let request = input::Request { memory, ..arguments.request() };
    let mut brought = input::open(&request)?;
    let read = clock.elapsed().as_secs_f64();
    let mut settings = arguments.settings();
    let (n, input_dims) = brought.points.dim();
    let neighbors = arguments.neighbors_file.as_ref().map(|path| {
        check_all_rows("--neighbors-file", path, &brought)?;
        input::read_neighbors(path, n)
    });
    let neighbors = neighbors.transpose()?;
    settings.given_neighbors = neighbors.as_ref().map(|neighbors| neighbors.indices.ncols());
    // Without a device first: whatever is wrong is said before drivers are asked, which may have things of their own to
    // say on stderr.
    let plan = Plan::resolve(&settings, Shape { name: &brought.name, n, input_dims }, None)?;
    if let Some(path) = arguments.affinities.as_ref().filter(|_| settings.affinity != Affinity::Precomputed) {
        let cause = "another kind of affinities was asked for";
        return Err(Error::request(format!("--affinities {path}"), cause, "give --affinity precomputed with it"));
    }
    let mut told = Vec::new();
    let start = match &settings.init {
        Start::File(path) => Some(start_from(path, &brought, settings.dims, &mut told)?),
        Start::Pca | Start::Random => None,
    };
    brought.notes.append(&mut told);
    let given = Given {
        newcomers: start.as_ref().is_some_and(|start| start.iter().any(|y| y.is_nan())),
        start,
        affinities: arguments
            .affinities
            .as_ref()
            .map(|path| {
                check_all_rows("--affinities", path, &brought)?;
                input::read_triples(path, n)
            })
            .transpose()?,
        neighbors,
        projection: None,
    };
    let fingerprint = if plan.keep { container::fingerprint(&brought.points)? } else { 0 };
    // What is not narrowed must be a matrix in memory; and a row of zeros under the cosine is a wrong request too: found here, before
    // anything is said.
    let brought = if plan.pca.is_some() { brought } else { input::in_memory(brought, memory.unwrap_or(u64::MAX))? };
    if let Points::Dense(points) = &brought.points {
        settings.metric.prepare(points.view())?;
    }
    Ok(Begun { brought, settings, given, fingerprint, input_dims, read })
}

/// What a run begins with that goes on from a kept map. Data that are given bring pictures, and what scores measure by.
fn begin_again(arguments: &Embed, kept: &Kept, memory: Option<u64>) -> Result<Begun> {
    let clock = Instant::now();
    let About { name, n, input_dims, fingerprint, .. } = &kept.about;
    let settings = given::settings(arguments, kept);
    Plan::resolve(&settings, Shape { name, n: *n, input_dims: *input_dims }, None)?;
    let opened = match &arguments.input {
        None => None,
        Some(path) => {
            let opened = input::open(&input::Request { memory, ..arguments.request() })?;
            if opened.points.dim() != (*n, *input_dims) || container::fingerprint(&opened.points)? != *fingerprint {
                let cause = format!("these are not the data that the kept map is of, {name} then");
                return Err(Error::request(path, cause, "give the same, read in the same way, or leave them out"));
            }
            Some(opened)
        }
    };
    let (points, pictures) = match opened {
        Some(Input { points: Points::Dense(points), pictures, .. }) => (points, pictures),
        Some(Input { pictures, .. }) => (kept.prepared.points.clone(), pictures),
        None => (kept.prepared.points.clone(), None),
    };
    let Along { labels, ids, columns, treatment } = kept.along.clone();
    let brought = Input {
        name: name.clone(),
        points: Points::Dense(points),
        labels,
        ids,
        columns,
        pictures,
        of: *n,
        rows: None,
        notes: Vec::new(),
        treatment,
    };
    let (given, read) = (Given::default(), clock.elapsed().as_secs_f64());
    Ok(Begun { brought, settings, given, fingerprint: *fingerprint, input_dims: *input_dims, read })
}

/// Where a run is kept on its way: the first container that is asked for, or one beside the first output.
fn checkpoint_place(arguments: &Embed) -> Result<Option<PathBuf>> {
    if arguments.checkpoint.is_none() {
        return Ok(None);
    }
    if let Some(asked) = arguments.outputs.iter().find(|path| render::is_container(path)) {
        return Ok(Some(asked.clone()));
    }
    let Some(first) = arguments.outputs.first() else { return Ok(None) };
    let refuse = |cause: String| {
        Err(Error::request("--checkpoint", cause, "name a file for it, as in -o kept.nearfield, or resume from that"))
    };
    if first.as_os_str() == "-" {
        return refuse("there is no file beside which it could be kept".into());
    }
    let place = first.with_extension(container::EXTENSION);
    if place.exists() && !goes_on_from(arguments, &place) {
        // It may be all that is left of a long run.
        return refuse(format!("{} is there", place.display()));
    }
    render::check_place(&place)?;
    Ok(Some(place))
}

/// Whether this is the file that the run goes on from.
fn goes_on_from(arguments: &Embed, place: &Path) -> bool {
    let resumed = arguments.resume.as_ref().and_then(|path| path.canonicalize().ok());
    resumed.is_some_and(|resumed| place.canonicalize().is_ok_and(|place| place == resumed))
}

/// Writes a container.
fn keep(path: &Path, about: &About, along: &Along, moment: &Moment) -> Result<()> {
    let about = About { objective: moment.trace.last().map(|reading| reading.objective), ..about.clone() };
    render::replace(path, |out| container::write(out, &about, along, moment))
}

/// What becomes of what was kept on the way and not asked for: it is removed when the maps are written, but for a run that was cut short,
/// which can go on from it, and for the very file that this one went on from. Returns where to go on from.
fn leave(
    arguments: &Embed,
    place: Option<&Path>,
    written: bool,
    brought: &Brought,
    done: &job::Done,
    maps_written: bool,
) -> Result<Option<PathBuf>> {
    let (Some(place), Some(moment)) = (place, done.moment()) else { return Ok(None) };
    let whole = matches!(done.outcome.stop, Stop::Iterations | Stop::Converged);
    if arguments.outputs.iter().any(|output| output == place) {
        return Ok((!whole && maps_written).then(|| place.to_owned()));
    }
    if whole && maps_written && !goes_on_from(arguments, place) {
        if written {
            let failed = |error| Error::job(place.display(), format!("cannot be removed: {error}"), "remove it");
            std::fs::remove_file(place).map_err(failed)?;
        }
        return Ok(None);
    }
    keep(place, brought.about, brought.along, &moment)?;
    Ok((!whole).then(|| place.to_owned()))
}

/// Files that count all rows of the input serve only where none is left out.
fn check_all_rows(option: &str, path: &str, input: &Input) -> Result<()> {
    let Some(rows) = &input.rows else { return Ok(()) };
    let cause = format!("it counts all {} rows of the input, of which {} are left", input.of, rows.len());
    Err(Error::request(format!("{option} {path}"), cause, "give one for these rows alone, with an input of only them"))
}

/// A map to start from, of the rows that are here or of all rows of the input; of a kept map the points of the same names, and NaN for others.
fn start_from(path: &str, input: &Input, dims: usize, told: &mut Vec<String>) -> Result<Array2<f32>> {
    if container::is_one(Path::new(path)) {
        let kept = container::read(Path::new(path))?;
        let (start, matched) = kept.start_for(path, input, dims)?;
        let others = input.points.dim().0 - matched;
        told.push(match others {
            0 => format!("all points start where {path} has them"),
            _ => format!("{matched} points start where {path} has them, the other {others} among their neighbours"),
        });
        return Ok(start);
    }
    let here = input::read_map(path, input.points.dim().0, dims);
    match (&here, &input.rows) {
        (Err(_), Some(rows)) => {
            let all = input::read_map(path, input.of, dims).or_else(|_| here.clone())?;
            let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
            Ok(all.select(Axis(0), &rows))
        }
        _ => here,
    }
}

/// Every output must be writable before any work is done, under a name of its own that is not one of the data's.
fn check_outputs(arguments: &Embed) -> Result<()> {
    arguments.outputs.iter().try_for_each(|path| outputs::check(path))?;
    arguments.report.iter().try_for_each(|path| render::check_place(path))?;
    arguments.shepard.iter().try_for_each(|path| render::check_shepard(path))?;
    arguments.frames.iter().try_for_each(|path| render::check_film(path))?;
    arguments.atlas.iter().try_for_each(|path| render::check_atlas(path))?;
    if arguments.atlas.is_some() && arguments.dims != 2 {
        return Err(Error::request("--atlas", "pictures are placed in two dimensions", "give --dims 2"));
    }
    let outputs = arguments.outputs.iter().chain(&arguments.report).chain(&arguments.shepard).chain(&arguments.frames);
    let outputs = outputs.chain(&arguments.atlas);
    let files = [&arguments.labels, &arguments.id, &arguments.neighbors_file, &arguments.affinities];
    let read = files.into_iter().flatten().chain(&arguments.input).chain([&arguments.init]);
    let config = arguments.config.as_deref().and_then(Path::to_str);
    outputs::check_distinct(outputs, &read.map(|path| Some(path.as_str())).chain([config]).collect::<Vec<_>>())
}

/// The mixture of `k` components of a finished map, by EM on the CPU: a map has few columns.
fn clusters(done: &job::Done, k: usize, seed: u64) -> Result<Fit> {
    let prepared = Prepared::new(done.outcome.embedding.points.view())?;
    mixture::fit(&prepared, k, &mixture::Settings { seed, ..Default::default() }, None, &mut |_| Ok(true))
}

/// What was read.
struct Brought<'a> {
    data: &'a Dataset,
    along: &'a Along,
    pictures: Option<&'a Pictures>,
    about: &'a About,
}

fn write_maps(
    arguments: &Embed,
    brought: &Brought,
    settings: &Settings,
    plan: &Plan,
    done: &job::Done,
    clusters: Option<&Fit>,
) -> Result<()> {
    let Brought { data, along, pictures, about } = *brought;
    let components = clusters.map(|fit| cluster::classes(fit.labels(), fit.mixture.n_components()));
    let map = render::Map {
        labels: components.as_ref().or(along.labels.as_ref()),
        ids: along.ids.as_deref(),
        columns: &along.columns,
        pictures,
        frames: &done.outcome.frames,
        title: &outputs::title(&data.name),
        caption: &caption(plan, settings, done, clusters),
        style: arguments.style.style(),
        ..render::Map::new(done.outcome.embedding.points.view())
    };
    // One full disk does not keep the map from another.
    let write = |path: &PathBuf| match done.moment().filter(|_| render::is_container(path)) {
        Some(moment) => keep(path, about, along, &moment),
        None => outputs::write(path, &map),
    };
    let mut written: Vec<Result<()>> = arguments.outputs.iter().map(write).collect();
    let placement = if arguments.grid { render::Placement::Grid } else { render::Placement::Points };
    written.extend(arguments.atlas.iter().map(|path| render::write_atlas(path, &map, placement)));
    written.extend(arguments.frames.iter().map(|path| render::write_film(path, &map)));
    written.extend(arguments.shepard.iter().map(|path| {
        let prepared = settings.metric.prepare(data.points.view())?;
        let shepard = Shepard::new(prepared.view(), settings.metric, map.points, plan.seed)?;
        let same_units = matches!(plan.objective, Objective::Distances(_));
        let title = format!("{}: Shepard's diagram", map.title);
        render::write_shepard(path, &shepard, &title, &caption(plan, settings, done, None), same_units)
    }));
    written.into_iter().collect()
}

/// What stands below a picture.
fn caption(plan: &Plan, settings: &Settings, done: &job::Done, clusters: Option<&Fit>) -> String {
    let objective = done.outcome.trace.last().map_or(f64::NAN, |reading| reading.objective);
    let called = match plan.objective {
        Objective::Neighbour(Neighbour { lambda: 1.0, .. }) => "KL",
        Objective::Neighbour(_) => "divergence",
        Objective::Distances(_) => "stress",
    };
    let metric = match settings.metric {
        Metric::Euclidean | Metric::Precomputed => String::new(),
        metric => metric.name().to_owned(),
    };
    let from = [from(plan), metric];
    let parts = [
        format!("{} of {} points, {} dimensions", settings.method.title, plan.n, plan.input_dims),
        from.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        format!("{} iterations", done.outcome.iterations),
        format!("{called} {objective:.3}"),
        clusters.map_or_else(String::new, |fit| {
            format!("coloured by a mixture of {} Gaussians fitted to the map", fit.mixture.n_components())
        }),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// What the map was made from, for its caption.
fn from(plan: &Plan) -> String {
    let rounded = |x: f64| (100.0 * x).round() / 100.0;
    let mut text = match (plan.objective, &plan.law) {
        (Objective::Distances(_), _) => {
            return plan
                .stress_exponent
                .filter(|&exponent| exponent != 0.0)
                .map_or_else(String::new, |exponent| format!("weights δ^-{}", rounded(exponent)));
        }
        (_, Law::Perplexity(perplexity)) => format!("perplexity {}", rounded(*perplexity)),
        (_, Law::Multiscale(perplexities)) => {
            let all: Vec<String> = perplexities.iter().map(|&p| rounded(p).to_string()).collect();
            format!("perplexities {}", all.join(", "))
        }
        (_, Law::Fixed(sigma)) => format!("σ {sigma}"),
        (_, Law::Given) => "affinities as given".into(),
        (_, Law::Uniform) => format!("uniform over {} neighbours", plan.neighbors),
    };
    if let Some(dof) = plan.dof.filter(|&dof| dof != 1.0) {
        text += &format!(", α {}", rounded(dof));
    }
    if let Some(lambda) = plan.lambda.filter(|&lambda| lambda != 1.0) {
        text += &format!(", λ {}", rounded(lambda));
    }
    text
}
