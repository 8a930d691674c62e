use super::*;
use crate::eval::quantity::BETWEEN;

fn table() -> Table {
    Table::new(
        "demo",
        "a < b & c",
        vec![
            Column::new("closure".into(), ["exact, law", "a|b"]),
            Column::new("error".into(), [Some(0.112_345_6), None]),
            Column::new("error ±".into(), [Some(0.001_234), None]),
            Column::new("failures".into(), [0i64, 3]),
            Column::new("ms".into(), [1234.567, 1e-7]),
        ],
    )
    .unwrap()
}

/// Scores of two closures for one seed.
fn scores(seed: i64, errors: [f64; 2]) -> Table {
    let columns = vec![
        Column::new("closure".into(), ["joint", "exact law"]),
        Column::new("members".into(), [4i64, 4]),
        Column::new("error of mean".into(), errors),
        Column::new("error of mean ±".into(), [0.1, 0.1]),
        Column::new("energy score".into(), errors),
        Column::new("spread/exact".into(), [None::<f64>, None]),
    ];
    let table = Table::new("closed-loop", "Scores.", columns).unwrap();
    table.tag("configuration", "123456789012").unwrap().tag("seed", seed).unwrap().tag("preset", "smoke").unwrap()
}

#[test]
fn text_forms_merge_errors_align_and_escape() {
    let text = table().to_string();
    assert!(text.contains("0.1123 ± 0.0012"), "{text}");
    assert_eq!(show::number(0.2866, Some(1.5e-15)), "0.2866");
    assert!(!text.contains("error ±"), "{text}");
    assert!(text.contains("1.000e-7") && text.contains("1235"), "{text}");
    let markdown = table().to_markdown();
    assert!(markdown.starts_with("a < b & c\n\n| closure | error |"), "{markdown}");
    assert!(markdown.contains("| a\\|b | – | 3 |"), "{markdown}");
    let html = table().to_html();
    assert!(html.contains("a &lt; b &amp; c") && !html.contains("a < b"), "{html}");
}

#[test]
fn readable_forms_show_what_matters_and_all_on_request() {
    let table = Table::concat(&[scores(1, [0.5, 0.1]), scores(2, [0.7, 0.1])]).unwrap();
    let markdown = table.to_markdown();
    let header = |text: &str| text.lines().nth(2).unwrap().to_string();
    assert_eq!(header(&markdown), "| seed | closure | members | error of mean |");
    assert!(markdown.contains("joint L-CDM"), "{markdown}");
    let all = table.all();
    assert_eq!(
        header(&all.to_markdown()),
        "| seed | closure | members | error of mean | energy score | spread/exact |"
    );
    let text = table.to_string();
    assert!(text.ends_with("preset smoke, configuration 123456789012; more columns: energy score (.all())"), "{text}");
    let short = table.clone().showing(1).to_string();
    assert!(short.contains("3 more rows") && short.contains("0.50") && !short.contains("0.70"), "{short}");
    assert!(all.to_html().contains("title=\"relative Frobenius error"), "{}", all.to_html());
}

#[test]
fn csv_reads_back_the_same() {
    let before = table();
    let text = before.to_csv();
    assert!(text.starts_with("closure,error,error_se,failures,ms\n"), "{text}");
    assert!(text.contains("\"exact, law\",0.1123456,0.001234,0,1234.567"), "{text}");
    assert!(text.contains("a|b,NaN,NaN,3,1e-7"), "{text}");
    let after = Table::from_csv("demo", "", &text).unwrap();
    assert_eq!(after.numbers("ms").unwrap(), before.numbers("ms").unwrap());
    assert!(after.numbers("error").unwrap()[1].is_nan());
    assert_eq!(after.texts("closure").unwrap(), ["exact, law", "a|b"]);
    assert_eq!(after.to_csv(), text);
}

#[test]
fn types_and_titles_survive_csv() {
    let before = scores(1, [1.0, 2.0]);
    let text = before.to_csv();
    assert!(text.contains("smoke,1,\"123456789012\",joint,4,1.0,0.1,1.0,NaN"), "{text}");
    let after = Table::from_csv("closed-loop", "", &text).unwrap();
    let types = |table: &Table| {
        let columns = table.columns().map(|column| (column.name().to_string(), column.dtype().clone()));
        columns.collect::<Vec<_>>()
    };
    assert_eq!(types(&before), types(&after));
    // As earlier results were stored: titles, whole numbers without a point, nothing for what is not known.
    let stored = "closure,members,error of mean,error of mean ±,energy score,spread/exact\njoint,4,1,0.1,1,\nexact law,4,2,0.1,2,\n";
    let stored = Table::from_csv("closed-loop", "", stored).unwrap();
    assert_eq!(types(&stored), types(&before)[3..]);
    let empty = Table::from_csv("mine", "", "a,b\n1,\n2,\n").unwrap();
    assert!(empty.numbers("b").unwrap().iter().all(|x| x.is_nan()));
}

#[test]
fn columns_are_found_by_either_name_and_frames_have_machine_names() {
    let table = scores(1, [1.0, 2.0]);
    assert_eq!(table.numbers("error of mean").unwrap(), table.numbers("error_of_mean").unwrap());
    let frame = table.frame().unwrap();
    let names: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
    assert_eq!(names[3..7], ["closure", "members", "error_of_mean", "error_of_mean_se"]);
    let error = table.numbers("errors").unwrap_err().to_string();
    assert!(error.contains("closed-loop has no column `errors`") && error.contains("error of mean"), "{error}");
    assert!(table.numbers("closure").is_err());
}

#[test]
fn rows_are_chosen_sorted_and_joined() {
    let table = Table::concat(&[scores(1, [0.5, 0.1]), scores(2, [0.7, 0.2])]).unwrap();
    assert_eq!(table.filter("closure", |c| c == "joint").unwrap().numbers("seed").unwrap(), [1.0, 2.0]);
    assert_eq!(table.filter("closure", |c| c == "joint L-CDM").unwrap().rows(), 2);
    assert_eq!(table.filter("error of mean", |e| e < 0.4).unwrap().rows(), 2);
    assert_eq!(table.filter("seed", |seed| seed == 2).unwrap().rows(), 2);
    assert_eq!(table.filter("spread/exact", |x| x < 1e9).unwrap().rows(), 0);
    let sorted = table.sort_by("error of mean").unwrap();
    assert_eq!(sorted.numbers("error of mean").unwrap(), [0.1, 0.2, 0.5, 0.7]);
    assert_eq!(sorted.reversed().unwrap().numbers("error of mean").unwrap(), [0.7, 0.5, 0.2, 0.1]);
    let narrow = table.select(&["closure", "energy score", "error of mean"]).unwrap();
    let header = "| closure | energy score | error of mean |";
    assert!(narrow.to_markdown().contains(header), "{narrow}");
    assert_eq!(narrow.numbers("error of mean ±").unwrap(), [0.1; 4]);
    let costs = Table::new(
        "cost",
        "",
        vec![
            Column::new("closure".into(), ["joint"]),
            Column::new("members".into(), [9i64]),
            Column::new("draw".into(), [3.0]),
        ],
    );
    let joined = table.join(&costs.unwrap(), &["closure"]).unwrap();
    assert_eq!((joined.rows(), joined.numbers("members cost").unwrap()), (2, vec![9.0, 9.0]));
    assert!(table.join(&narrow, &["nothing"]).is_err());
}

#[test]
fn the_spread_between_seeds_is_that_of_the_sample() {
    let seeds: Vec<Table> = [(1, 0.5), (2, 0.7), (3, 0.9)].map(|(seed, e)| scores(seed, [e, 0.1])).into();
    let mean = Table::concat(&seeds).unwrap().mean_by(&["preset", "closure"]).unwrap();
    assert_eq!(mean.texts("closure").unwrap(), ["joint", "exact law"]);
    assert_eq!(mean.numbers("rows").unwrap(), [3.0, 3.0]);
    let close = |column: &str, wanted: f64| {
        let found = mean.numbers(column).unwrap()[0];
        assert!((found - wanted).abs() < 1e-12, "{column}: {found}");
    };
    close("error of mean", 0.7);
    close(&format!("error of mean{BETWEEN}"), 0.2);
    close("error_of_mean_se", 0.2 / 3f64.sqrt());
    assert!(mean.numbers("seed").is_err());
}

#[test]
fn tables_of_different_kinds_have_one_tidy_form() {
    let spectrum = Table::new(
        "spectra",
        "",
        vec![
            Column::new("closure".into(), ["true flow"]),
            Column::new("t".into(), [50.0]),
            Column::new("shell".into(), [3i64]),
            Column::new("energy".into(), [0.25]),
            Column::new("energy ±".into(), [0.01]),
        ],
    );
    let tidy = [spectrum.unwrap().tidy().unwrap(), scores(7, [0.5, 0.1]).tidy().unwrap()];
    let all = Table::concat(&tidy).unwrap();
    let csv = all.to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "preset,seed,configuration,table,closure,t,case,quantity,value,se,unit");
    assert_eq!(lines[1], ",,,spectra,true flow,50.0,shell=3,energy,0.25,0.01,length²/time²");
    assert_eq!(lines[3], "smoke,7,\"123456789012\",closed-loop,joint,NaN,,error_of_mean,0.5,0.1,rms ω");
    assert_eq!(all.rows(), 1 + 2 * 3);
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let columns = vec![Column::new("a".into(), [1i64, 2]), Column::new("b".into(), [1i64])];
    assert!(matches!(Table::new("x", "", columns), Err(Error::Table(_))));
    let text = Table::new("x", "", vec![Column::new("ms".into(), ["fast"])]).unwrap();
    let error = Table::concat(&[table(), text]).unwrap_err().to_string();
    assert!(error.contains("`ms`"), "{error}");
    assert!(Table::concat(&[]).is_err());
    assert!(table().tag("ms", 1.0).is_err());
}
