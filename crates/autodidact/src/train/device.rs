//! Where the numbers are crunched.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// What this build can run on, with one line each.
pub fn list() -> Vec<(String, String)> {
    let mut devices = Vec::new();
    if cfg!(feature = "flex") {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        devices.push((
            "cpu".to_owned(),
            format!("the processor, {threads} threads"),
        ));
    }
    #[cfg(feature = "wgpu")]
    devices.push((
        "wgpu".to_owned(),
        "a GPU through Vulkan, Metal or DirectX; wgpu:1 is the second one. With CUBECL_AUTOTUNE_LEVEL=minimal it begins after \
         a minute or so; else it tries kernels for far longer"
            .to_owned(),
    ));
    devices
}

/// The machine in a line: processor, threads, system, and the version of this library, for the record of a run.
pub fn machine() -> String {
    // Where Linux says what the processor is called; elsewhere its architecture has to do.
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let processor = named.map_or(std::env::consts::ARCH, |name| {
        name.trim_start_matches([' ', '\t', ':'])
    });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{processor}, {threads} threads, {}; autodidact {}",
        std::env::consts::OS,
        env!("CARGO_PKG_VERSION")
    )
}

/// The program's memory in bytes, where Linux tells.
pub(super) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Finds a device by its name in a recipe, without autodiff.
///
/// # Errors
/// When there is no such device, or this build doesn't have it.
pub fn open(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, index.parse::<usize>().map_err(|_| unknown(name))?),
        None => (name, 0),
    };
    match kind {
        #[cfg(feature = "flex")]
        "cpu" if index == 0 => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(if name.contains(':') {
            burn::tensor::DeviceKind::DiscreteGpu(index)
        } else {
            burn::tensor::DeviceKind::DefaultDevice
        })),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = list().into_iter().map(|(name, _)| name).collect();
    Error::recipe(format!("no device named `{name}` in this build"))
        .expected(known.join(", "))
        .mend("`autodidact devices` lists them; GPUs need a build with `--features wgpu`")
}
