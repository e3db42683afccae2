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
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

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
                (0..count).try_for_each(|_| self.skip_within(kind, depth))
            }
            11 => {
                let count = self.number()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
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
}
