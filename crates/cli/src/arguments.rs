//! What can be said on the command line. Help and completions derive from it.

use std::path::PathBuf;

use autodidact::recipe::{Duration, Precision};
use clap::{Args, Parser, Subcommand};

/// What the program ends with where it didn't do what it was asked for.
const EXIT_CODES: &str = "Exit codes: 2 for arguments or a recipe that don't fit, 3 for data, 4 for the folder of a run, \
                          5 for training that went wrong, 6 for files that the system refuses, 130 for a run that was stopped";

/// Learn from unlabeled data, and find out whether it worked.
#[derive(Debug, Parser)]
#[command(name = "autodidact", version, about, max_term_width = 100, after_help = EXIT_CODES)]
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
    /// How good is it? kNN, probes on all and on few labels, clusters, retrieval, beside raw values and the untrained network
    Evaluate(Evaluate),
    /// Learn classes from labels, a handful or many, starting from a run's encoder
    Finetune(Finetune),
    /// The class of each item and how sure that is; of recordings what comes next, or how unusual what comes in is
    Predict(Predict),
    /// The encoder for other programs: safetensors for PyTorch, an ONNX graph, or a folder for transformers
    Export(Export),
    /// The items nearest to a file
    Search(Search),
    /// Go on from a beginning, as far as a run has learned to
    Generate(Generate),
    /// A sheet of what the network will see, before any training
    Views(Views),
    /// One HTML page about a run: verdict, map, neighbors, views, near-duplicates, outliers, curves
    Report(Report),
    /// What can be trained on this machine in a given time (--budget, else the recipe's, else 10m)? Tries a few steps of each
    /// size of network and keeps nothing
    Plan(Plan),
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
    /// Go on where this run stopped, be it only to judge it; with --epochs, --steps or --budget for that much longer
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "out"])]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The run's folder [default: the next free one in runs/, called after data and method]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Start from another run's encoder, from published weights (a safetensors file under torchvision's or timm's names), or
    /// from a folder of transformers or sentence-transformers (BERT, RoBERTa, DistilBERT, GPT-2). The network is theirs where
    /// the recipe says nothing else, and so is the vocabulary
    #[arg(long, value_name = "RUN|FILE|FOLDER", conflicts_with = "resume")]
    pub(crate) init: Option<PathBuf>,
    /// Don't judge the encoder at the end, though there are labels
    #[arg(long)]
    pub(crate) no_evaluate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A folder, an archive, a file or a name (`autodidact datasets`); without it, the embedded synthetic images
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
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
    /// The network: of images patches, small_conv, resnet18, resnet34, resnet50, vit_tiny or vit_small; of text bert, modern,
    /// gpt2, modern_causal or static; of series kernels, dilated, conv_gru, resnet1d or patch_transformer
    #[arg(long)]
    pub(crate) encoder: Option<String>,
    /// Length in passes over the data
    #[arg(long, group = "length")]
    pub(crate) epochs: Option<f64>,
    /// Length in steps
    #[arg(long, group = "length")]
    pub(crate) steps: Option<u64>,
    /// Length in time, such as 90s or 10m [default: 10m, where neither recipe nor method has a length]
    #[arg(long, group = "length", value_name = "TIME")]
    pub(crate) budget: Option<Duration>,
    /// Items per step [default: the recipe's or the method's, mostly 256]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<i64>,
    /// Where to compute (`autodidact devices`) [default: cpu]
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// f32, or bf16 for faster products on processors with AMX (hardly faster with AVX512-BF16 alone) [default: f32]
    #[arg(long)]
    pub(crate) precision: Option<Precision>,
    /// Decides everything that is random [default: 0]
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Labels that override those found in the data: a CSV of name and label, or a label a line in the order of the items
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Any setting of the recipe, such as train.weight_decay=1e-4 (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Embed {
    /// The folder of a run, or of published weights as --init of `pretrain` takes them
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
    /// How to read the data, such as column=sentence (may be repeated): as [data.reading] of the run's recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) reading: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// The folder of a run, or of published weights as --init of `pretrain` takes them
    pub(crate) run: PathBuf,
    /// Labeled data, for --forecast and --anomalies recordings; without it, the data that the run learned from
    pub(crate) data: Option<PathBuf>,
    /// Data to judge on; without it, the data's own test part, or a share set aside
    #[arg(long, value_name = "DATA")]
    pub(crate) test: Option<PathBuf>,
    /// Labels that override those found in the data: a CSV of name and label; with --anomalies a file of stretches
    /// (`recording,start,end`, or NAB's JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// A run of the method `supervised`, shown beside as the ceiling
    #[arg(long, value_name = "RUN")]
    pub(crate) ceiling: Option<PathBuf>,
    /// Nearest neighbors and a linear probe only, as at the end of `pretrain`
    #[arg(long)]
    pub(crate) quick: bool,
    /// Of recordings: foretell so many steps from what the network makes of those before, such as 24,48,168
    #[arg(long, value_name = "STEPS", value_delimiter = ',', conflicts_with_all = ["quick", "ceiling", "test"])]
    pub(crate) forecast: Vec<usize>,
    /// Of recordings: find the steps that are not normal, where it is known which those are
    #[arg(long, conflicts_with_all = ["quick", "ceiling", "test", "forecast"])]
    pub(crate) anomalies: bool,
    /// A setting of [evaluate], such as few_labels=[1,10] or known=400 (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write the findings as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// How to read the data, such as column=sentence (may be repeated): as [data.reading] of the run's recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) reading: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Finetune {
    /// The folder of the run to start from, or of published weights as --init of `pretrain` takes them
    #[arg(required_unless_present = "resume")]
    pub(crate) run: Option<PathBuf>,
    /// Labeled data; without it, the data that the run learned from
    pub(crate) data: Option<PathBuf>,
    /// Go on with this fine-tuning, which was stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "run", "data", "labels", "mode", "stages", "share", "from_scratch", "balance", "layer_decay", "length",
        "batch_size", "seed", "set", "out",
    ])]
    pub(crate) resume: Option<PathBuf>,
    /// Labels that override those found in the data: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Data to judge on; without it, the data's own test part
    #[arg(long, value_name = "DATA")]
    pub(crate) test: Option<PathBuf>,
    /// What learns: the classifier alone, the last stages of the network too, or all of it
    #[arg(long, value_enum, default_value_t = Mode::All)]
    pub(crate) mode: Mode,
    /// With --mode last: how many stages learn [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) stages: Option<usize>,
    /// Learn from this part of the labels of each class, such as 0.01
    #[arg(long, value_name = "PART", group = "share")]
    pub(crate) labels_fraction: Option<f64>,
    /// Learn from that many labels of each class
    #[arg(long, value_name = "N", group = "share")]
    pub(crate) labels_per_class: Option<usize>,
    /// Start from untrained weights: what the labels teach without pretraining
    #[arg(long)]
    pub(crate) from_scratch: bool,
    /// Let classes count alike, however many items each has
    #[arg(long)]
    pub(crate) balance: bool,
    /// By how much slower a stage learns than the next, up to 1 [default: 0.9 with --mode all, else 1, also from scratch]
    #[arg(long, value_name = "FACTOR")]
    pub(crate) layer_decay: Option<f64>,
    /// Length in passes over the labeled items, at most [default: 5 to 100, by their number]
    #[arg(long, group = "length")]
    pub(crate) epochs: Option<f64>,
    /// Length in steps, at most
    #[arg(long, group = "length")]
    pub(crate) steps: Option<u64>,
    /// Length in time, such as 90s or 10m, at most
    #[arg(long, group = "length", value_name = "TIME")]
    pub(crate) budget: Option<Duration>,
    /// Items per step [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<i64>,
    /// Decides everything that is random, also which labels are used [default: the seed of the run that it starts from]
    #[arg(long)]
    pub(crate) seed: Option<u32>,
    /// Any setting of the recipe, such as train.learning_rate=1e-3 (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The new run's folder [default: the next free one in runs/]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    Frozen,
    Last,
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// The folder of a run that has a classifier; with --forecast or --stream, of any run on recordings
    pub(crate) run: PathBuf,
    /// A folder, an archive, a file or a name (`autodidact datasets`); with --forecast and without it, the data that the run
    /// learned from
    #[arg(required_unless_present_any = ["stream", "forecast"])]
    pub(crate) data: Option<PathBuf>,
    /// Of recordings: foretell so many steps after the end of each, with bounds, by the network or by a simple forecast,
    /// whichever did better before
    #[arg(long, value_name = "STEPS", conflicts_with_all = ["stream", "labels"])]
    pub(crate) forecast: Option<usize>,
    /// With --forecast: the part of what comes that is to lie within the bounds
    #[arg(
        long,
        value_name = "PART",
        default_value_t = 0.9,
        requires = "forecast"
    )]
    pub(crate) coverage: f64,
    /// Read steps from the standard input, a row each, and write as they come how unusual each is: step, distance from what
    /// the run learned from, how likely that is, and whether it is an alarm
    #[arg(long, conflicts_with_all = ["data", "out", "test_part", "labels"])]
    pub(crate) stream: bool,
    /// With --stream: the part of normal steps that may be alarms
    #[arg(long, value_name = "RATE", default_value_t = 0.01, requires = "stream")]
    pub(crate) false_alarms: f64,
    /// With --stream: go on learning from what comes, beside what the run learned from, and keep the encoder here
    #[arg(long, value_name = "FOLDER", requires = "stream")]
    pub(crate) adapt: Option<PathBuf>,
    /// With --adapt: rows from one round of learning to the next
    #[arg(long, value_name = "ROWS", default_value_t = 512, requires = "adapt")]
    pub(crate) learn_every: usize,
    /// With --adapt: training steps in a round
    #[arg(long, value_name = "STEPS", default_value_t = 16, requires = "adapt")]
    pub(crate) learn_steps: u64,
    /// With --adapt: training steps in all, at most
    #[arg(long, value_name = "STEPS", default_value_t = 2000, requires = "adapt")]
    pub(crate) learn_most: u64,
    /// Where to write; the ending decides the format: .csv, .parquet or .jsonl
    #[arg(long, short, value_name = "FILE", default_value = "predictions.csv")]
    pub(crate) out: PathBuf,
    /// Take the test part of data that comes in parts
    #[arg(long)]
    pub(crate) test_part: bool,
    /// Labels to compare with: a CSV of name and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// How to read the data, such as column=sentence (may be repeated): as [data.reading] of the run's recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) reading: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder of a run, or of published weights as --init of `pretrain` takes them
    pub(crate) run: PathBuf,
    /// For PyTorch (torchvision's and timm's names), for engines that run ONNX, or a folder that transformers and
    /// sentence-transformers load
    #[arg(long, value_enum, default_value_t = ExportFormat::Safetensors)]
    pub(crate) format: ExportFormat,
    /// Where to write [default: encoder.safetensors, encoder.onnx or the folder transformers here]
    #[arg(long, short, value_name = "FILE|FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// ONNX: take values as they come (pixels from 0 to 1) and normalize inside the graph
    #[arg(long)]
    pub(crate) raw_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    Safetensors,
    Onnx,
    Transformers,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The folder of a run, or of published weights as --init of `pretrain` takes them
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
    /// How to read the data, such as column=sentence (may be repeated): as [data.reading] of the run's recipe
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) reading: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The folder of a run whose network predicts what comes next, or of a published GPT-2
    pub(crate) run: PathBuf,
    /// What to go on from
    #[arg(default_value = "")]
    pub(crate) beginning: String,
    /// How many symbols, at most
    #[arg(long, short = 'n', value_name = "N", default_value_t = 500)]
    pub(crate) symbols: usize,
    /// How daring, 0 to 10: 0 always takes the likeliest symbol, 1 draws as was learned
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub(crate) temperature: f64,
    /// Draw among that many of the likeliest symbols; 0 is all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Draw among the likeliest symbols that make up this part of the probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f64,
    /// Decides the draws
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Views {
    /// A folder, an archive, a file or a name (`autodidact datasets`); without it, the embedded synthetic images
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Where to write the sheet; views of text are printed instead
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
