//! TensorBoard's event files: length-prefixed, checksummed protocol buffers.
//!
//! Format: tensorflow/core/lib/io/record_writer and tensorflow/core/util/event.proto.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::writer::AppendLog;
use crate::error::Result;

/// An event file being written.
#[derive(Debug)]
pub(super) struct EventFile {
    log: AppendLog,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog.START`: TensorBoard forgets what an earlier file says of later steps.
const START: i32 = 1;

impl EventFile {
    pub(super) fn open(folder: &Path, from_step: u64) -> Result<Self> {
        let now = now();
        let name = format!(
            "events.out.tfevents.{:010}.autodidact.{}",
            now as u64,
            std::process::id()
        );
        let mut file = Self {
            log: AppendLog::open(&folder.join(name), 0)?,
        };
        file.record(0, What::FileVersion("brain.Event:2".to_owned()))?;
        if from_step > 0 {
            file.record(from_step, What::SessionLog(SessionLog { status: START }))?;
        }
        Ok(file)
    }

    pub(super) fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<()> {
        let value = values
            .iter()
            .map(|(tag, value)| SummaryValue {
                tag: tag.clone(),
                simple_value: Some(*value as f32),
            })
            .collect();
        self.record(step, What::Summary(Summary { value }))
    }

    fn record(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event {
            wall_time: now(),
            step: step as i64,
            what: Some(what),
        };
        self.log.append(&framed(&event.encode_to_vec()))
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// Length, its checksum, the bytes, their checksum.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(crc32c(&length)).to_le_bytes());
    record.extend(bytes);
    record.extend(masked(crc32c(bytes)).to_le_bytes());
    record
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: events are few and short.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_record_reads_back() {
        let event = Event {
            wall_time: 1.5,
            step: 7,
            what: Some(What::Summary(Summary {
                value: vec![SummaryValue {
                    tag: "loss".to_owned(),
                    simple_value: Some(0.25),
                }],
            })),
        };
        let bytes = event.encode_to_vec();
        // Field 2 (step), then field 5 (summary) holding field 1 (value): tag 1, simple value 2 as four bytes.
        assert_eq!(&bytes[9..13], &[0x10, 7, 0x2a, 13]);
        assert_eq!(framed(&bytes).len(), bytes.len() + 16);
        assert_eq!(Event::decode(bytes.as_slice()).unwrap(), event);
    }
}
