//! Curves as Vega-Lite 5, which JupyterLab draws: zoom and pan, values under the pointer, curves picked in the legend.

use serde_json::{Value, json};

use crate::eval::names;
use crate::plot::axes::Scale;
use crate::plot::chart::Chart;
use crate::plot::colour::{Rgb, styles};

/// A Vega-Lite specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vega(String);

impl Vega {
    /// The MIME type by which notebooks know it.
    pub const MIME: &'static str = "application/vnd.vegalite.v5+json";

    /// The specification as JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The curves of a chart.
    pub(super) fn new(chart: &Chart) -> Self {
        let labels: Vec<&str> = chart.series.iter().map(|series| series.label.as_str()).collect();
        let styles = styles(&labels);
        let shown: Vec<String> = labels.iter().map(|label| names::display(label)).collect();
        let colours: Vec<String> = styles.iter().map(|(colour, _)| hex(*colour)).collect();
        // An empty pattern is none here; a solid line is one without gaps.
        let dashes: Vec<Vec<f64>> =
            styles.iter().map(|(_, dash)| if dash.is_empty() { vec![1.0, 0.0] } else { dash.to_vec() }).collect();
        let fits = |scale: Scale, value: f64| value.is_finite() && (scale == Scale::Linear || value > 0.0);
        let mut points = Vec::new();
        for (series, name) in chart.series.iter().zip(&shown) {
            for (i, (&x, &y)) in series.x.iter().zip(&series.y).enumerate() {
                if !(fits(chart.x_scale, x) && fits(chart.y_scale, y)) {
                    continue;
                }
                let mut point = json!({"curve": name, "x": x, "y": y});
                if let Some((low, high)) = &series.band
                    && fits(chart.y_scale, low[i])
                    && fits(chart.y_scale, high[i])
                {
                    (point["low"], point["high"]) = (json!(low[i]), json!(high[i]));
                }
                points.push(point);
            }
        }
        let axis = |field: &str, title: &str, scale: Scale| {
            let kind = if scale == Scale::Log { "log" } else { "linear" };
            json!({"field": field, "type": "quantitative", "title": title, "scale": {"type": kind, "zero": false}})
        };
        let y = |field: &str| axis(field, &chart.y_label, chart.y_scale);
        let faded = json!({"condition": {"param": "picked", "value": 1}, "value": 0.15});
        let mut layers = vec![json!({
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {"y": y("low"), "y2": {"field": "high"}},
        })];
        layers.push(json!({
            "params": [
                {"name": "zoom", "select": "interval", "bind": "scales"},
                {"name": "picked", "select": {"type": "point", "fields": ["curve"]}, "bind": "legend"},
            ],
            "mark": {"type": "line", "point": {"size": 12, "opacity": 0.4}, "tooltip": true},
            "encoding": {
                "y": y("y"),
                "opacity": faded,
                // One legend with that of the colours: for that the two must agree in all but the scale.
                "strokeDash": {
                    "field": "curve", "type": "nominal", "title": null, "sort": shown,
                    "scale": {"domain": shown, "range": dashes},
                },
                "tooltip": [
                    {"field": "curve", "title": "curve"},
                    {"field": "x", "title": chart.x_label, "format": ".4~g"},
                    {"field": "y", "title": chart.y_label, "format": ".4~g"},
                ],
            },
        }));
        for (value, note) in &chart.levels {
            layers.push(json!({
                "data": {"values": [{"level": value, "note": note}]},
                "mark": {"type": "rule", "strokeDash": [2, 2], "color": "#888888", "tooltip": true},
                "encoding": {"x": null, "color": null, "y": {"field": "level", "type": "quantitative"}},
            }));
        }
        let spec: Value = json!({
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "description": chart.caption,
            "background": "white",
            "width": 520,
            "height": 300,
            "data": {"values": points},
            "encoding": {
                "x": axis("x", &chart.x_label, chart.x_scale),
                "color": {
                    "field": "curve", "type": "nominal", "title": null, "sort": shown,
                    "scale": {"domain": shown, "range": colours},
                    "legend": {"symbolType": "stroke", "symbolSize": 400, "symbolOpacity": 1},
                },
            },
            "layer": layers,
        });
        Self(spec.to_string())
    }
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
