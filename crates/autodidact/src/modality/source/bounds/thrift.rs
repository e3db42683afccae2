//! Thrift's compact protocol, as far as to walk over what lies in it and to see how much it claims to be.
//!
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>: a struct is a row of fields, each
//! a byte of type and distance to the field before, ended by 0; numbers are 7 bits a byte, the lowest first.

use std::result::Result;

/// How deep structs and lists may lie in each other.
const DEEPEST: usize = 32;

/// Why a walk ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end inside of something.
    End,
    /// They are no Thrift, or claim more than there is room for.
    Nonsense,
}

/// Types of the protocol.
pub(super) const I32: u8 = 5;
const I64: u8 = 6;
const BYTES: u8 = 8;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// What the fields of a struct hold, by their numbers. The crate that reads Parquet goes by the numbers alone: where a field
/// is of another type than it thinks, it reads on in the middle of something, and finds counts there that nobody looked at.
pub(super) struct Shape(pub(super) &'static [(i64, Held)]);

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Truth,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Bytes,
    Struct(&'static Shape),
    List(&'static Shape),
    ListOfI32,
    ListOfI64,
    ListOfBytes,
}

impl Held {
    /// Whether a value of that type is this.
    fn is(self, kind: u8) -> bool {
        match self {
            Self::Truth => matches!(kind, 1 | 2),
            Self::Byte => kind == 3,
            Self::I16 => kind == 4,
            Self::I32 => kind == I32,
            Self::I64 => kind == I64,
            Self::Double => kind == 7,
            Self::Bytes => kind == BYTES,
            Self::Struct(_) => kind == STRUCT,
            Self::List(_) | Self::ListOfI32 | Self::ListOfI64 | Self::ListOfBytes => kind == LIST,
        }
    }
}

/// Bytes on which a walk is on its way.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes behind.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Stop::Nonsense)
    }

    /// A number with a sign.
    pub(super) fn signed(&mut self) -> Result<i64, Stop> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next field's number and type, `last` being the number of the one before; `None` at the end of the struct.
    pub(super) fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>, Stop> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => self.signed()?,
            distance => last.checked_add(distance.into()).ok_or(Stop::Nonsense)?,
        };
        // Numbers have 16 bits; of a longer one a reader may see the lower bits alone.
        i16::try_from(*last).map_err(|_| Stop::Nonsense)?;
        Ok(Some((*last, kind)))
    }

    /// The type and the number of a list's elements, of which each takes a byte at the least.
    pub(super) fn list(&mut self) -> Result<(u8, u64), Stop> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.number()?,
            few => few.into(),
        };
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(Stop::Nonsense);
        }
        Ok((head & 0x0f, count))
    }

    /// Walks over a struct of a shape, to its end. Fields that the shape doesn't know may hold anything.
    pub(super) fn shaped(&mut self, shape: &Shape) -> Result<(), Stop> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            self.field_of(shape, id, kind)?;
        }
        Ok(())
    }

    /// Walks over the value of a field in a struct of a shape.
    pub(super) fn field_of(&mut self, shape: &Shape, id: i64, kind: u8) -> Result<(), Stop> {
        let known = shape.0.iter().find(|(known, _)| *known == id);
        let Some(&(_, held)) = known else {
            return self.skip(kind);
        };
        if !held.is(kind) {
            return Err(Stop::Nonsense);
        }
        // Shapes lie in each other a handful deep.
        match held {
            Held::Struct(shape) => self.shaped(shape),
            Held::List(shape) => {
                let count = self.list_of(STRUCT)?;
                (0..count).try_for_each(|_| self.shaped(shape))
            }
            Held::ListOfI32 => self.plain(I32),
            Held::ListOfI64 => self.plain(I64),
            Held::ListOfBytes => self.plain(BYTES),
            _ => self.skip(kind),
        }
    }

    /// The number of a list's elements, which are to be of that type.
    fn list_of(&mut self, kind: u8) -> Result<u64, Stop> {
        let (found, count) = self.list()?;
        // Some writers give an empty list no type.
        if found != kind && count > 0 {
            return Err(Stop::Nonsense);
        }
        Ok(count)
    }

    fn plain(&mut self, kind: u8) -> Result<(), Stop> {
        let count = self.list_of(kind)?;
        (0..count).try_for_each(|_| self.skip(kind))
    }

    /// Walks over a value that stands in a struct.
    pub(super) fn skip(&mut self, kind: u8) -> Result<(), Stop> {
        match kind {
            // Truth is in the type itself.
            1 | 2 => Ok(()),
            _ => self.skip_within(kind, DEEPEST),
        }
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Result<(), Stop> {
        let depth = depth.checked_sub(1).ok_or(Stop::Nonsense)?;
        match kind {
            1..=3 => self.byte().map(|_| ()),
            4..=6 => self.number().map(|_| ()),
            7 => self.leave(8),
            8 => {
                let length = self.number()?;
                self.leave(length)
            }
            9 | 10 => {
                let (kind, count) = self.list()?;
                if count > 0 {
                    takes_room(kind)?;
                }
                (0..count).try_for_each(|_| self.skip_within(kind, depth))
            }
            11 => {
                let count = self.number()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                if count > 0 {
                    takes_room(kinds >> 4)?;
                    takes_room(kinds & 0x0f)?;
                }
                (0..count).try_for_each(|_| {
                    self.skip_within(kinds >> 4, depth)?;
                    self.skip_within(kinds & 0x0f, depth)
                })
            }
            12 => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    if !matches!(kind, 1 | 2) {
                        self.skip_within(kind, depth)?;
                    }
                }
                Ok(())
            }
            13 => self.leave(16),
            _ => Err(Stop::Nonsense),
        }
    }

    fn leave(&mut self, count: u64) -> Result<(), Stop> {
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(Stop::End);
        }
        self.at += count as usize;
        Ok(())
    }
}

/// Refuses lists of truths. By the protocol each takes a byte, but the crate that reads Parquet's notes passes over them as
/// over truths in a struct, which take none: it counts to two billion, and sees other things than a walk in what follows.
/// Parquet's notes have no such lists.
fn takes_room(kind: u8) -> Result<(), Stop> {
    match kind {
        1 | 2 => Err(Stop::Nonsense),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_ends_where_the_struct_does() {
        // {1: 300, 2: "ab", 3: [{}, {1: true}], 20: true} and a byte that is not part of it.
        let bytes = [
            0x15, 0xd8, 0x04, 0x18, 2, b'a', b'b', 0x19, 0x2c, 0, 0x11, 0, 0x01, 40, 0, 0xff,
        ];
        let mut walk = Walk::new(&bytes);
        let mut last = 0;
        let mut seen = Vec::new();
        while let Some((id, kind)) = walk.field(&mut last).unwrap() {
            if id == 1 {
                assert_eq!(walk.signed(), Ok(300));
            } else {
                walk.skip(kind).unwrap();
            }
            seen.push(id);
        }
        assert_eq!((seen.as_slice(), walk.at()), (&[1, 2, 3, 20][..], 15));
        for cut in 0..15 {
            let mut walk = Walk::new(&bytes[..cut]);
            assert!(walk.skip(STRUCT).is_err(), "cut to {cut}");
        }
    }

    #[test]
    fn what_claims_more_than_there_is_room_for_is_refused() {
        // A list of two billion, a list in a list in a list …, a number of eleven bytes.
        let many = [0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
        assert_eq!(Walk::new(&many).skip(LIST), Err(Stop::Nonsense));
        assert_eq!(Walk::new(&[0x19; 100]).skip(LIST), Err(Stop::Nonsense));
        assert_eq!(Walk::new(&[0xff; 11]).skip(I32), Err(Stop::Nonsense));
    }

    #[test]
    fn fields_of_another_type_than_their_shape_says_are_refused() {
        const INNER: Shape = Shape(&[(1, Held::Truth)]);
        const OUTER: Shape = Shape(&[
            (1, Held::I32),
            (2, Held::Struct(&INNER)),
            (3, Held::ListOfBytes),
            (4, Held::List(&INNER)),
        ]);
        let walk = |bytes: &[u8]| Walk::new(bytes).shaped(&OUTER);
        // {1: 1, 2: {1: true}, 3: ["a"], 4: [{1: false}, {}], 9: 1}
        let sound = [
            0x15, 2, 0x1c, 0x11, 0, 0x19, 0x18, 1, b'a', 0x19, 0x2c, 0x12, 0, 0, 0x55, 2, 0,
        ];
        assert_eq!(walk(&sound), Ok(()));
        assert_eq!(walk(&[0x39, 0, 0]), Ok(()), "an empty list has no type");
        // A truth for a number, a number for a struct, a number in it for a truth, lists of other things.
        for bytes in [
            &[0x11, 0][..],
            &[0x25, 2, 0],
            &[0x2c, 0x15, 2, 0, 0],
            &[0x39, 0x15, 2, 0],
            &[0x49, 0x15, 2, 0],
            // Field 65,537, which is 1 in 16 bits.
            &[0x01, 0x82, 0x80, 0x08, 0],
        ] {
            assert_eq!(walk(bytes), Err(Stop::Nonsense), "{bytes:?}");
        }
    }

    #[test]
    fn lists_of_truths_are_refused_since_they_are_read_in_two_ways() {
        // [true, true], {true: 1} and {1: true}; and none of each.
        let map = 11;
        for (kind, bytes) in [
            (LIST, &[0x22, 1, 1][..]),
            (map, &[1, 0x23, 1, 1]),
            (map, &[1, 0x31, 1, 1]),
        ] {
            assert_eq!(
                Walk::new(bytes).skip(kind),
                Err(Stop::Nonsense),
                "{bytes:?}"
            );
        }
        for (kind, bytes) in [(LIST, &[0x02][..]), (map, &[0])] {
            assert_eq!(Walk::new(bytes).skip(kind), Ok(()), "{bytes:?}");
        }
    }
}
