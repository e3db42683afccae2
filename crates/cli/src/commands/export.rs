//! `autodidact export`.

use std::path::PathBuf;
use std::process::ExitCode;

use autodidact::error::{Error, Result};
use autodidact::judge::frozen;
use autodidact::run::{RunFolder, write_atomic, write_published};

use crate::arguments::{Export, ExportFormat};

pub(crate) fn run(arguments: &Export) -> Result<ExitCode> {
    let folder = RunFolder::open(&arguments.run)?;
    let encoder = folder.encoder()?;
    let default = match arguments.format {
        ExportFormat::Safetensors => "encoder.safetensors",
        ExportFormat::Onnx => "encoder.onnx",
    };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(default));
    match arguments.format {
        ExportFormat::Safetensors if arguments.raw_input => {
            return Err(Error::recipe("--raw-input for a safetensors file")
                .expected("--format onnx, whose graph can normalize")
                .mend("leave --raw-input out"));
        }
        ExportFormat::Safetensors => write_published(&out, &encoder)?,
        ExportFormat::Onnx => {
            let frozen = frozen(&folder.recipe()?, &encoder, folder.path())?;
            write_atomic(&out, &frozen.onnx(arguments.raw_input)?.encode())?;
        }
    }
    println!("written to {}", out.display());
    Ok(ExitCode::SUCCESS)
}
