//! Published numbers beside ours.

use std::collections::BTreeMap;

use lacuna::closure::NO_CLOSURE;
use lacuna::eval::{Column, Ours, Table, claim, ledger};

/// Curves of one closure at one time.
fn curve(closure: &str, t: f64, error: f64, uncertainty: f64) -> Table {
    let columns = vec![
        Column::new("closure".into(), [closure]),
        Column::new("t".into(), [t]),
        Column::new("error of mean".into(), [error]),
        Column::new("error of mean ±".into(), [uncertainty]),
        Column::new("error of member".into(), [error]),
    ];
    Table::new("curves", "", columns).unwrap()
}

#[test]
fn the_ledger_shows_what_is_there_and_invents_nothing() {
    let curves = |rows: &[(&str, f64, f64, f64)]| {
        Table::concat(&rows.iter().map(|row| curve(row.0, row.1, row.2, row.3)).collect::<Vec<_>>()).unwrap()
    };
    let recipe = Ours {
        preset: "published".into(),
        curves: Some(curves(&[
            (NO_CLOSURE, 45.0, 0.7, 0.01),
            (NO_CLOSURE, 50.0, 0.8, 0.02),
            ("joint", 45.0, 0.04, 0.003),
        ])),
        artifacts: BTreeMap::from([(format!("rollout/{NO_CLOSURE}"), "rollout-abc".to_string())]),
        ..Ours::default()
    };
    let own = Ours { preset: "own".into(), curves: Some(curves(&[(NO_CLOSURE, 50.0, 0.9, 0.03)])), ..Ours::default() };
    let table = ledger(&recipe, &own).unwrap();
    let text = |column: &str| table.texts(column).unwrap();
    let (closures, quantities, presets, remarks) =
        (text("closure"), text("quantity"), text("of preset"), text("remark"));
    let (found, errors) = (table.numbers("ours").unwrap(), table.numbers("ours ±").unwrap());
    let mut there = 0;
    for row in 0..table.rows() {
        let expected = match (presets[row].as_str(), closures[row].as_str(), quantities[row].as_str()) {
            ("published", NO_CLOSURE, "error at t = 45") => Some((0.7, 0.01)),
            ("published", NO_CLOSURE, "error at t = 50") => Some((0.8, 0.02)),
            ("published", "joint", "error at t = 45") => Some((0.04, 0.003)),
            ("own", NO_CLOSURE, "error at t = 50") => Some((0.9, 0.03)),
            _ => None,
        };
        match expected {
            Some((value, error)) => {
                there += 1;
                assert_eq!((found[row], errors[row]), (value, error));
                let folder = if (presets[row].as_str(), closures[row].as_str()) == ("published", NO_CLOSURE) {
                    "rollout-abc"
                } else {
                    ""
                };
                assert_eq!(text("artifact")[row], folder);
            }
            None => {
                assert!(found[row].is_nan() && errors[row].is_nan() && !remarks[row].is_empty(), "row {row}");
                assert_eq!(text("artifact")[row], "");
            }
        }
    }
    // Without closure: t = 45 and 50 of the demo, t = 50 of the paper by the recipe and by the configuration's own; t = 45 of the joint model.
    assert_eq!(there, 5);
    assert!(table.numbers("published").unwrap().iter().all(|x| x.is_finite()));
}

#[test]
fn the_claim_has_the_scores_of_both_sides() {
    let side = |preset: &str, excess: f64, error: f64| {
        let offline = vec![
            Column::new("closure".into(), ["exact law", "joint"]),
            Column::new("D_RE single excess".into(), [0.0, excess]),
            Column::new("D_RE single excess ±".into(), [f64::NAN, 0.001]),
        ];
        let summary = vec![Column::new("closure".into(), ["joint"]), Column::new("error of mean".into(), [error])];
        Ours {
            preset: preset.into(),
            offline: Some(Table::new("offline", "", offline).unwrap()),
            summary: Some(Table::new("closed-loop", "", summary).unwrap()),
            ..Ours::default()
        }
    };
    let table = claim(&side("published", 0.02, 0.05), &side("desk", 0.001, 0.01)).unwrap();
    assert!(table.caption.contains("preset published") && table.caption.contains("preset desk"));
    let joint = table.texts("closure").unwrap().iter().position(|name| name == "joint").unwrap();
    let value = |column: &str| table.numbers(column).unwrap()[joint];
    let found = ["recipe excess", "own excess", "recipe error", "own error", "recipe excess ±"].map(value);
    assert_eq!(found, [0.02, 0.001, 0.05, 0.01, 0.001]);
    // 0.11 where a perfect draw of the published noise has 0.113.
    assert!((value("published excess") + 0.003).abs() < 1e-12);
    let two_phase = table.texts("closure").unwrap().iter().position(|name| name == "two-phase").unwrap();
    assert!(table.numbers("own error").unwrap()[two_phase].is_nan());
}

#[test]
fn ten_rows_carry_the_story_and_all_are_there() {
    let table = ledger(&Ours::default(), &Ours::default()).unwrap();
    let lines = |text: String| text.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert_eq!(lines(table.to_markdown()), 10);
    assert_eq!(lines(table.all().to_markdown()), table.rows());
    assert_eq!(table.texts("closure").unwrap()[..2], [NO_CLOSURE, "exact law"]);
    assert!(!table.to_markdown().contains("artifact") && table.all().to_markdown().contains("artifact"));
}
