//! Whether a Parquet file can be as it says, before polars believes it: polars asks for as much memory as a damaged page claims to need, which
//! no test survives and no error comes of. Decides what is refused; decodes nothing.
//!
//! Source of the structures: apache/parquet-format, `parquet.thrift` (P). Not checked are the lengths inside of DELTA-encoded values.

use std::io::{BufReader, Read, Seek, SeekFrom};

use polars::prelude::FileMetadataRef;

use super::thrift::{Damaged, Kind, Walk};

/// More than a writer puts in a page by three orders of magnitude; it would break the bound on memory.
const PAGE_BYTES_MAX: i64 = 1 << 30;

const STATISTICS: Kind = Kind::Struct(&[
    (1, Kind::Bytes),
    (2, Kind::Bytes),
    (3, Kind::I64),
    (4, Kind::I64),
    (5, Kind::Bytes),
    (6, Kind::Bytes),
    (7, Kind::Bool),
    (8, Kind::Bool),
]);

const KEY_VALUES: Kind = Kind::List(&Kind::Struct(&[(1, Kind::Bytes), (2, Kind::Bytes)]));

const SCHEMA_ELEMENT: Kind = Kind::Struct(&[
    (1, Kind::I32),
    (2, Kind::I32),
    (3, Kind::I32),
    (4, Kind::Bytes),
    (5, Kind::I32),
    (6, Kind::I32),
    (7, Kind::I32),
    (8, Kind::I32),
    (9, Kind::I32),
    (10, Kind::Struct(&[])),
]);

const COLUMN_META_DATA: Kind = Kind::Struct(&[
    (1, Kind::I32),
    (2, Kind::List(&Kind::I32)),
    (3, Kind::List(&Kind::Bytes)),
    (4, Kind::I32),
    (5, Kind::I64),
    (6, Kind::I64),
    (7, Kind::I64),
    (8, KEY_VALUES),
    (9, Kind::I64),
    (10, Kind::I64),
    (11, Kind::I64),
    (12, STATISTICS),
    (13, Kind::List(&Kind::Struct(&[(1, Kind::I32), (2, Kind::I32), (3, Kind::I32)]))),
    (14, Kind::I64),
    (15, Kind::I32),
    (16, Kind::Struct(&[(1, Kind::I64), (2, Kind::List(&Kind::I64)), (3, Kind::List(&Kind::I64))])),
]);

const COLUMN_CHUNK: Kind = Kind::Struct(&[
    (1, Kind::Bytes),
    (2, Kind::I64),
    (3, COLUMN_META_DATA),
    (4, Kind::I64),
    (5, Kind::I32),
    (6, Kind::I64),
    (7, Kind::I32),
    (8, Kind::Struct(&[])),
    (9, Kind::Bytes),
]);

const ROW_GROUP: Kind = Kind::Struct(&[
    (1, Kind::List(&COLUMN_CHUNK)),
    (2, Kind::I64),
    (3, Kind::I64),
    (4, Kind::List(&Kind::Struct(&[(1, Kind::I32), (2, Kind::Bool), (3, Kind::Bool)]))),
    (5, Kind::I64),
    (6, Kind::I64),
    (7, Kind::I16),
]);

static FILE_META_DATA: [(i16, Kind); 9] = [
    (1, Kind::I32),
    (2, Kind::List(&SCHEMA_ELEMENT)),
    (3, Kind::I64),
    (4, Kind::List(&ROW_GROUP)),
    (5, KEY_VALUES),
    (6, Kind::Bytes),
    (7, Kind::List(&Kind::Struct(&[]))),
    (8, Kind::Struct(&[])),
    (9, Kind::Bytes),
];

static PAGE_HEADER: [(i16, Kind); 8] = [
    (1, Kind::I32),
    (2, Kind::I32),
    (3, Kind::I32),
    (4, Kind::I32),
    (5, Kind::Struct(&[(1, Kind::I32), (2, Kind::I32), (3, Kind::I32), (4, Kind::I32), (5, STATISTICS)])),
    (6, Kind::Struct(&[])),
    (7, Kind::Struct(&[(1, Kind::I32), (2, Kind::I32), (3, Kind::Bool)])),
    (
        8,
        Kind::Struct(&[
            (1, Kind::I32),
            (2, Kind::I32),
            (3, Kind::I32),
            (4, Kind::I32),
            (5, Kind::I32),
            (6, Kind::I32),
            (7, Kind::Bool),
            (8, STATISTICS),
        ]),
    ),
];

/// What the header of a page says. Zero where it says nothing.
#[derive(Debug, Default)]
struct Page {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    /// Values of a data page of version 1, of a dictionary, of a data page of version 2.
    values: [Option<i64>; 3],
    /// Nulls and rows of a data page of version 2.
    nulls: i64,
    rows: i64,
    levels: [i64; 2],
}

/// Checks the footer of a Parquet file.
pub(super) fn check_footer(file: &mut (impl Read + Seek)) -> Result<(), &'static str> {
    const CUT: &str = "the file does not end as a Parquet file does";
    let mut end = [0; 8];
    let length = file.seek(SeekFrom::End(0)).map_err(|_| CUT)?;
    let start = length.checked_sub(8).ok_or(CUT)?;
    file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut end)).map_err(|_| CUT)?;
    let footer = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if &end[4..] != b"PAR1" || footer > start {
        return Err(CUT);
    }
    file.seek(SeekFrom::Start(start - footer)).map_err(|_| CUT)?;
    let mut walk = Walk::new(BufReader::new(file), footer);
    walk.structure(&FILE_META_DATA, &mut |_, _, _| {}).map_err(|Damaged| "the footer contradicts itself")
}

/// Checks the pages of some columns of a row group.
pub(super) fn check_group<'n>(
    file: &mut (impl Read + Seek),
    metadata: &FileMetadataRef,
    group: usize,
    columns: impl Iterator<Item = &'n str>,
) -> Result<(), &'static str> {
    let length = file.seek(SeekFrom::End(0)).map_err(|_| "it can't be read")?;
    let mut file = BufReader::new(file);
    let group = &metadata.row_groups[group];
    for name in columns {
        for chunk in group.columns_under_root_iter(name).into_iter().flatten() {
            let (start, size) = (chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()), chunk.compressed_size());
            let (Ok(start), Ok(size)) = (u64::try_from(start), u64::try_from(size)) else {
                return Err("a column begins before the file does");
            };
            if start.checked_add(size).is_none_or(|end| end > length) {
                return Err("a column reaches beyond the end of the file");
            }
            let is_flat = chunk.descriptor().descriptor.max_rep_level == 0;
            if is_flat && usize::try_from(chunk.num_values()) != Ok(group.num_rows()) {
                return Err("a column has another number of values than its row group has rows");
            }
            check_chunk(&mut file, start, size, chunk.num_values())?;
        }
    }
    Ok(())
}

/// Checks the pages of one column: they fill it, and their values are those that the footer counts.
fn check_chunk(file: &mut BufReader<impl Read + Seek>, start: u64, size: u64, values: i64) -> Result<(), &'static str> {
    const BROKEN: &str = "the header of a page is damaged";
    // Within the buffer if it can be: pages are small, and their headers close to each other.
    let here = file.stream_position().map_err(|_| BROKEN)?;
    file.seek_relative(start.cast_signed() - here.cast_signed()).map_err(|_| BROKEN)?;
    let (mut left, mut seen) = (size, 0);
    // As polars does: a dictionary is looked for in any case, and pages are read until all values are there.
    while seen < values || (left == size && size > 0) {
        let mut page = Page::default();
        let mut walk = Walk::new(&mut *file, left);
        walk.structure(&PAGE_HEADER, &mut |parent, id, value| page.take(parent, id, value)).map_err(|Damaged| BROKEN)?;
        left = walk.left();
        seen += page.check(left, values - seen)?;
        left -= page.compressed.unsigned_abs();
        file.seek_relative(page.compressed).map_err(|_| BROKEN)?;
    }
    Ok(())
}

impl Page {
    fn take(&mut self, parent: i16, id: i16, value: i64) {
        match (parent, id) {
            (0, 1) => self.kind = value,
            (0, 2) => self.uncompressed = value,
            (0, 3) => self.compressed = value,
            (5, 1) => self.values[0] = Some(value),
            (7, 1) => self.values[1] = Some(value),
            (8, 1) => self.values[2] = Some(value),
            (8, 2) => self.nulls = value,
            (8, 3) => self.rows = value,
            (8, 5) => self.levels[0] = value,
            (8, 6) => self.levels[1] = value,
            _ => {}
        }
    }

    /// The values that the page adds to its column, of which `missing` are missing, with `left` bytes to come.
    fn check(&self, left: u64, missing: i64) -> Result<i64, &'static str> {
        const SIZE: &str = "a page has a size that can't be";
        const VALUES: &str = "the pages of a column have another number of values than the footer says";
        let of = |number: usize| self.values[number].filter(|values| *values >= 0).ok_or(VALUES);
        if !(0..=PAGE_BYTES_MAX).contains(&self.uncompressed) || u64::try_from(self.compressed).map_or(true, |bytes| bytes > left) {
            return Err(SIZE);
        }
        let values = match self.kind {
            0 => of(0)?,
            // A value of the types that are read has 4 bytes or more in a dictionary.
            2 if of(1)? <= self.uncompressed / 4 => 0,
            2 => return Err(SIZE),
            3 => {
                let levels = self.levels[0].checked_add(self.levels[1]);
                let fits = levels.is_some_and(|levels| levels <= self.uncompressed && levels <= self.compressed);
                if self.levels.iter().any(|length| *length < 0) || !fits || !(0..=of(2)?).contains(&self.nulls) || !(0..=of(2)?).contains(&self.rows)
                {
                    return Err(SIZE);
                }
                of(2)?
            }
            _ => return Err("a page is of a kind that no column has"),
        };
        if values > missing { Err(VALUES) } else { Ok(values) }
    }
}
