//! Published numbers beside ours.

use std::collections::BTreeMap;

use lacuna::closure::NO_CLOSURE;
use lacuna::eval::{Column, Ours, Table, ledger};

#[test]
fn the_ledger_shows_what_is_there_and_invents_nothing() {
    let curves = Table::new(
        "curves",
        "",
        vec![
            Column::new("closure".into(), [NO_CLOSURE, NO_CLOSURE, "joint"]),
            Column::new("t".into(), [45.0, 50.0, 45.0]),
            Column::new("error of mean".into(), [0.7, 0.8, 0.04]),
            Column::new("error of mean ±".into(), [0.01, 0.02, 0.003]),
            Column::new("error of member".into(), [0.7, 0.8, 0.05]),
        ],
    )
    .unwrap();
    let artifacts = BTreeMap::from([(format!("rollout/{NO_CLOSURE}"), "rollout-abc".to_string())]);
    let ours =
        Ours { offline: None, reconstruction: None, curves: Some(&curves), summary: None, artifacts: &artifacts };
    let table = ledger(&ours).unwrap();
    let text = |column: &str| table.texts(column).unwrap();
    let (closures, quantities, remarks) = (text("closure"), text("quantity"), text("remark"));
    let (found, errors) = (table.numbers("ours").unwrap(), table.numbers("ours ±").unwrap());
    let mut there = 0;
    for row in 0..table.rows() {
        let expected = match (closures[row].as_str(), quantities[row].as_str()) {
            (NO_CLOSURE, "error at t = 45") => Some((0.7, 0.01)),
            (NO_CLOSURE, "error at t = 50") => Some((0.8, 0.02)),
            ("joint", "error at t = 45") => Some((0.04, 0.003)),
            _ => None,
        };
        match expected {
            Some((value, error)) => {
                there += 1;
                assert_eq!((found[row], errors[row]), (value, error));
                let folder = if closures[row] == NO_CLOSURE { "rollout-abc" } else { "" };
                assert_eq!(text("artifact")[row], folder);
            }
            None => {
                assert!(found[row].is_nan() && errors[row].is_nan() && !remarks[row].is_empty(), "row {row}");
                assert_eq!(text("artifact")[row], "");
            }
        }
    }
    // t = 45 and 50 of the demo and t = 50 of the paper without closure, t = 45 of the joint model.
    assert_eq!(there, 4);
    assert!(table.numbers("published").unwrap().iter().all(|x| x.is_finite()));
}

#[test]
fn ten_rows_carry_the_story_and_all_are_there() {
    let artifacts = BTreeMap::new();
    let ours = Ours { offline: None, reconstruction: None, curves: None, summary: None, artifacts: &artifacts };
    let table = ledger(&ours).unwrap();
    let lines = |text: String| text.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert_eq!(lines(table.to_markdown()), 10);
    assert_eq!(lines(table.all().to_markdown()), table.rows());
    assert_eq!(table.texts("closure").unwrap()[..2], [NO_CLOSURE, "exact law"]);
    assert!(!table.to_markdown().contains("artifact") && table.all().to_markdown().contains("artifact"));
}
