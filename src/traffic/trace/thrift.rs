//! Thrift's compact protocol, as far as a Parquet file has it: walks a structure and makes sure that what it announces can be there. Decides
//! nothing about the meaning of a field.
//!
//! polars makes room for a list before it reads it, by the length that the file claims; a damaged length ends the process. So a list is held to the
//! bytes that are left, and a known field to its type, so that polars and this walk read the same bytes as the same thing.

use std::io::Read;

/// What a field must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Bool,
    I16,
    I32,
    I64,
    Bytes,
    List(&'static Kind),
    Struct(&'static [(i16, Kind)]),
}

/// A structure that can't be as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// Structures in structures; Parquet's own are 6 deep.
const DEPTH_MAX: u32 = 32;

/// Reads at most as many bytes as there are.
pub(super) struct Walk<R> {
    input: R,
    left: u64,
    depth: u32,
}

impl<R: Read> Walk<R> {
    /// A walk over the next `left` bytes of `input`.
    pub(super) fn new(input: R, left: u64) -> Self {
        Self { input, left, depth: 0 }
    }

    /// Bytes not read yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Walks a structure. `seen` is told the integers that stand in it and in structures directly inside: (number of the inner
    /// structure or 0, number of the field, value).
    pub(super) fn structure(&mut self, fields: &'static [(i16, Kind)], seen: &mut dyn FnMut(i16, i16, i64)) -> Result<(), Damaged> {
        self.fields(Some(fields), 0, seen)
    }

    fn fields(&mut self, fields: Option<&'static [(i16, Kind)]>, parent: i16, seen: &mut dyn FnMut(i16, i16, i64)) -> Result<(), Damaged> {
        self.depth += 1;
        let mut last: i16 = 0;
        while let Some((id, code)) = self.field(last)? {
            last = id;
            match fields.and_then(|fields| fields.iter().find(|(known, _)| *known == id)) {
                Some((_, kind)) if !kind.is(code) => return Err(Damaged),
                Some((_, Kind::I16 | Kind::I32 | Kind::I64)) => {
                    let value = self.zig_zag()?;
                    seen(parent, id, value);
                }
                Some((_, Kind::Struct(inner))) if self.depth == 1 => self.fields(Some(inner), id, seen)?,
                Some((_, kind)) => self.value(code, Some(kind))?,
                None => self.value(code, None)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The next field's number and type; none at the end of the structure.
    fn field(&mut self, last: i16) -> Result<Option<(i16, u8)>, Damaged> {
        let header = self.byte()?;
        if header & 0x0f == 0 {
            return Ok(None);
        }
        let id = match i16::from(header >> 4) {
            0 => i16::try_from(self.zig_zag()?).map_err(|_| Damaged)?,
            step => last.checked_add(step).ok_or(Damaged)?,
        };
        Ok(Some((id, header & 0x0f)))
    }

    /// Walks a value of the type that the file announces. A truth value in a structure is its type and has no byte of its own.
    fn value(&mut self, code: u8, kind: Option<&Kind>) -> Result<(), Damaged> {
        match code {
            1 | 2 => Ok(()),
            3 => self.skip(1),
            4..=6 => self.zig_zag().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => self.list(kind),
            12 if self.depth < DEPTH_MAX => {
                let fields = if let Some(Kind::Struct(fields)) = kind { Some(*fields) } else { None };
                self.fields(fields, 0, &mut |_, _, _| {})
            }
            // No map, and nothing else, is in any structure of Parquet.
            _ => Err(Damaged),
        }
    }

    fn list(&mut self, kind: Option<&Kind>) -> Result<(), Damaged> {
        let header = self.byte()?;
        let length = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
        let code = header & 0x0f;
        if length > self.left || length > i32::MAX as u64 {
            return Err(Damaged);
        }
        let inner = if let Some(Kind::List(inner)) = kind { Some(*inner) } else { None };
        // fastparquet writes no type into an empty list.
        if length > 0 && inner.is_some_and(|inner| !inner.is(code)) {
            return Err(Damaged);
        }
        for _ in 0..length {
            if matches!(code, 1 | 2) { self.skip(1)? } else { self.value(code, inner)? }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        self.left = self.left.checked_sub(1).ok_or(Damaged)?;
        let mut byte = [0];
        self.input.read_exact(&mut byte).map_err(|_| Damaged)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    fn zig_zag(&mut self) -> Result<i64, Damaged> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Damaged> {
        self.left = self.left.checked_sub(bytes).ok_or(Damaged)?;
        let skipped = std::io::copy(&mut self.input.by_ref().take(bytes), &mut std::io::sink()).map_err(|_| Damaged)?;
        if skipped == bytes { Ok(()) } else { Err(Damaged) }
    }
}

impl Kind {
    /// Whether a file announces this kind by that number.
    const fn is(self, code: u8) -> bool {
        match self {
            Self::Bool => matches!(code, 1 | 2),
            Self::I16 => code == 4,
            Self::I32 => code == 5,
            Self::I64 => code == 6,
            Self::Bytes => code == 8,
            Self::List(_) => code == 9,
            Self::Struct(_) => code == 12,
        }
    }
}
