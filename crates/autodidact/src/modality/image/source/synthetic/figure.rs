//! The ten shapes, as signed distances: negative inside, in units of the figure's radius.

/// The distance of a point from the edge of a shape that fills about the unit circle.
pub(super) type Figure = fn([f32; 2]) -> f32;

/// Shapes by name. They differ in outline, holes and corners, so that a crop of one seldom is a crop of another.
pub(super) const FIGURES: [(&str, Figure); 10] = [
    ("arrow", arrow),
    ("bars", bars),
    ("crescent", crescent),
    ("cross", cross),
    ("disc", disc),
    ("ring", ring),
    ("spiral", spiral),
    ("square", square),
    ("star", star),
    ("triangle", triangle),
];

fn arrow(p: [f32; 2]) -> f32 {
    const CORNERS: [[f32; 2]; 7] = [
        [1.0, 0.0],
        [0.1, -0.8],
        [0.1, -0.27],
        [-0.95, -0.27],
        [-0.95, 0.27],
        [0.1, 0.27],
        [0.1, 0.8],
    ];
    polygon(p, &CORNERS)
}

fn bars([x, y]: [f32; 2]) -> f32 {
    let between = (y.abs() - 0.62).abs().min(y.abs());
    (x.abs() - 0.85).max(between - 0.17)
}

fn crescent([x, y]: [f32; 2]) -> f32 {
    let bite = (x - 0.45).hypot(y) - 0.75;
    (x.hypot(y) - 0.95).max(-bite)
}

fn cross([x, y]: [f32; 2]) -> f32 {
    let (x, y) = (x.abs(), y.abs());
    (x - 0.95).max(y - 0.27).min((y - 0.95).max(x - 0.27))
}

fn disc([x, y]: [f32; 2]) -> f32 {
    x.hypot(y) - 0.85
}

fn ring([x, y]: [f32; 2]) -> f32 {
    (x.hypot(y) - 0.72).abs() - 0.2
}

fn spiral([x, y]: [f32; 2]) -> f32 {
    const PITCH: f32 = 0.5;
    let radius = x.hypot(y);
    let turns = radius / PITCH - y.atan2(x) / std::f32::consts::TAU;
    let off = (turns - turns.floor() - 0.5).abs() * PITCH;
    (off - 0.13).max(radius - 1.0)
}

fn square([x, y]: [f32; 2]) -> f32 {
    let (x, y) = (x.abs() - 0.68, y.abs() - 0.68);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - 0.06
}

fn star(p: [f32; 2]) -> f32 {
    const CORNERS: [[f32; 2]; 10] = [
        [0.0, -1.0],
        [0.235, -0.324],
        [0.951, -0.309],
        [0.38, 0.124],
        [0.588, 0.809],
        [0.0, 0.4],
        [-0.588, 0.809],
        [-0.38, 0.124],
        [-0.951, -0.309],
        [-0.235, -0.324],
    ];
    polygon(p, &CORNERS)
}

fn triangle(p: [f32; 2]) -> f32 {
    const CORNERS: [[f32; 2]; 3] = [[0.0, -0.98], [0.9, 0.62], [-0.9, 0.62]];
    polygon(p, &CORNERS)
}

/// Distance from a polygon's edge, negative inside (even-odd rule).
fn polygon([x, y]: [f32; 2], corners: &[[f32; 2]]) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    let mut from = corners[corners.len() - 1];
    for &to in corners {
        let (ex, ey) = (to[0] - from[0], to[1] - from[1]);
        let (wx, wy) = (x - from[0], y - from[1]);
        let along = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
        let (dx, dy) = (wx - ex * along, wy - ey * along);
        nearest = nearest.min(dx * dx + dy * dy);
        if (from[1] > y) != (to[1] > y) && x < ex * (y - from[1]) / ey + from[0] {
            inside = !inside;
        }
        from = to;
    }
    if inside {
        -nearest.sqrt()
    } else {
        nearest.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_distinct_inside_and_stay_in_the_circle() {
        let mut areas = Vec::new();
        for (name, figure) in FIGURES {
            let mut inside = 0;
            for i in 0..10_000 {
                let p = [
                    (i % 100) as f32 / 40.0 - 1.25,
                    (i / 100) as f32 / 40.0 - 1.25,
                ];
                if figure(p) < 0.0 {
                    inside += 1;
                    assert!(p[0].hypot(p[1]) < 1.26, "{name} at {p:?}");
                }
            }
            areas.push((inside, name));
        }
        assert!(
            areas.iter().all(|(area, _)| (1_200..6_000).contains(area)),
            "{areas:?}"
        );
    }
}
