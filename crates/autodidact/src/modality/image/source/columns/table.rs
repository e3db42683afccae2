//! One Parquet file: which of its columns is which, and reading them a row or a column at a time.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::basic::Compression;
use parquet::schema::types::ColumnDescriptor;

use super::super::storage::{LONGEST_MEMBER, Member};
use super::notes::{Notes, image_column, label_column, path_column, tells_of_images};
use super::stretch::Stretch;
use crate::error::{Error, Result};
use crate::modality::source::{bounds, guard};

/// Rows that are unpacked at once.
const BATCH: usize = 256;

/// An opened file.
pub(super) struct Table {
    /// The file's name without its ending, with which the names of rows begin that have none.
    stem: String,
    /// The file, for people.
    shown: String,
    file: Stretch,
    metadata: ArrowReaderMetadata,
    /// Position of the column of encoded images among all columns.
    image: usize,
    /// Position of the column of labels.
    label: Option<usize>,
    /// What the notes call the classes.
    classes: Option<Vec<String>>,
    /// The images' own names.
    names: Vec<Option<String>>,
    groups: Vec<Group>,
    rows: usize,
}

/// Rows that are packed together.
struct Group {
    first: usize,
    rows: usize,
    /// Whether the column of images is what it says, or what is wrong with it.
    sound: OnceLock<std::result::Result<(), String>>,
    /// Their images, a batch after the other, or why they can't be read.
    kept: OnceLock<std::result::Result<Vec<BinaryArray>, String>>,
}

impl Table {
    /// Reads the file's notes and the names of its rows.
    ///
    /// # Errors
    /// When it is no whole Parquet file, or there is no column of images or more than one.
    pub(super) fn open(member: &Member) -> Result<Self> {
        let (blob, offset, length) = member.blob()?;
        let file = Stretch {
            blob,
            offset,
            length,
        };
        let metadata = metadata(&file).map_err(|why| damaged(&member.shown).because(why))?;
        let notes = Notes::of(&metadata);
        let leaves = metadata.parquet_schema().columns();
        let image = image_column(leaves, &notes).map_err(|error| error.at(&member.shown))?;
        let label = label_column(leaves, &notes);
        let path = path_column(leaves, image);
        let classes = label.and_then(|at| notes.classes(leaves[at].path().string().as_str()));
        let mut groups = Vec::new();
        let (mut rows, mut packed) = (0usize, 0u64);
        for group in metadata.metadata().row_groups() {
            // A row takes a byte at the least; a file that claims more rows than bytes was made to fill the memory.
            let count = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
            let first = rows;
            rows = rows.saturating_add(count);
            if rows as u64 > length {
                return Err(damaged(&member.shown));
            }
            for at in [Some(image), label, path].into_iter().flatten() {
                let column = group.column(at);
                readable(column.compression()).map_err(|error| error.at(&member.shown))?;
                let first = column.dictionary_page_offset();
                let first = first.unwrap_or(column.data_page_offset());
                if first < 0 || !(0..=length as i64).contains(&column.compressed_size()) {
                    return Err(damaged(&member.shown));
                }
                // Groups that lay on one another would be gone through as often as there are groups.
                packed += column.compressed_size() as u64;
                if packed > length {
                    return Err(damaged(&member.shown));
                }
            }
            groups.push(Group {
                first,
                rows: count,
                sound: OnceLock::new(),
                kept: OnceLock::new(),
            });
        }
        let stem = member.name.strip_suffix(".parquet");
        let mut table = Self {
            stem: stem.unwrap_or(&member.name).to_owned(),
            shown: member.shown.clone(),
            file,
            image,
            label,
            classes,
            names: Vec::new(),
            groups,
            rows,
            metadata,
        };
        if let Some(at) = path {
            table.names = table.column_of_texts(at)?;
        }
        Ok(table)
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What the column of images is called.
    pub(super) fn column(&self) -> &str {
        self.leaf(self.image)
            .path()
            .parts()
            .first()
            .map_or("", String::as_str)
    }

    /// What the notes call the classes of the column of labels.
    pub(super) fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// Bytes of all encoded images, as the file declares.
    pub(super) fn image_bytes(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups().iter();
        groups
            .map(|group| {
                u64::try_from(group.column(self.image).uncompressed_size()).unwrap_or(u64::MAX)
            })
            .fold(0, u64::saturating_add)
    }

    /// The row's name.
    pub(super) fn name(&self, row: usize) -> String {
        match self.names.get(row) {
            Some(Some(name)) => name.clone(),
            _ => format!("{}/{row:05}", self.stem),
        }
    }

    /// Where a row's image is, for people.
    pub(super) fn place(&self, row: usize) -> String {
        format!("{}, row {row}, column {}", self.shown, self.column())
    }

    /// Where a row's label is, for people.
    pub(super) fn label_place(&self, row: usize) -> String {
        let name = self
            .label
            .map_or_else(String::new, |at| self.leaf(at).path().string());
        format!("{}, row {row}, column {name}", self.shown)
    }

    /// The encoded image of a row; with `keep`, those of the rows packed with it stay in memory.
    ///
    /// # Errors
    /// When there is none, or its part of the file is damaged.
    pub(super) fn image(&self, row: usize, keep: bool) -> Result<Vec<u8>> {
        let at = self.groups.partition_point(|group| group.first <= row);
        let (number, group) = match at.checked_sub(1).map(|at| (at, &self.groups[at])) {
            Some((number, group)) if row < group.first + group.rows => (number, group),
            _ => return Err(damaged(&self.place(row))),
        };
        let within = row - group.first;
        let failed = |why: String| damaged(&self.place(row)).because(why);
        let sound = group
            .sound
            .get_or_init(|| self.sound(self.image, number..number + 1));
        sound.clone().map_err(failed)?;
        let value = if keep {
            let batches = group.kept.get_or_init(|| self.group(number)).as_ref();
            let batches = batches.map_err(|why| failed(why.clone()))?;
            batches
                .get(within / BATCH)
                .and_then(|batch| value(batch, within % BATCH))
        } else {
            let only = self.one(number, within).map_err(failed)?;
            value(&only, 0)
        };
        value.ok_or_else(|| Error::data("holds no image").at(self.place(row)))
    }

    /// All labels as text; none where there is no column of labels.
    ///
    /// # Errors
    /// When the column is damaged.
    pub(super) fn labels(&self) -> Result<Vec<Option<String>>> {
        match self.label {
            Some(at) => self.column_of_texts(at),
            None => Ok(vec![None; self.rows]),
        }
    }

    fn leaf(&self, at: usize) -> &ColumnDescriptor {
        &self.metadata.parquet_schema().columns()[at]
    }

    /// Whether some groups of a column are what they say.
    fn sound(&self, column: usize, groups: Range<usize>) -> std::result::Result<(), String> {
        let groups = &self.metadata.metadata().row_groups()[groups];
        groups
            .iter()
            .try_for_each(|group| bounds::pages(&self.file, group.column(column)))
    }

    /// Reads a column batch by batch, those rows of it that `narrow` leaves.
    fn each(
        &self,
        column: usize,
        narrow: impl FnOnce(Reader) -> Reader,
        mut take: impl FnMut(&ArrayRef) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        guarded(|| {
            let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), [column]);
            let reader = Reader::new_with_metadata(self.file.clone(), self.metadata.clone());
            let reader = reader.with_projection(mask).with_batch_size(BATCH);
            for batch in narrow(reader).build().map_err(text)? {
                take(&only_column(&batch.map_err(text)?))?;
            }
            Ok(())
        })
    }

    /// The images of a group of rows.
    fn group(&self, number: usize) -> std::result::Result<Vec<BinaryArray>, String> {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        let narrow = |reader: Reader| reader.with_row_groups(vec![number]);
        self.each(self.image, narrow, |column| {
            let images = images(column)?;
            bytes += images.value_data().len() as u64;
            batches.push(images);
            not_too_long(bytes)
        })?;
        Ok(batches)
    }

    /// The image of one row of a group.
    fn one(&self, number: usize, within: usize) -> std::result::Result<BinaryArray, String> {
        let rows = vec![RowSelector::skip(within), RowSelector::select(1)];
        let narrow = |reader: Reader| {
            let reader = reader.with_row_groups(vec![number]);
            reader.with_row_selection(RowSelection::from(rows))
        };
        let mut found = None;
        self.each(self.image, narrow, |column| {
            found = Some(images(column)?);
            Ok(())
        })?;
        found.ok_or_else(|| "its group of rows ends too early".to_owned())
    }

    fn column_of_texts(&self, column: usize) -> Result<Vec<Option<String>>> {
        let (mut texts, mut bytes) = (Vec::new(), 0);
        let read = self.sound(column, 0..self.groups.len());
        let read = read.and_then(|()| {
            self.each(
                column,
                |reader| reader,
                |column| {
                    let values = cast(column, &DataType::Utf8).map_err(text)?;
                    for value in values.as_string::<i32>() {
                        bytes += value.map_or(0, str::len) as u64;
                        texts.push(value.map(str::to_owned));
                    }
                    not_too_long(bytes)
                },
            )
        });
        let read = match read {
            Ok(()) if texts.len() != self.rows => Err("it ends too early".to_owned()),
            read => read,
        };
        let name = self.leaf(column).path().string();
        let place = format!("{}, column {name}", self.shown);
        read.map_err(|why| damaged(&place).because(why))?;
        Ok(texts)
    }
}

/// Whether a file has a column that says of itself that it holds images, by its name if by nothing else.
pub(super) fn holds_images(file: &Stretch) -> bool {
    metadata(file).is_ok_and(|metadata| {
        tells_of_images(metadata.parquet_schema().columns(), &Notes::of(&metadata))
    })
}

/// The notes at the end of a file.
fn metadata(file: &Stretch) -> std::result::Result<ArrowReaderMetadata, String> {
    // Types as Parquet has them: what the writer's own types were doesn't matter here.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    bounds::footer(file)?;
    guarded(|| ArrowReaderMetadata::load(file, options).map_err(text))
}

/// What reads the rows.
type Reader = ParquetRecordBatchReaderBuilder<Stretch>;

fn guarded<T>(
    work: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    guard::guarded(work)
        .unwrap_or_else(|| Err("its inner lengths contradict each other".to_owned()))
}

fn not_too_long(bytes: u64) -> std::result::Result<(), String> {
    if bytes > LONGEST_MEMBER {
        return Err("it unpacks to more than 1 GiB".to_owned());
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn damaged(shown: &str) -> Error {
    Error::data("is damaged or ends too early")
        .at(shown)
        .expected("a whole Parquet file")
        .mend("download or write it again")
}

/// What a batch of one column holds, out of its struct.
fn only_column(batch: &RecordBatch) -> ArrayRef {
    let mut column = Arc::clone(batch.column(0));
    while let Some(inner) = column
        .as_struct_opt()
        .and_then(|s| s.columns().first().cloned())
    {
        column = inner;
    }
    column
}

fn images(column: &ArrayRef) -> std::result::Result<BinaryArray, String> {
    let images = column.as_binary_opt::<i32>();
    images
        .cloned()
        .ok_or_else(|| format!("it is of type {}", column.data_type()))
}

fn value(images: &BinaryArray, at: usize) -> Option<Vec<u8>> {
    (at < images.len() && images.is_valid(at)).then(|| images.value(at).to_vec())
}

fn readable(packing: Compression) -> Result<()> {
    match packing {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => Ok(()),
        other => Err(Error::data(format!("is packed with {other}"))
            .expected("Parquet that is packed with snappy or gzip, or not at all")
            .mend("write it again with compression=\"snappy\"")),
    }
}
