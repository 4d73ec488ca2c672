//! The page with the figures and the plots.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use plotters::prelude::*;

/// The results so far.
static PAGE: Mutex<Page> = Mutex::new(Page {
    text: String::new(),
    plots: Vec::new(),
});

struct Page {
    text: String,
    plots: Vec<Plot>,
}

/// A curve, drawn into a file of its own.
#[derive(Debug)]
pub struct Plot {
    /// The file's name, without an ending.
    pub file: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// The name of each curve, and its points.
    pub curves: Vec<(&'static str, Vec<(f64, f64)>)>,
}

fn with_page<T>(work: impl FnOnce(&mut Page) -> T) -> T {
    work(&mut PAGE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Starts a table.
pub fn section(title: &str) {
    println!("\n{title:<70} {:>12} {:>14}", "measured", "aim");
    with_page(|page| {
        let head = "| what | measured | aim |\n|---|---|---|";
        let _ = writeln!(page.text, "\n## {title}\n\n{head}");
    });
}

/// Adds a line to the table.
pub fn report(what: &str, measured: String, wanted: &str) {
    println!("{what:<70} {measured:>12} {wanted:>14}");
    with_page(|page| {
        let _ = writeln!(page.text, "| {what} | {measured} | {wanted} |");
    });
}

/// Adds a plot after the table.
pub fn plot(plot: Plot) {
    with_page(|page| {
        let _ = writeln!(page.text, "\n![{}](plots/{}.svg)", plot.title, plot.file);
        page.plots.push(plot);
    });
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn machine() -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "Measured on {} with commit {}: Linux {}, {} processors ({}), load at the end {}.",
        said_by("date", &["-u", "+%Y-%m-%d"]),
        said_by("git", &["rev-parse", "--short", "HEAD"]),
        said_by("uname", &["-r", "-m"]),
        processors,
        model.trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

const HEAD: &str = "# Benchmarks

`cargo xtask benchmarks`, run as root, wrote this page in one run of some minutes. Both sides of a ratio are
measured alternately, round by round, and their medians are compared, so other load on the machine slows
both. Where a memory layout that changes from start to start makes a difference, the programs were started
several times: the ratio is the median over the starts, each of which has many rounds of some milliseconds,
and the range after it is the 95 % confidence interval (sign test). Compare ratios, not times, with those of
another machine. [costs.md](costs.md) explains the figures, and why an aim is missed where it is.
";

/// The part of the page that another benchmark measures, at its end.
const FLEET: &str = "\n## The fleet\n";

/// Writes the page and the plots.
pub fn write() {
    let directory = docs().join("plots");
    fs::create_dir_all(&directory).expect("make a directory");
    with_page(|page| {
        let path = docs().join("benchmarks.md");
        let before = fs::read_to_string(&path).unwrap_or_default();
        let fleet = before.find(FLEET).map_or("", |at| &before[at..]);
        let text = format!("{HEAD}\n{}\n{}{fleet}", machine(), page.text);
        fs::write(path, text).expect("write the page");
        for plot in &page.plots {
            let path = directory.join(plot.file).with_extension("svg");
            draw(plot, &path).expect("draw a plot");
        }
    });
}

fn draw(plot: &Plot, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let points = || plot.curves.iter().flat_map(|(_, points)| points);
    let (left, right) = points().fold((f64::MAX, 0.0_f64), |(left, right), (x, _)| {
        (left.min(*x), right.max(*x))
    });
    let top = points().fold(0.0_f64, |top, (_, y)| top.max(*y)) * 1.1;
    let area = SVGBackend::new(path, (640, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d((left..right).log_scale(), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .x_desc(plot.x)
        .y_desc(plot.y)
        .draw()?;
    for (index, (name, points)) in plot.curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), &color).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}
