//! `autodidact export`.

use std::path::PathBuf;
use std::process::ExitCode;

use autodidact::error::{Error, Result};
use autodidact::export::write_publication;
use autodidact::judge::frozen;
use autodidact::run::{RunFolder, write_atomic, write_published};

use crate::arguments::{Export, ExportFormat};

pub(crate) fn run(arguments: &Export) -> Result<ExitCode> {
    let folder = RunFolder::open(&arguments.run)?;
    let encoder = folder.encoder()?;
    let default = match arguments.format {
        ExportFormat::Safetensors => "encoder.safetensors",
        ExportFormat::Onnx => "encoder.onnx",
        ExportFormat::Transformers => "transformers",
    };
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(default));
    match arguments.format {
        ExportFormat::Safetensors | ExportFormat::Transformers if arguments.raw_input => {
            return Err(Error::recipe("--raw-input for weights")
                .expected("--format onnx, whose graph can normalize")
                .mend("leave --raw-input out"));
        }
        ExportFormat::Safetensors => write_published(&out, &encoder)?,
        ExportFormat::Onnx => {
            let frozen = frozen(&folder.recipe()?, &encoder, folder.path())?;
            write_atomic(&out, &frozen.onnx(arguments.raw_input)?.encode())?;
        }
        ExportFormat::Transformers => {
            let publication = frozen(&folder.recipe()?, &encoder, folder.path())?.publication()?;
            for note in write_publication(&out, &publication)? {
                println!("{note}");
            }
        }
    }
    println!("written to {}", out.display());
    Ok(ExitCode::SUCCESS)
}
