//! Figures: same bytes twice, well-formed files, readable refusals. The figures stay in the build's temporary folder to be
//! looked at.

use std::f64::consts::TAU;
use std::path::Path;

use lacuna::plot::colour::diverging;
use lacuna::plot::{self, Bars, Chart, FieldGrid, FieldGroup, Figure, Film, MOST_BYTES, Series};
use ndarray::Array2;

/// A smooth periodic field with a few scales.
fn field(n: usize, phase: f64, amplitude: f64) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| {
        let (x, y) = (i as f64 / n as f64, j as f64 / n as f64);
        amplitude
            * ((TAU * (x + 2.0 * y) + phase).sin()
                + 0.6 * (TAU * (3.0 * x - y) - phase).cos()
                + 0.3 * (TAU * (5.0 * x + 4.0 * y)).sin())
    })
}

fn panel() -> FieldGrid {
    let row = |title: &str, amplitude: f64, drift: f64| {
        let fields = (0..4).map(|c| Some(field(64, 0.4 * f64::from(c) + drift, amplitude))).collect();
        (title.to_string(), fields)
    };
    let error = row("error, t = 50", 0.2, 0.2);
    FieldGrid {
        name: "panel".into(),
        columns: ["truth", "exact law", "learned", "no closure"].map(String::from).to_vec(),
        length: 1.0,
        groups: vec![
            FieldGroup {
                label: "vorticity ω".into(),
                limit: None,
                rows: vec![row("t = 35", 1.0, 0.0), row("t = 40", 1.0, 0.1), row("t = 50", 0.7, 0.9)],
            },
            FieldGroup {
                label: "ω − truth".into(),
                limit: None,
                rows: vec![(error.0, error.1.into_iter().enumerate().map(|(c, f)| f.filter(|_| c > 0)).collect())],
            },
        ],
    }
}

fn curves() -> Vec<Series> {
    let x: Vec<f64> = (0..=20).map(|i| 30.0 + f64::from(i)).collect();
    let grow = |rate: f64, start: f64| -> Vec<f64> { x.iter().map(|t| start * ((t - 30.0) * rate).exp()).collect() };
    let scaled = |y: &[f64], by: f64| y.iter().map(|v| v * by).collect::<Vec<_>>();
    let (exact, learned) = (grow(0.02, 0.01), grow(0.08, 0.011));
    vec![
        Series::new("no closure", x.clone(), grow(0.12, 0.06)),
        Series::new("exact law", x.clone(), exact.clone()).with_band(scaled(&exact, 0.8), scaled(&exact, 1.25)),
        Series::new("learned", x.clone(), learned.clone()).with_band(scaled(&learned, 0.7), scaled(&learned, 1.4)),
    ]
}

fn all() -> Vec<Figure> {
    let shells: Vec<f64> = (0..32).map(f64::from).collect();
    let power = |p: f64| -> Vec<f64> { shells.iter().map(|k| if *k > 0.0 { k.powf(p) } else { 0.0 }).collect() };
    let steps: Vec<f64> = (1..=50).map(|i| 20.0 * f64::from(i)).collect();
    let loss: Vec<f64> = steps.iter().map(|s| 1.0 / (1.0 + s / 50.0) + 0.02 * (s / 9.0).sin().abs()).collect();
    vec![
        plot::vorticity_panel(&panel()).unwrap(),
        plot::error_curves("errors", curves()).unwrap(),
        plot::spectra(
            "spectra",
            "enstrophy per shell",
            vec![
                Series::new("truth", shells.clone(), power(-3.0)),
                Series::new("learned", shells.clone(), power(-2.8)),
            ],
        )
        .unwrap(),
        Chart::new("levels", "rank", "share")
            .curve("few points", (0..5).map(f64::from).collect(), vec![0.7, 1.2, 0.9, 1.4, 0.8])
            .with_level(1.0, "flat")
            .draw()
            .unwrap(),
        Bars {
            name: "ranks".into(),
            x_label: "rank".into(),
            y_label: "share".into(),
            level: Some(1.0),
            panels: ["exact law", "joint", "p-cdm", "spectral", "regression"]
                .map(|name| (name.to_string(), (0..9).map(|k| 0.5 + 0.1 * f64::from(k)).collect()))
                .to_vec(),
        }
        .draw()
        .unwrap(),
        plot::loss_curves(
            "loss",
            vec![
                Series::new("training", steps.clone(), loss.clone()),
                Series::new("validation", steps.clone(), loss.iter().map(|l| 1.2 * l).collect()),
            ],
        )
        .unwrap(),
    ]
}

#[test]
fn same_bytes_twice_and_well_formed() {
    let (first, second) = (all(), all());
    assert_eq!(first, second);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gallery");
    for figure in first {
        figure.save(&dir).unwrap();
        let (pixels, _) = decode(&figure);
        let ink = pixels.iter().filter(|pixel| pixel.iter().any(|&byte| byte < DARK)).count();
        assert!(ink as f64 > LEAST_INK * pixels.len() as f64, "{}: nearly blank", figure.name);
    }
}

/// Darker than this is ink.
const DARK: u8 = 128;
/// The share of a page that a curve and its labels blacken: a raster copy is no blank page.
const LEAST_INK: f64 = 0.005;

/// The pixels of a figure's raster image and the length of a row.
fn decode(figure: &Figure) -> (Vec<[u8; 3]>, usize) {
    let image = figure.png.as_ref().expect("every figure has a raster copy");
    let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let width = reader.next_frame(&mut bytes).unwrap().width as usize;
    (bytes.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(), width)
}

/// Every kind of chart is, to the byte, the one that was looked at when it was stored: curves, scales, ticks, labels, bands.
/// With LACUNA_GOLDEN=1 in the environment the files are written anew.
#[test]
fn charts_are_those_on_record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("golden");
    for figure in all() {
        let Some(svg) = figure.svg else { continue };
        let path = folder.join(format!("{}.svg", figure.name));
        if std::env::var_os("LACUNA_GOLDEN").is_some() {
            std::fs::write(&path, &svg).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap();
        let different = stored.lines().zip(svg.lines()).find(|(a, b)| a != b);
        assert!(stored == svg, "{} differs from {}: {different:?}", figure.name, path.display());
    }
}

#[test]
fn a_field_lies_on_the_page_as_it_should() {
    // Positive to the right of the middle and below it, negative elsewhere: axis 0 goes to the right, axis 1 upwards.
    const N: usize = 32;
    let field = Array2::from_shape_fn((N, N), |(i, j)| if i >= N / 2 && j < N / 2 { 1.0 } else { -1.0 });
    let rows = vec![("row".into(), vec![Some(field)])];
    let grid = FieldGrid {
        name: "corner".into(),
        columns: vec!["column".into()],
        length: 1.0,
        groups: vec![FieldGroup { label: "ω".into(), limit: Some(1.0), rows }],
    };
    let (pixels, width) = decode(&plot::vorticity_panel(&grid).unwrap());
    let places = |colour: [u8; 3]| -> Vec<(usize, usize)> {
        let at = (0..pixels.len()).filter(|&k| pixels[k] == colour);
        at.map(|k| (k % width, k / width)).collect()
    };
    let (red, blue) = (places(diverging(1.0)), places(diverging(-1.0)));
    let mean = |places: &[(usize, usize)], pick: fn(&(usize, usize)) -> usize| {
        places.iter().map(pick).sum::<usize>() as f64 / places.len() as f64
    };
    assert!(mean(&red, |p| p.0) > mean(&blue, |p| p.0), "red is not to the right");
    assert!(mean(&red, |p| p.1) > mean(&blue, |p| p.1), "red is not below");
    // A quarter and three quarters, but for the interpolated seam and the ends of the colour bar.
    const SEAM: f64 = 0.15;
    let share = red.len() as f64 / (red.len() + blue.len()) as f64;
    assert!((share / 0.25 - 1.0).abs() < SEAM, "{share} of the field is red");
}

#[test]
fn a_changed_field_changes_the_picture() {
    let mut other = panel();
    if let Some(values) = &mut other.groups[0].rows[0].1[0] {
        values[[5, 5]] += 1.5;
    }
    assert_ne!(plot::vorticity_panel(&panel()).unwrap(), plot::vorticity_panel(&other).unwrap());
}

#[test]
fn refusals_name_the_figure() {
    let error = plot::error_curves("errors", vec![Series::new("a", vec![0.0, 1.0], vec![1.0])]).unwrap_err();
    assert!(error.to_string().contains("errors") && error.to_string().contains("`a`"), "{error}");
    let nothing = vec![Series::new("a", vec![0.0, 1.0], vec![0.0, f64::NAN])];
    assert!(plot::error_curves("errors", nothing).is_err(), "a logarithmic axis shows no zero");
    let mut short = panel();
    short.groups[0].rows[1].1.pop();
    assert!(plot::vorticity_panel(&short).unwrap_err().to_string().contains("t = 40"));
    let mut faulty = panel();
    faulty.groups[0].rows = vec![("nan".into(), vec![Some(Array2::from_elem((8, 8), f64::NAN)); 4])];
    assert!(plot::vorticity_panel(&faulty).is_err());
}

/// As many snapshots of the preset's grid as a closed loop has, of fields with detail down to the grid.
fn film(frames: usize) -> Film {
    let fields = |k: usize| {
        let noisy = |amplitude: f64| {
            let mut field = field(64, 0.2 * k as f64, amplitude);
            let detail = |i: usize, j: usize| 0.05 * amplitude * ((7 * i + 13 * j * j + k) % 17) as f64;
            field.indexed_iter_mut().for_each(|((i, j), x)| *x += detail(i, j));
            Some(field)
        };
        vec![noisy(1.0), noisy(1.0), if k == 1 { None } else { noisy(0.9) }, noisy(0.1)]
    };
    let flow = || (2.0, "ω (1/time)".to_string());
    Film {
        name: "film".into(),
        columns: ["truth", "no closure", "learned", "its error"].map(String::from).to_vec(),
        scales: vec![flow(), flow(), flow(), (0.3, "error (1/time)".into())],
        frames: (0..frames).map(|k| (format!("t = {}", 30 + k), fields(k))).collect(),
    }
}

#[test]
fn a_film_moves_and_can_be_carried() {
    const FRAMES: usize = 21;
    let figure = film(FRAMES).draw().unwrap();
    figure.save(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("gallery")).unwrap();
    let image = figure.png.clone().unwrap();
    assert!(image.len() <= MOST_BYTES, "{} bytes", image.len());
    let mut reader = png::Decoder::new(std::io::Cursor::new(&image)).read_info().unwrap();
    assert_eq!(reader.info().animation_control().unwrap().num_frames as usize, FRAMES);
    let mut shots = Vec::new();
    for _ in 0..FRAMES {
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        shots.push(bytes);
    }
    assert!(shots.windows(2).all(|pair| pair[0] != pair[1]), "it stands still");
    assert_eq!(film(2).draw().unwrap(), film(2).draw().unwrap());
    let mut short = film(2);
    short.frames[1].1.pop();
    assert!(short.draw().unwrap_err().to_string().contains("t = 31"));
    assert!(figure.vega().unwrap_err().to_string().contains("film"));
}

#[test]
fn curves_as_vega_lite_are_those_of_the_chart() {
    let chart = Chart::new("v", "t", "error").log_y().with(curves()).curve("mine", vec![31.0, 32.0], vec![0.0, 0.5]);
    let figure = chart.with_level(0.1, "level").captioned("what is shown").draw().unwrap();
    let spec: serde_json::Value = serde_json::from_str(figure.vega().unwrap().json()).unwrap();
    let points = spec["data"]["values"].as_array().unwrap();
    // A logarithmic axis has no place for zero.
    assert_eq!(points.len(), 3 * 21 + 1);
    assert_eq!(points[63]["curve"], "mine");
    assert!(points[0].get("low").is_none());
    assert!(points[21]["low"].as_f64().unwrap() < points[21]["y"].as_f64().unwrap());
    assert_eq!(spec["description"], "what is shown");
    let colour = &spec["encoding"]["color"]["scale"];
    assert_eq!(colour["domain"][1], "exact law");
    assert_eq!(colour["range"][1], "#d55e00");
    assert_eq!(spec["layer"][1]["encoding"]["y"]["scale"]["type"], "log");
}

#[test]
fn one_closure_looks_the_same_in_every_figure() {
    let x = || vec![1.0, 2.0];
    let one = Chart::new("one", "x", "y").curve("joint", x(), x()).draw().unwrap().vega().unwrap();
    let two =
        Chart::new("two", "x", "y").curve("p-cdm", x(), x()).curve("joint", x(), x()).draw().unwrap().vega().unwrap();
    let look = |spec: &str, at: usize| {
        let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        let dash = &spec["layer"][1]["encoding"]["strokeDash"]["scale"];
        let colour = &spec["encoding"]["color"]["scale"];
        (dash["domain"][at].clone(), dash["range"][at].clone(), colour["range"][at].clone())
    };
    assert_eq!(look(one.json(), 0), look(two.json(), 1));
    assert_eq!(look(one.json(), 0).0, "joint L-CDM");
}
