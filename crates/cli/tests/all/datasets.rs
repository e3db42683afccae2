//! Published data by name: what is said without a network, and what the cache holds.

use std::fs;

use super::{autodidact, fails, succeeds};

/// A picture of 28×28 for an IDX file, which differs from one number to the next.
fn idx(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [count, 28, 28] {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend((0..count * 784).map(|i| (i * 7 % 251) as u8));
    bytes
}

#[test]
fn a_name_without_a_network_says_what_to_fetch_and_where_to_put_it() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let mut command = autodidact(here);
    // Port 9 throws away what it is sent, where anybody listens at all.
    command
        .env("AUTODIDACT_CACHE", here.join("cache"))
        .env("AUTODIDACT_MIRROR", "http://127.0.0.1:9")
        .args(["pretrain", "cifar10"]);
    let (message, code) = fails(&mut command);
    for part in [
        "http://127.0.0.1:9/cifar10/cifar-10-binary.tar.gz",
        "MD5 c32a1d4ab5d03f1284b67883e8d87530",
        "cache/cifar10/cifar-10-binary.tar.gz",
        "none stated",
    ] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    assert_eq!(code, 6);
    assert!(!here.join("runs").exists());
    let (message, code) = fails(autodidact(here).args(["pretrain", "cifar11"]));
    assert!(message.contains("cifar11: is not there"), "{message}");
    assert_eq!(code, 3);
}

#[test]
fn what_is_in_the_cache_is_used_and_listed_and_a_folder_of_that_name_goes_first() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let cache = here.join("cache/mnist");
    fs::create_dir_all(&cache).unwrap();
    // IDX files needn't be packed, whatever they are called.
    fs::write(cache.join("train-images-idx3-ubyte.gz"), idx(20)).unwrap();
    fs::write(cache.join("t10k-images-idx3-ubyte.gz"), idx(4)).unwrap();
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 20];
    labels.extend((0..20).map(|i| i % 2));
    fs::write(cache.join("train-labels-idx1-ubyte.gz"), &labels).unwrap();
    let with_cache = |arguments: &[&str]| {
        let mut command = autodidact(here);
        command
            .env("AUTODIDACT_CACHE", here.join("cache"))
            .env("AUTODIDACT_MIRROR", "http://127.0.0.1:9")
            .args(arguments);
        command
    };
    let listed = |wanted: &str| {
        let out = succeeds(&mut with_cache(&["datasets"]));
        let line = out.lines().find(|line| line.contains(wanted)).unwrap();
        line.to_owned()
    };
    assert!(!listed("  mnist ").contains("in the cache"));
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 4];
    labels.extend([0, 1, 0, 1]);
    fs::write(cache.join("t10k-labels-idx1-ubyte.gz"), &labels).unwrap();
    assert!(listed("  mnist ").contains("in the cache"));
    assert!(!listed("cifar10").contains("in the cache"));
    let views = |name: &str| with_cache(&["views", name, "--items", "1", "--out", "v.png"]);
    succeeds(&mut views("MNIST"));
    assert!(here.join("v.png").is_file());
    fs::create_dir(here.join("mnist")).unwrap();
    let (message, _) = fails(&mut views("mnist"));
    assert!(message.contains("mnist: holds no images"), "{message}");
}
