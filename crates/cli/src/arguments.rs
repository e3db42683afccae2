//! What can be said on the command line. Help, man page and completions derive from it.

use std::path::PathBuf;

use autodidact::recipe::{Duration, Precision};
use clap::{Args, Parser, Subcommand};

/// Learn from unlabeled data, and find out whether it worked.
#[derive(Debug, Parser)]
#[command(name = "autodidact", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Learn an encoder from unlabeled data (without DATA: from the embedded synthetic images)
    Pretrain(Pretrain),
    /// Write one vector per item: .parquet, .npy or .csv
    Embed(Embed),
    /// How good is it? kNN and a linear probe, beside raw values and the untrained network
    Evaluate(Evaluate),
    /// The encoder for other programs: safetensors for PyTorch, or an ONNX graph
    Export(Export),
    /// The items nearest to a file
    Search(Search),
    /// A sheet of what the network will see, before any training
    Views(Views),
    /// One HTML page about a run: verdict, map, neighbors, views, near-duplicates, outliers, curves
    Report(Report),
    /// The methods there are
    Methods,
    /// The recipes that come with the program, or one of them
    Recipes(Recipes),
    /// The data that can be read, and the data that is known by name
    Datasets,
    /// What this build can run on
    Devices,
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Pretrain {
    /// A folder, an archive, a file or a name (`autodidact datasets`); without it, the embedded synthetic images
    pub(crate) data: Option<PathBuf>,
    /// Go on where this run stopped; with --epochs, --steps or --budget for that much longer
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "out"])]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The run's folder [default: the next free one in runs/]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Start from another run's encoder, or from published weights of the same network (torchvision's or timm's names)
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "resume")]
    pub(crate) init: Option<PathBuf>,
    /// Don't judge the encoder at the end, though there are labels
    #[arg(long)]
    pub(crate) no_evaluate: bool,
}

/// The everyday settings. Everything else is --set.
#[derive(Debug, Args, Default)]
pub(crate) struct Settings {
    /// A recipe: a file, or the name of one that comes with the program (`autodidact recipes`)
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<String>,
    /// The method (`autodidact methods`)
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// The network, such as small_conv, resnet18 or vit_tiny
    #[arg(long)]
    pub(crate) encoder: Option<String>,
    /// Length in passes over the data
    #[arg(long, group = "length")]
    pub(crate) epochs: Option<f64>,
    /// Length in steps
    #[arg(long, group = "length")]
    pub(crate) steps: Option<u64>,
    /// Length in time, such as 90s or 10m
    #[arg(long, group = "length", value_name = "TIME")]
    pub(crate) budget: Option<Duration>,
    /// Items per step
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<i64>,
    /// Where to compute (`autodidact devices`)
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// f32, or bf16 for faster products on processors that have AMX or AVX512-BF16
    #[arg(long)]
    pub(crate) precision: Option<Precision>,
    /// Decides everything that is random
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Labels that override those found in the data: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Any setting of the recipe, such as train.weight_decay=1e-4 (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Embed {
    /// The folder of a run
    pub(crate) run: PathBuf,
    /// A folder, an archive, a file or a name (`autodidact datasets`); without it, the data that the run learned from
    pub(crate) data: Option<PathBuf>,
    /// Where to write; the ending decides the format: .parquet, .npy (with an index beside it) or .csv
    #[arg(long, short, value_name = "FILE", default_value = "embeddings.parquet")]
    pub(crate) out: PathBuf,
    /// Take the test part of data that comes in parts
    #[arg(long)]
    pub(crate) test_part: bool,
    /// Labels to write along: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// The folder of a run
    pub(crate) run: PathBuf,
    /// Labeled data; without it, the data that the run learned from
    pub(crate) data: Option<PathBuf>,
    /// Data to judge on; without it, the data's own test part, or a share set aside
    #[arg(long, value_name = "DATA")]
    pub(crate) test: Option<PathBuf>,
    /// Labels that override those found in the data: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// A run of the method `supervised`, shown beside as the ceiling
    #[arg(long, value_name = "RUN")]
    pub(crate) ceiling: Option<PathBuf>,
    /// Write the findings as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder of a run
    pub(crate) run: PathBuf,
    /// For PyTorch (torchvision's and timm's names), or for engines that run ONNX
    #[arg(long, value_enum, default_value_t = ExportFormat::Safetensors)]
    pub(crate) format: ExportFormat,
    /// Where to write [default: encoder.safetensors or encoder.onnx here]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// ONNX: take values as they come (pixels from 0 to 1) and normalize inside the graph
    #[arg(long)]
    pub(crate) raw_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    Safetensors,
    Onnx,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The folder of a run
    pub(crate) run: PathBuf,
    /// Where to look
    pub(crate) data: PathBuf,
    /// What to look for: a file, or a folder of them
    pub(crate) query: PathBuf,
    /// How many to show
    #[arg(long, short, default_value_t = 10)]
    pub(crate) k: usize,
    /// Write the findings as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Views {
    /// A folder, an archive, a file or a name (`autodidact datasets`); without it, the embedded synthetic images
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Where to write the sheet
    #[arg(long, short, value_name = "FILE", default_value = "views.png")]
    pub(crate) out: PathBuf,
    /// Items to show
    #[arg(long, default_value_t = 10)]
    pub(crate) items: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The folder of a run, finished or interrupted
    pub(crate) run: PathBuf,
    /// What to look at through the network; without it, the data that the run learned from
    #[arg(long, value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Labels that override those found in the data: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Items to look at, at most, evenly over the data
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) items: usize,
    /// Where to write the page [default: report.html in the run's folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Recipes {
    /// Print this recipe
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
