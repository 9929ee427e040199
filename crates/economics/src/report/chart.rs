//! Line charts and maps as SVG, without a script or an outside font.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 48.0;
/// Told apart by people who don't tell red from green (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) logarithmic: bool,
}

impl Axis {
    pub(super) fn linear(label: &'static str, low: f64, high: f64) -> Self {
        Self { label, low, high, logarithmic: false }
    }

    pub(super) fn logarithmic(label: &'static str, low: f64, high: f64) -> Self {
        Self { label, low, high, logarithmic: true }
    }

    /// Where a value lies, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// `steps + 1` values from low to high.
    pub(super) fn values(&self, steps: u32) -> impl Iterator<Item = f64> + use<> {
        let axis = self.clone();
        (0..=steps).map(move |step| {
            let t = f64::from(step) / f64::from(steps);
            if axis.logarithmic {
                axis.low * (axis.high / axis.low).powf(t)
            } else {
                axis.low + (axis.high - axis.low) * t
            }
        })
    }
}

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over two axes.
pub(super) fn lines(x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut svg = open(x, y);
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let mut path = String::new();
        for (px, py) in line.points.iter().filter(|(a, b)| a.is_finite() && b.is_finite()) {
            let (a, b) = (place_x(x, *px), place_y(y, py.clamp(y.low.min(y.high), y.high.max(y.low))));
            let _ = write!(path, "{}{a:.1} {b:.1}", if path.is_empty() { "M" } else { "L" });
        }
        let _ = write!(svg, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
    }
    for (i, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = TOP + 14.0 + 16.0 * i as f64;
        let x = WIDTH - RIGHT - 190.0;
        let _ = write!(
            svg,
            r#"<rect x="{x}" y="{:.0}" width="18" height="3" fill="{colour}"/><text x="{}" y="{y}">{}</text>"#,
            y - 5.0,
            x + 24.0,
            escape(&line.name)
        );
    }
    svg + "</svg>"
}

/// A map over two axes: each cell takes the colour of the number that `of` gives it, named by `names`.
pub(super) fn map(x: &Axis, y: &Axis, names: &[&str], of: impl Fn(f64, f64) -> usize) -> String {
    const CELLS: u32 = 48;
    let mut svg = open(x, y);
    let (xs, ys): (Vec<_>, Vec<_>) = (x.values(CELLS).collect(), y.values(CELLS).collect());
    let middle = |pair: &[f64], axis: &Axis| {
        if axis.logarithmic { (pair[0] * pair[1]).sqrt() } else { (pair[0] + pair[1]) / 2.0 }
    };
    for column in xs.windows(2) {
        let (a, b) = (place_x(x, column[0]), place_x(x, column[1]));
        let cells: Vec<(f64, f64, usize)> = ys
            .windows(2)
            .map(|row| (row[0], row[1], of(middle(column, x), middle(row, y)) % COLOURS.len()))
            .collect();
        // What is alike is one rectangle.
        for run in cells.chunk_by(|one, next| one.2 == next.2) {
            let (c, d) = (place_y(y, run[run.len() - 1].1), place_y(y, run[0].0));
            let _ = write!(
                svg,
                r#"<rect x="{a:.1}" y="{c:.1}" width="{:.1}" height="{:.1}" fill="{}" fill-opacity="0.55"/>"#,
                b - a + 0.3,
                d - c,
                COLOURS[run[0].2]
            );
        }
    }
    for (i, (name, colour)) in names.iter().zip(COLOURS).enumerate() {
        let (a, b) = (LEFT + 10.0, TOP + 20.0 + 18.0 * i as f64);
        let _ = write!(
            svg,
            r##"<rect x="{a}" y="{}" width="12" height="12" fill="{colour}" stroke="#fff"/><text x="{}" y="{b}" stroke="#fff" stroke-width="3" paint-order="stroke">{}</text>"##,
            b - 10.0,
            a + 18.0,
            escape(name)
        );
    }
    svg + "</svg>"
}

fn place_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)
}

fn place_y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn open(x: &Axis, y: &Axis) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
    );
    let (low, high) = (HEIGHT - BOTTOM, TOP);
    for value in x.values(5) {
        let a = place_x(x, value);
        let _ = write!(
            svg,
            r##"<path d="M{a:.1} {low}V{high}" stroke="#ddd"/><text x="{a:.1}" y="{}" text-anchor="middle">{}</text>"##,
            low + 16.0,
            short(value)
        );
    }
    for value in y.values(5) {
        let b = place_y(y, value);
        let _ = write!(
            svg,
            r##"<path d="M{LEFT} {b:.1}H{}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
            WIDTH - RIGHT,
            LEFT - 6.0,
            b + 4.0,
            short(value)
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">{}</text><text x="16" y="{}" text-anchor="middle" transform="rotate(-90 16 {})">{}</text>"#,
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        escape(x.label),
        HEIGHT / 2.0 - 16.0,
        HEIGHT / 2.0 - 16.0,
        escape(y.label)
    );
    svg
}

/// Three digits that count.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.1e}")
    } else {
        let digits = (2 - size.log10().floor() as i32).clamp(0, 5);
        let text = format!("{value:.*}", digits as usize);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// For text inside markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_text_is_text() {
        let all = [0.0, 0.00735, 0.125, 1.0, 12.345, 99_999.0, 1e9, -2.5e-7].map(short);
        assert_eq!(all, ["0", "0.00735", "0.125", "1", "12.3", "99999", "1.0e9", "-2.5e-7"]);
        assert_eq!(escape("p < 1 & q"), "p &lt; 1 &amp; q");
    }

    #[test]
    fn a_chart_holds_its_lines_inside_its_frame() {
        let x = Axis::linear("p", 0.0, 1.0);
        let y = Axis::logarithmic("S", 1.0, 100.0);
        let line = Line { name: "a".into(), points: vec![(0.0, 1.0), (0.5, f64::NAN), (1.0, 1e9)] };
        let svg = lines(&x, &y, &[line]);
        assert!(svg.contains(r#"d="M72.0 312.0L624.0 16.0""#), "{svg}");
        let map = map(&x, &y, &["yes", "no"], |a, _| usize::from(a > 0.5));
        assert_eq!(map.matches("fill-opacity").count(), 48);
        assert!(svg.ends_with("</svg>") && map.ends_with("</svg>"));
    }
}
