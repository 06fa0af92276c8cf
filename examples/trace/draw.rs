//! A timeline as a picture: SVG that stands by itself, or a page around it.

use std::fmt::Write as _;

use klamm::wire::ApiKey;
use klamm::{Duration, Instant};

use crate::timeline::{Connection, Exchange, Lane, Timeline};

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 170.0;
const TOP: f64 = 70.0;
const ROW: f64 = 15.0;
const ROWS_MAX: usize = 6;

/// A page that shows the picture at the width of its window.
pub(crate) fn page(timeline: &Timeline) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>klamm: {title}</title>\n\
         <style>body{{margin:1em;font-family:sans-serif}}svg{{width:100%;height:auto}}</style></head>\n\
         <body>\n{picture}</body></html>\n",
        title = escaped(&timeline.title),
        picture = picture(timeline),
    )
}

/// The picture alone.
pub(crate) fn picture(timeline: &Timeline) -> String {
    let scale = Scale::of(timeline);
    let mut lanes = String::new();
    let mut top = TOP;
    for lane in &timeline.lanes {
        top += draw_lane(lane, top, &scale, &mut lanes);
    }
    let (height, mut svg) = (top + 30.0, String::new());
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">{}: {} requests in {}</text>",
        escaped(&timeline.title),
        timeline.requests().count(),
        time(timeline.end.since(timeline.begin)),
    );
    legend(&mut svg);
    axis(&scale, top, &mut svg);
    draw_marks(timeline, top, &scale, &mut svg);
    svg.push_str(&lanes);
    svg.push_str("</svg>\n");
    svg
}

/// Where a time stands.
struct Scale {
    begin: Instant,
    end: Instant,
    whole: Duration,
}

impl Scale {
    fn of(timeline: &Timeline) -> Self {
        Self {
            begin: timeline.begin,
            end: timeline.end,
            whole: timeline
                .end
                .since(timeline.begin)
                .max(Duration::from_micros(1)),
        }
    }

    fn x(&self, at: Instant) -> f64 {
        LEFT + (WIDTH - LEFT - 10.0) * at.since(self.begin).as_secs_f64() / self.whole.as_secs_f64()
    }
}

fn time(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ 0..10_000 => format!("{micros} µs"),
        micros @ 10_000..10_000_000 => format!("{} ms", micros / 1_000),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// Names come from brokers: none may become markup.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in klamm::printable(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

const KINDS: [(&str, &str); 5] = [
    ("Fetch", "#4c9f70"),
    ("Produce", "#3f78b5"),
    ("group", "#b57f3f"),
    ("other", "#8a8a9a"),
    ("no answer, or a stall", "#c0392b"),
];

fn color(exchange: &Exchange, end: Instant) -> &'static str {
    let kind = match exchange.api {
        _ if exchange.answered.is_none() || exchange.is_stalled(end) => 4,
        ApiKey::FETCH => 0,
        ApiKey::PRODUCE => 1,
        ApiKey::JOIN_GROUP
        | ApiKey::SYNC_GROUP
        | ApiKey::HEARTBEAT
        | ApiKey::LEAVE_GROUP
        | ApiKey::OFFSET_COMMIT
        | ApiKey::OFFSET_FETCH
        | ApiKey::CONSUMER_GROUP_HEARTBEAT => 2,
        _ => 3,
    };
    KINDS[kind].1
}

fn legend(svg: &mut String) {
    let mut x = 560.0;
    for (name, color) in KINDS {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"9\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{}\" y=\"18\">{name}</text>",
            x + 14.0
        );
        x += 34.0 + 6.5 * name.len() as f64;
    }
}

fn axis(scale: &Scale, bottom: f64, svg: &mut String) {
    for tenth in 0..=10_u32 {
        let after = scale.whole * tenth / 10;
        let x = scale.x(scale.begin + after);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {} V{bottom}\" stroke=\"#e4e4ea\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" \
             fill=\"#777\">{}</text>",
            TOP - 4.0,
            bottom + 16.0,
            time(after)
        );
    }
}

fn draw_marks(timeline: &Timeline, bottom: f64, scale: &Scale, svg: &mut String) {
    for (mark, number) in timeline.marks.iter().zip(0_u32..) {
        let (from, until) = (scale.x(mark.from), scale.x(mark.until));
        let is_stall = mark.what.starts_with("stall");
        let (color, opacity) = if is_stall {
            ("#c0392b", 0.10)
        } else {
            ("#7d3fb5", 0.9)
        };
        // Labels that follow each other closely stand on lines of their own.
        let y = 36.0 + f64::from(number % 2) * 13.0;
        let _ = writeln!(
            svg,
            "<g><title>{what} at {at}</title><rect x=\"{from:.1}\" y=\"{y0:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{color}\" fill-opacity=\"{opacity}\"/><text x=\"{x:.1}\" y=\"{y}\" fill=\"{color}\">{what}</text></g>",
            what = escaped(&mark.what),
            at = time(mark.from.since(timeline.begin)),
            y0 = y + 3.0,
            width = (until - from).max(1.2),
            height = bottom - y - 3.0,
            x = from.min(WIDTH - 130.0) + 2.0,
        );
    }
}

/// Draws a lane, and says how high it is.
fn draw_lane(lane: &Lane, top: f64, scale: &Scale, svg: &mut String) -> f64 {
    let rows: Vec<Vec<usize>> = lane.connections.iter().map(rows).collect();
    let most = rows.iter().flatten().max().map_or(1, |row| row + 1);
    let height = most as f64 * ROW + 8.0;
    let _ = writeln!(
        svg,
        "<g><text x=\"8\" y=\"{:.1}\">{}</text>",
        top + height / 2.0 + 4.0,
        escaped(&lane.name)
    );
    for (connection, rows) in lane.connections.iter().zip(rows) {
        draw_connection(connection, top, height, scale, svg);
        for (exchange, row) in connection.requests.iter().zip(rows) {
            draw_request(exchange, top + 4.0 + row as f64 * ROW, scale, svg);
        }
    }
    svg.push_str("</g>\n");
    height + 6.0
}

fn draw_connection(
    connection: &Connection,
    top: f64,
    height: f64,
    scale: &Scale,
    svg: &mut String,
) {
    let (until, cause) = match &connection.closed {
        Some((at, cause)) => (*at, format!(", {cause}")),
        None => (scale.end, String::new()),
    };
    let (from, until) = (scale.x(connection.opened), scale.x(until));
    let setup = connection.connected.map_or_else(
        || "never connected".to_owned(),
        |at| format!("connected after {}", time(at.since(connection.opened))),
    );
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"3\" fill=\"#eef0f5\" \
         stroke=\"#c9cdd8\"><title>{}: {setup}{}</title></rect>",
        (until - from).max(1.0),
        escaped(&connection.address),
        escaped(&cause),
    );
}

/// The row of each request: the first one that is free when it is sent.
fn rows(connection: &Connection) -> Vec<usize> {
    let mut free: Vec<Instant> = Vec::new();
    let mut rows = Vec::new();
    for exchange in &connection.requests {
        let until = exchange.answered.unwrap_or(Instant::FAR_FUTURE);
        let row = free.iter().position(|free| *free <= exchange.sent);
        let row = row.unwrap_or(free.len()).min(ROWS_MAX - 1);
        match free.get_mut(row) {
            Some(free) => *free = until,
            None => free.push(until),
        }
        rows.push(row);
    }
    rows
}

fn draw_request(exchange: &Exchange, y: f64, scale: &Scale, svg: &mut String) {
    let until = exchange.answered.unwrap_or(scale.end);
    let (from, to) = (scale.x(exchange.sent), scale.x(until));
    let width = (to - from).max(1.0);
    let mut about = exchange.api.to_string();
    if let Some(partitions) = exchange.partitions {
        let _ = write!(about, ", partitions: {partitions}");
    }
    let _ = match exchange.answered {
        Some(_) => write!(about, ", {}", time(until.since(exchange.sent))),
        None => write!(about, ", no answer"),
    };
    let _ = write!(
        about,
        ", {} bytes out, {} in",
        exchange.request_bytes, exchange.response_bytes
    );
    let color = color(exchange, scale.end);
    let _ = write!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{color}\"><title>{about}</title></rect>",
        ROW - 2.0,
    );
    let label = exchange.api.to_string();
    if width > 7.0 * label.len() as f64 {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#fff\">{label}</text>",
            from + 3.0,
            y + 10.5
        );
    }
    svg.push('\n');
}
