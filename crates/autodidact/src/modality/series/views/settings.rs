//! The recipe's `[views]` for series.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::modality::{Change, Need, Pretext};

/// Steps of the longest view that is chosen without being asked for.
pub(in crate::modality::series) const LONGEST: usize = 4096;

/// The recipe's `[views]` for series.
///
/// Strengths are in deviations of the data, where nothing else is said. What a view is changed by comes in the order in
/// which it stands here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeriesViews {
    /// Views of a series, 1 to 16.
    pub count: usize,
    /// Steps that a view holds at most, 2 to 65,536; of a longer series the undisturbed view is its beginning.
    pub length: usize,
    /// The part of the steps that a view shows, least and most, 0 to 1. All views of a slot of a batch are of one length,
    /// and each is cut from a place of its own. Of `overlapping` views it is the part that two of them share.
    pub crop: [f64; 2],
    /// Whether the views are pairs of crops that overlap, as TS2Vec draws them.
    pub overlapping: bool,
    /// Whether segments change places, time is warped and frequencies are left out in every other view only, as TS-TCC has
    /// it.
    pub uneven: bool,
    /// Segments change places.
    pub permutation: Permutation,
    /// Time goes faster here and slower there, by a smooth curve; strength is that of the speed, 0 to 1.
    pub time_warp: Disturbance,
    /// Each channel is multiplied by a smooth curve around 1 of that deviation, 0 to 1.
    pub magnitude_warp: Disturbance,
    /// Each channel is multiplied by a number around 1 of that deviation, 0 to 1.
    pub scaling: Disturbance,
    /// A band of frequencies is left out; strength is the part of them, 0 to 0.9.
    pub frequency_masking: Disturbance,
    /// To each value one of that deviation is added, 0 to 10.
    pub jitter: Disturbance,
    /// Channels are missing, each by a chance of that strength, 0 to 0.9; one stays.
    pub channel_dropout: Disturbance,
}

/// How often something changes a view, and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disturbance {
    /// Of all views, 0 to 1.
    pub probability: f64,
    /// What it means is said where it stands.
    pub strength: f64,
}

/// How often segments change places.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permutation {
    /// Of all views, 0 to 1.
    pub probability: f64,
    /// Segments at most, 2 to 64.
    pub segments: usize,
}

impl Default for Permutation {
    fn default() -> Self {
        Self {
            probability: 0.0,
            segments: 5,
        }
    }
}

impl Default for SeriesViews {
    fn default() -> Self {
        let none = Disturbance::default();
        Self {
            count: 1,
            length: LONGEST,
            crop: [1.0, 1.0],
            overlapping: false,
            uneven: false,
            permutation: Permutation::default(),
            time_warp: none,
            magnitude_warp: none,
            scaling: none,
            frequency_masking: none,
            jitter: none,
            channel_dropout: none,
        }
    }
}

/// So much, so often.
fn of(probability: f64, strength: f64) -> Disturbance {
    Disturbance {
        probability,
        strength,
    }
}

impl SeriesViews {
    /// What suits a pretext task, for series of at most `longest` steps. Mild, since many sets have a few dozen short series
    /// in which shape and place are what tells classes apart.
    pub(in crate::modality::series) fn suiting(pretext: &Pretext, longest: usize) -> Self {
        let plain = Self {
            count: pretext.views,
            length: longest.clamp(2, LONGEST),
            ..Self::default()
        };
        match pretext.change {
            Change::Light | Change::Paired => plain,
            Change::Overlapping => Self {
                crop: [0.0, 1.0],
                overlapping: true,
                ..plain
            },
            // Features that don't learn can't learn to see through noise, or what was taken out.
            Change::Strong if matches!(pretext.needs, Need::Readout | Need::Weights) => Self {
                crop: [0.8, 1.0],
                time_warp: of(0.3, 0.2),
                magnitude_warp: of(0.3, 0.2),
                scaling: of(0.8, 0.2),
                jitter: of(0.8, 0.03),
                ..plain
            },
            Change::Strong | Change::StrongUneven => Self {
                crop: [0.7, 1.0],
                uneven: pretext.change == Change::StrongUneven,
                permutation: Permutation {
                    probability: match pretext.change {
                        Change::StrongUneven => 0.5,
                        _ => 0.0,
                    },
                    ..Permutation::default()
                },
                time_warp: of(0.3, 0.2),
                magnitude_warp: of(0.3, 0.2),
                scaling: of(0.8, 0.2),
                frequency_masking: of(0.3, 0.1),
                jitter: of(0.8, 0.1),
                ..plain
            },
        }
    }

    /// One view of all of a series, a little disturbed.
    pub(in crate::modality::series) fn one(&self) -> Self {
        Self {
            count: 1,
            length: self.length,
            crop: [0.9, 1.0],
            scaling: of(0.5, 0.1),
            jitter: of(0.5, 0.05),
            ..Self::default()
        }
    }

    /// Refuses what can't be.
    pub(in crate::modality::series) fn check(&self) -> Result<()> {
        let wrong = |key: &str, found: String, expected: &str| {
            Err(Error::recipe(format!("views.{key} = {found}")).expected(expected))
        };
        if !(1..=16).contains(&self.count) {
            return wrong("count", self.count.to_string(), "1 to 16");
        }
        if !(2..=65_536).contains(&self.length) {
            return wrong("length", self.length.to_string(), "2 to 65536 steps");
        }
        let [least, most] = self.crop;
        if !(0.0..=1.0).contains(&least) || !(least..=1.0).contains(&most) || most == 0.0 {
            let found = format!("{:?}", self.crop);
            return wrong("crop", found, "two numbers from 0 to 1, the smaller first");
        }
        for (key, disturbance, strongest) in [
            ("time_warp", self.time_warp, 1.0),
            ("magnitude_warp", self.magnitude_warp, 1.0),
            ("scaling", self.scaling, 1.0),
            ("frequency_masking", self.frequency_masking, 0.9),
            ("jitter", self.jitter, 10.0),
            ("channel_dropout", self.channel_dropout, 0.9),
        ] {
            if !(0.0..=1.0).contains(&disturbance.probability) {
                let found = disturbance.probability.to_string();
                return wrong(&format!("{key}.probability"), found, "0 to 1");
            }
            if !(0.0..=strongest).contains(&disturbance.strength) {
                let found = disturbance.strength.to_string();
                let expected = format!("0 to {strongest}");
                return wrong(&format!("{key}.strength"), found, &expected);
            }
        }
        let permutation = self.permutation;
        if !(0.0..=1.0).contains(&permutation.probability) {
            let found = permutation.probability.to_string();
            return wrong("permutation.probability", found, "0 to 1");
        }
        if !(2..=64).contains(&permutation.segments) {
            let found = permutation.segments.to_string();
            return wrong("permutation.segments", found, "2 to 64");
        }
        if self.overlapping && !self.count.is_multiple_of(2) {
            return wrong(
                "count",
                self.count.to_string(),
                "2, 4, … views that overlap in pairs",
            );
        }
        let moved = permutation.probability > 0.0 || self.time_warp.probability > 0.0;
        if self.overlapping && moved {
            return Err(Error::recipe(
                "views.permutation or views.time_warp with views.overlapping",
            )
            .expected("views whose steps stay where they are, so that moments can be compared"));
        }
        Ok(())
    }
}
