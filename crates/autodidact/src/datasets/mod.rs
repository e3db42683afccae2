//! Published data by name: where it is fetched from, how it is checked, and where it is kept.
//!
//! Nothing is fetched unless its name is given and it isn't there yet. The transfer is left to the system's `curl` or
//! `wget`, so that this program carries no network code of its own.

mod download;
mod md5;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The variable that names the folder of fetched data.
pub const CACHE: &str = "AUTODIDACT_CACHE";
/// The variable that names a mirror: files are then fetched from `<mirror>/<name of the data>/<file>`.
pub const MIRROR: &str = "AUTODIDACT_MIRROR";

/// A published data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dataset {
    /// What it is called on the command line.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The terms that its publishers state.
    pub license: &'static str,
    /// Where its files lie, with `/` at the end.
    pub url: &'static str,
    /// Its files.
    pub files: &'static [Published],
}

/// A file of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its name, in the cache as on the server.
    pub name: &'static str,
    /// MD5 of its bytes, as its publishers or torchvision give it. It finds damage; it doesn't withstand forgery.
    pub md5: &'static str,
    /// Length in millions of bytes, rounded up.
    pub megabytes: u32,
}

impl Dataset {
    /// Length of all files in millions of bytes, rounded up.
    pub fn megabytes(&self) -> u32 {
        self.files.iter().map(|file| file.megabytes).sum()
    }
}

const fn file(name: &'static str, megabytes: u32, md5: &'static str) -> Published {
    Published {
        name,
        md5,
        megabytes,
    }
}

/// The data sets that are known by name. Checksums are those of torchvision and, for CIFAR, of its author's page.
pub const ALL: &[Dataset] = &[
    Dataset {
        name: "mnist",
        summary: "70,000 handwritten digits, 28×28, grey",
        license: "CC BY-SA 3.0",
        url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                10,
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                1,
                "d53e105ee54ea40749a09fcbcd1e9432",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                2,
                "9fb629c4189551a2d022fa330f9573f3",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                1,
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ],
    },
    Dataset {
        name: "fashion_mnist",
        summary: "70,000 pieces of clothing, 28×28, grey",
        license: "MIT",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                27,
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                1,
                "25c81989df183df01b3e8a0aad5dffbe",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                5,
                "bef4ecab320f06d8554ea6380940ec79",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                1,
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ],
    },
    Dataset {
        name: "kmnist",
        summary: "70,000 cursive Japanese characters, 28×28, grey",
        license: "CC BY-SA 4.0",
        url: "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                19,
                "bdb82020997e1d708af4cf47b453dcf7",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                1,
                "e144d726b3acfaa3e44228e80efcd344",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                4,
                "5c965bf0a639b31b8f53240b1b52f4d7",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                1,
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        ],
    },
    Dataset {
        name: "cifar10",
        summary: "60,000 photographs of ten kinds of things, 32×32",
        license: "none stated",
        url: "https://www.cs.toronto.edu/~kriz/",
        files: &[file(
            "cifar-10-binary.tar.gz",
            171,
            "c32a1d4ab5d03f1284b67883e8d87530",
        )],
    },
    Dataset {
        name: "cifar100",
        summary: "60,000 photographs of a hundred kinds of things, 32×32",
        license: "none stated",
        url: "https://www.cs.toronto.edu/~kriz/",
        files: &[file(
            "cifar-100-binary.tar.gz",
            170,
            "03b5dce01913d631647c71ecec9e9cb8",
        )],
    },
    Dataset {
        name: "imagenette",
        summary: "13,394 photographs of ten classes of ImageNet, 160 pixels high or wide",
        license: "Apache-2.0; the photographs under ImageNet's terms",
        url: "https://s3.amazonaws.com/fast-ai-imageclas/",
        files: &[file(
            "imagenette2-160.tgz",
            100,
            "e793b78cc4c9e9a4ccc0c1155377a412",
        )],
    },
    Dataset {
        name: "eurosat",
        summary: "27,000 satellite images of ten kinds of land, 64×64, color",
        license: "MIT",
        url: "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/",
        files: &[file("EuroSAT.zip", 95, "c8fa014336c82ac7804f0398fcb19387")],
    },
    Dataset {
        name: "dtd",
        summary: "5,640 photographs of 47 kinds of texture",
        license: "for research",
        url: "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/",
        files: &[file(
            "dtd-r1.0.1.tar.gz",
            630,
            "fff73e5086ae6bdbea199a49dfb8a4c1",
        )],
    },
];

/// The data set of that name, in whatever case and with whatever between its words: `CIFAR-10` is `cifar10`.
pub fn find(name: &str) -> Option<&'static Dataset> {
    let bare = |name: &str| name.to_ascii_lowercase().replace(['-', '_', ' '], "");
    ALL.iter().find(|set| bare(set.name) == bare(name))
}

/// Where fetched data is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
    mirror: Option<String>,
}

impl Store {
    /// A store in `folder`, filled from `mirror` instead of the publishers where there is one.
    pub fn new(folder: impl Into<PathBuf>, mirror: Option<String>) -> Self {
        Self {
            folder: folder.into(),
            mirror,
        }
    }

    /// The user's: [`CACHE`], or else `autodidact` in `XDG_CACHE_HOME` or `~/.cache`; filled from [`MIRROR`].
    ///
    /// # Errors
    /// When none of these variables says where.
    pub fn of_user() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        // The specification of XDG has relative paths ignored.
        let xdg = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let home = path("HOME").or_else(|| path("USERPROFILE"));
        let folder = path(CACHE)
            .or_else(|| xdg.map(|folder| folder.join("autodidact")))
            .or_else(|| home.map(|home| home.join(".cache").join("autodidact")));
        let folder = folder.ok_or_else(|| {
            Error::recipe("no folder to keep data in")
                .expected(format!("{CACHE} or HOME to say where"))
                .mend(format!("set {CACHE} to a folder with room"))
        })?;
        let mirror = variable(MIRROR).map(|mirror| mirror.to_string_lossy().into_owned());
        Ok(Self::new(folder, mirror))
    }

    /// The folder that everything is kept in.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The folder that holds the data's files, or will.
    pub fn folder(&self, set: &Dataset) -> PathBuf {
        self.folder.join(set.name)
    }

    /// Whether all of the data's files are there.
    pub fn has(&self, set: &Dataset) -> bool {
        let folder = self.folder(set);
        set.files
            .iter()
            .all(|file| folder.join(file.name).is_file())
    }

    /// Fetches the files that aren't there, each to a hidden file beside its place, which it takes once its checksum is
    /// right. An interrupted transfer is taken up where it stopped, also by a later call. `progress` is told the file's
    /// name, the bytes that are there and the bytes that it will have, about. Returns the data's folder.
    ///
    /// # Errors
    /// When there is no network, no program to fetch with, no such file on the server or no room, or when what came has
    /// another checksum. Each says what to fetch by hand, and where to put it.
    pub fn fetch(
        &self,
        set: &Dataset,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<PathBuf> {
        let folder = self.folder(set);
        for file in set.files {
            let path = folder.join(file.name);
            if !path.is_file() {
                let url = self.url(set, file);
                download::fetch(&url, file, &path, progress)
                    .map_err(|error| by_hand(error, &url, file, &path))?;
            }
        }
        Ok(folder)
    }

    fn url(&self, set: &Dataset, file: &Published) -> String {
        match &self.mirror {
            Some(mirror) => format!(
                "{}/{}/{}",
                mirror.trim_end_matches('/'),
                set.name,
                file.name
            ),
            None => format!("{}{}", set.url, file.name),
        }
    }
}

/// What a person can do where the program can't.
fn by_hand(error: Error, url: &str, file: &Published, path: &Path) -> Error {
    let first = error
        .remedy()
        .map_or_else(String::new, |mend| format!("{mend}; or "));
    error.mend(format!(
        "{first}fetch {url} by hand (MD5 {}) and put it at {}",
        file.md5,
        path.display()
    ))
}
