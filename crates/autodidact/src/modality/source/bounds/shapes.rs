//! What Parquet's own structs hold, field by field.
//!
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>. Only the notes at the end of a file
//! and the headers of pages stand here, since only these are read.

use super::thrift::Held::{
    Byte, Bytes, Double, I16, I32, I64, List, ListOfBytes, ListOfI32, ListOfI64, Struct, Truth,
};
use super::thrift::Shape;

/// The notes at the end of a file (`FileMetaData`). Its fourth field are the groups of rows.
pub(super) const FILE: Shape = Shape(&[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Bytes),
    (7, List(&COLUMN_ORDER)),
]);

/// The header of a page (`PageHeader`).
pub(super) const PAGE: Shape = Shape(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&DATA_PAGE)),
    (6, Struct(&EMPTY)),
    (7, Struct(&DICTIONARY_PAGE)),
    (8, Struct(&DATA_PAGE_V2)),
]);

const EMPTY: Shape = Shape(&[]);

const SCHEMA_ELEMENT: Shape = Shape(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Bytes),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, Struct(&LOGICAL_TYPE)),
]);

const LOGICAL_TYPE: Shape = Shape(&[
    (1, Struct(&EMPTY)),
    (2, Struct(&EMPTY)),
    (3, Struct(&EMPTY)),
    (4, Struct(&EMPTY)),
    (5, Struct(&Shape(&[(1, I32), (2, I32)]))),
    (6, Struct(&EMPTY)),
    (7, Struct(&TIME)),
    (8, Struct(&TIME)),
    (10, Struct(&Shape(&[(1, Byte), (2, Truth)]))),
    (11, Struct(&EMPTY)),
    (12, Struct(&EMPTY)),
    (13, Struct(&EMPTY)),
    (14, Struct(&EMPTY)),
    (15, Struct(&EMPTY)),
    (16, Struct(&Shape(&[(1, Byte)]))),
    (17, Struct(&Shape(&[(1, Bytes)]))),
    (18, Struct(&Shape(&[(1, Bytes), (2, I32)]))),
]);

const TIME: Shape = Shape(&[(1, Truth), (2, Struct(&TIME_UNIT))]);

const TIME_UNIT: Shape = Shape(&[
    (1, Struct(&EMPTY)),
    (2, Struct(&EMPTY)),
    (3, Struct(&EMPTY)),
]);

const ROW_GROUP: Shape = Shape(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Shape(&[(1, I32), (2, Truth), (3, Truth)]))),
    (5, I64),
    (6, I64),
    (7, I16),
]);

const COLUMN_CHUNK: Shape = Shape(&[
    (1, Bytes),
    (2, I64),
    (3, Struct(&COLUMN)),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
]);

const COLUMN: Shape = Shape(&[
    (1, I32),
    (2, ListOfI32),
    (3, ListOfBytes),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Struct(&STATISTICS)),
    (13, List(&Shape(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (
        16,
        Struct(&Shape(&[(1, I64), (2, ListOfI64), (3, ListOfI64)])),
    ),
    (
        17,
        Struct(&Shape(&[(1, Struct(&BOUNDING_BOX)), (2, ListOfI32)])),
    ),
]);

const STATISTICS: Shape = Shape(&[
    (1, Bytes),
    (2, Bytes),
    (3, I64),
    (4, I64),
    (5, Bytes),
    (6, Bytes),
    (7, Truth),
    (8, Truth),
]);

const BOUNDING_BOX: Shape = Shape(&[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
]);

const KEY_VALUE: Shape = Shape(&[(1, Bytes), (2, Bytes)]);

const COLUMN_ORDER: Shape = Shape(&[(1, Struct(&EMPTY)), (2, Struct(&EMPTY))]);

const DATA_PAGE: Shape = Shape(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&STATISTICS)),
]);

const DICTIONARY_PAGE: Shape = Shape(&[(1, I32), (2, I32), (3, Truth)]);

const DATA_PAGE_V2: Shape = Shape(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, I32),
    (6, I32),
    (7, Truth),
    (8, Struct(&STATISTICS)),
]);
