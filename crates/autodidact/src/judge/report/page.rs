//! The page itself: what goes into the template. Whatever comes from data, names of files and classes above all, is
//! escaped by it; only pictures, styles and the script go in as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::curves::Chart;
use super::facts::{Fact, Scores};
use super::map::Map;
use super::recorded::Recorded;
use crate::error::{Error, Result};
use crate::modality;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Pictures up to this edge, in pixels, are shown with their pixels apart instead of blurred.
const COARSE: usize = 64;

/// Everything on the page.
#[derive(Default, Serialize)]
pub(super) struct Page {
    /// The run's name.
    pub(super) title: String,
    pub(super) facts: Vec<Fact>,
    pub(super) warnings: Vec<String>,
    pub(super) scores: Option<Scores>,
    /// What the pictures are of, in a sentence; empty where nothing could be looked at.
    pub(super) looked_at: String,
    pub(super) map: Option<Map>,
    pub(super) neighbors: Option<Section>,
    pub(super) views: Option<Section>,
    pub(super) restored: Vec<Restoring>,
    /// What the network wrote, before and after it has learned.
    pub(super) samples: Option<[String; 2]>,
    pub(super) duplicates: Option<Section>,
    pub(super) outliers: Option<Section>,
    /// Of recordings: forecasts, and what is not normal.
    pub(super) recorded: Vec<Recorded>,
    pub(super) charts: Vec<Chart>,
    /// `recipe.toml`.
    pub(super) recipe: String,
}

/// Groups of items with a sentence about them.
#[derive(Serialize)]
pub(super) struct Section {
    pub(super) about: String,
    pub(super) groups: Vec<Group>,
}

/// Items that belong together.
#[derive(Serialize)]
pub(super) struct Group {
    pub(super) tiles: Vec<Tile>,
}

/// One item.
#[derive(Default, Serialize)]
pub(super) struct Tile {
    pub(super) picture: Option<Picture>,
    /// What it says, where it is read.
    pub(super) words: Option<String>,
    pub(super) name: String,
    pub(super) class: Option<String>,
    /// What is said of it: a similarity, a distance.
    pub(super) note: String,
    /// Whether it is of another class than the group's first.
    pub(super) differs: bool,
}

/// One item before, during and after.
#[derive(Serialize)]
pub(super) struct Restoring {
    pub(super) name: String,
    pub(super) stages: Vec<Stage>,
}

/// An item at one of these times.
#[derive(Serialize)]
pub(super) struct Stage {
    pub(super) caption: &'static str,
    /// What a picture of it shows, for those who can't see it.
    pub(super) alt: String,
    pub(super) picture: Option<Picture>,
    pub(super) words: Option<String>,
}

/// A picture inside the page.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    /// `data:…`.
    source: String,
    width: usize,
    height: usize,
    /// Whether its pixels are shown apart.
    coarse: bool,
}

impl Picture {
    /// # Errors
    /// When the picture is empty or too large.
    pub(super) fn of(picture: &modality::Picture) -> Result<Self> {
        let (media, bytes) = picture.encode()?;
        Ok(Self {
            source: format!("data:{media};base64,{}", STANDARD.encode(bytes)),
            width: picture.width,
            height: picture.height,
            coarse: picture.width.max(picture.height) <= COARSE,
        })
    }
}

impl Page {
    /// The page as HTML.
    ///
    /// # Errors
    /// When the template is wrong.
    pub(super) fn render(&self) -> Result<String> {
        let wrong =
            |error: minijinja::Error| Error::run("a page that can't be drawn").because(error);
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(wrong)?;
        environment.set_syntax(syntax);
        let template = environment
            .template_from_named_str("page.html", TEMPLATE)
            .map_err(wrong)?;
        let context = minijinja::context! {
            page => Serde(self),
            points => Serde(self.map.as_ref().map(|map| &map.plane)),
            style => STYLE,
            script => SCRIPT,
            version => env!("CARGO_PKG_VERSION"),
        };
        template.render(context).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::report::map::Plane;

    const EVIL: &str = "</script><script>alert('x\"')</script>&amp;";

    #[test]
    fn names_are_escaped_wherever_they_stand() {
        let picture = || {
            let rgb = vec![[9; 3]; 6];
            let (width, height) = (3, 2);
            Picture::of(&modality::Picture { width, height, rgb }).unwrap()
        };
        let section = || {
            let tile = Tile {
                name: EVIL.to_owned(),
                class: Some(EVIL.to_owned()),
                picture: Some(picture()),
                ..Tile::default()
            };
            let about = EVIL.to_owned();
            let read = Tile {
                words: Some(EVIL.to_owned()),
                ..Tile::default()
            };
            Some(Section {
                about,
                groups: vec![Group {
                    tiles: vec![tile, read],
                }],
            })
        };
        let page = Page {
            title: EVIL.to_owned(),
            warnings: vec![EVIL.to_owned()],
            recipe: EVIL.to_owned(),
            facts: vec![Fact {
                name: "Learned from",
                value: EVIL.to_owned(),
            }],
            neighbors: section(),
            views: section(),
            duplicates: section(),
            outliers: section(),
            restored: vec![Restoring {
                name: EVIL.to_owned(),
                stages: vec![
                    Stage {
                        caption: "as it is",
                        alt: EVIL.to_owned(),
                        picture: Some(picture()),
                        words: None,
                    },
                    Stage {
                        caption: "given",
                        alt: String::new(),
                        picture: None,
                        words: Some(EVIL.to_owned()),
                    },
                ],
            }],
            samples: Some([EVIL.to_owned(), EVIL.to_owned()]),
            charts: vec![Chart {
                title: EVIL.to_owned(),
                about: EVIL.to_owned(),
                summary: EVIL.to_owned(),
                lines: Vec::new(),
                bands: Vec::new(),
            }],
            recorded: vec![Recorded {
                title: "Forecasts",
                headline: EVIL.to_owned(),
                verdict: EVIL.to_owned(),
                about: EVIL.to_owned(),
                columns: vec![EVIL.to_owned()],
                rows: vec![(EVIL.to_owned(), vec![EVIL.to_owned()])],
                charts: vec![Chart {
                    title: EVIL.to_owned(),
                    about: EVIL.to_owned(),
                    summary: EVIL.to_owned(),
                    lines: Vec::new(),
                    bands: Vec::new(),
                }],
            }],
            map: Some(Map {
                count: EVIL.to_owned(),
                plane: Plane {
                    points: vec![(0.5, 0.5, 0)],
                    names: vec![EVIL.to_owned()],
                    classes: vec![EVIL.to_owned()],
                    columns: 1,
                    edge: 3,
                },
                sheet: Some(picture()),
            }),
            ..Page::default()
        };
        let html = page.render().unwrap();
        assert!(
            !html.contains("<script>alert") && !html.contains("alert('"),
            "a name got through"
        );
        // The data and the script, and no more.
        assert_eq!(html.matches("<script").count(), 2);
        assert_eq!(html.matches("</script>").count(), 2);
        assert!(html.contains("&lt;script&gt;alert"));
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn an_arrow_leads_from_no_point_to_the_first_or_the_last() {
        let (_, after) = SCRIPT.split_once("const stepped = ").unwrap();
        let (stepped, _) = after.split_once("};").unwrap();
        let program = format!(
            "const stepped = {stepped}}};\n\
             const asked = [[-1, -1], [-1, 1], [7, -1], [5, 1], [9, 1], [5, -1]];\n\
             console.log(asked.map(([from, by]) => stepped([5, 7, 9], from, by)).join());"
        );
        let mut node = std::process::Command::new("node");
        let Ok(said) = node.args(["-e", &program]).output() else {
            eprintln!("skipped: node is not installed");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "9,5,5,7,5,9");
    }

    #[test]
    fn an_empty_page_is_a_page() {
        let html = Page::default().render().unwrap();
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    }
}
