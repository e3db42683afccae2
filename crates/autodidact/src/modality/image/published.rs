//! Networks that torchvision and timm published as one file of weights: what they are is told by the names and shapes of
//! their arrays.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use super::Images;
use crate::error::Result;
use crate::modality::{Modality, Need, Published, Setting};
use crate::run::{read_header, read_weights};

/// Shapes by the names of their arrays.
type Shapes = BTreeMap<String, Vec<usize>>;

/// What a file of weights settles; `None` where it is no ResNet and no ViT of those that there are, or no file.
///
/// # Errors
/// When the file is damaged.
pub(super) fn published(path: &Path) -> Result<Option<Published>> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    if ending != Some("safetensors") || !path.is_file() {
        return Ok(None);
    }
    let shapes = read_header(path)?.shapes;
    let (found, need) = match (residual(&shapes), patches(&shapes)) {
        (Some(found), _) => (found, Need::Vectors),
        (_, Some(found)) => (found, Need::Hidden),
        _ => return Ok(None),
    };
    let path = path.to_path_buf();
    Ok(Some(Published {
        kind: Images::NAME,
        need,
        fixed: Vec::new(),
        // What doesn't fit is told array by array when the weights are read.
        open: found,
        alone: Vec::new(),
        measured: Value::Table(toml::Table::new()),
        files: Vec::new(),
        weights: Box::new(move || Ok((read_weights(&path)?.0, Vec::new()))),
    }))
}

/// The settings of a ResNet with torchvision's names.
fn residual(shapes: &Shapes) -> Option<Vec<Setting>> {
    let [width, _, edge, _] = shapes.get("conv1.weight")?[..] else {
        return None;
    };
    let blocks = ["layer1", "layer2", "layer3", "layer4"].map(|stage| count(shapes, stage));
    let bottlenecks = shapes.contains_key("layer1.0.conv3.weight");
    let name = match (blocks, bottlenecks) {
        ([2, 2, 2, 2], false) => "resnet18",
        ([3, 4, 6, 3], false) => "resnet34",
        ([3, 4, 6, 3], true) => "resnet50",
        _ => return None,
    };
    // What is built is as large as the last stage: one that isn't there would be made out of nothing.
    let last = width.checked_mul(8)?;
    if *shapes.get("layer4.0.conv2.weight")? != [last, last, 3, 3] {
        return None;
    }
    let stem = if edge == 3 { "small" } else { "imagenet" };
    Some(vec![
        ("encoder.name", name.into()),
        ("encoder.width", number(width)),
        ("encoder.stem", stem.into()),
    ])
}

/// The settings of a ViT with timm's names. How many heads it has no array tells: it is one of the published widths.
fn patches(shapes: &Shapes) -> Option<Vec<Setting>> {
    let [width, _, patch, _] = shapes.get("patch_embed.proj.weight")?[..] else {
        return None;
    };
    let name = match width {
        192 => "vit_tiny",
        384 => "vit_small",
        _ => return None,
    };
    let depth = count(shapes, "blocks");
    let is_there = |block: usize| {
        let attention = shapes.get(&format!("blocks.{block}.attn.qkv.weight"));
        attention.is_some_and(|shape| *shape == [3 * width, width])
    };
    if depth == 0 || !(0..depth).all(is_there) {
        return None;
    }
    Some(vec![
        ("encoder.name", name.into()),
        ("encoder.width", number(width)),
        ("encoder.patch", number(patch)),
        ("encoder.depth", number(depth)),
    ])
}

/// How many numbered parts there are under a name.
fn count(shapes: &Shapes, under: &str) -> usize {
    let numbers = shapes.keys().filter_map(|name| {
        let number = name.strip_prefix(under)?.strip_prefix('.')?;
        number.split('.').next()?.parse::<usize>().ok()
    });
    numbers.max().map_or(0, |last| last.saturating_add(1))
}

fn number(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::layers::Init;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;
    use crate::modality::image::{Architecture, ImageNetwork, Stem};
    use crate::recipe::fill;
    use crate::run::write_published;

    /// The network that a file of this one's weights is taken for.
    fn again(network: &ImageNetwork, device: &Device) -> Option<ImageNetwork> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let encoder = network.build(16, 3, &mut Init::new(0, device)).unwrap();
        write_published(&path, &state_of(&encoder)).unwrap();
        let published = published(&path).unwrap()?;
        assert_eq!((published.weights)().unwrap().0, state_of(&encoder));
        let mut table = toml::Table::new();
        for (path, value) in published.open {
            let key = path.strip_prefix("encoder.").unwrap();
            table.insert(key.to_owned(), value);
        }
        Some(fill(&ImageNetwork::default(), Some(&table), "encoder").unwrap())
    }

    #[test]
    fn a_network_is_known_by_its_arrays() {
        let device = tests_device();
        let residual = |name, width, stem| ImageNetwork {
            name,
            width,
            stem,
            ..ImageNetwork::default()
        };
        let vit = |name, width, depth| ImageNetwork {
            name,
            width,
            depth,
            patch: 8,
            ..ImageNetwork::default()
        };
        for network in [
            residual(Architecture::ResNet18, 4, Stem::Small),
            residual(Architecture::ResNet34, 2, Stem::Imagenet),
            residual(Architecture::ResNet50, 2, Stem::Imagenet),
            vit(Architecture::VitTiny, 192, 1),
            vit(Architecture::VitSmall, 384, 2),
        ] {
            assert_eq!(again(&network, &device), Some(network));
        }
        // Its heads can't be known.
        assert_eq!(again(&vit(Architecture::VitTiny, 24, 1), &device), None);
        let other = residual(Architecture::SmallConv, 4, Stem::Small);
        assert_eq!(again(&other, &device), None);
    }

    #[test]
    fn what_claims_to_be_larger_than_it_is_is_no_network() {
        let stages = |width: usize| {
            let mut shapes = Shapes::from([("conv1.weight".to_owned(), vec![width, 3, 3, 3])]);
            for stage in 1..=4 {
                let width = 4 << (stage - 1);
                for block in 0..2 {
                    let name = format!("layer{stage}.{block}.conv2.weight");
                    shapes.insert(name, vec![width, width, 3, 3]);
                }
            }
            shapes
        };
        assert!(residual(&stages(4)).is_some());
        for width in [4_000_000, usize::MAX] {
            assert!(residual(&stages(width)).is_none(), "width {width}");
        }
        let blocks = |numbers: [usize; 2]| {
            let name = "patch_embed.proj.weight".to_owned();
            let mut shapes = Shapes::from([(name, vec![192, 3, 4, 4])]);
            for number in numbers {
                let name = format!("blocks.{number}.attn.qkv.weight");
                shapes.insert(name, vec![576, 192]);
            }
            shapes
        };
        assert!(patches(&blocks([0, 1])).is_some());
        assert!(patches(&blocks([0, 1_000_000])).is_none());
    }

    #[test]
    fn what_is_no_file_of_weights_settles_nothing_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(published(folder.path()).unwrap().is_none());
        let path = folder.path().join("weights.safetensors");
        assert!(published(&path).unwrap().is_none());
        std::fs::write(&path, b"no weights").unwrap();
        let error = published(&path).unwrap_err().to_string();
        assert!(error.contains("weights.safetensors"), "{error}");
    }
}
