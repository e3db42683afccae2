//! An allocator that keeps large blocks for the next training step.
//!
//! A training step allocates the same tensors as the last one. General allocators hand blocks of
//! many megabytes back to the operating system, and getting them again costs a page fault and a
//! zeroed page for every 4 KiB, which on memory-bound operations is as long as the operation
//! itself. [`Recycling`] wraps another allocator and keeps freed large blocks in lists by size.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller blocks go straight to the inner allocator.
const SMALLEST: usize = 1 << 17;
/// Powers of two that have lists, from [`SMALLEST`] up; larger blocks go to the inner allocator.
const OCTAVES: usize = 18;
/// Sizes per octave; a block is at most an eighth larger than asked for.
const STEPS: usize = 8;
/// The alignment of every kept block: a cache line, which is also the widest vector.
const ALIGN: usize = 64;

/// A global allocator that recycles blocks of 128 KiB and more.
///
/// ```
/// use autodidact_kernels::Recycling;
///
/// #[global_allocator]
/// static ALLOCATOR: Recycling<std::alloc::System> = Recycling::new(std::alloc::System, 4 << 30);
/// # fn main() { assert_eq!(vec![1u8; 1 << 20].len(), 1 << 20); }
/// ```
pub struct Recycling<A> {
    inner: A,
    limit: usize,
    kept: Mutex<Kept>,
}

/// The free blocks: for each size a list that is threaded through the blocks themselves.
struct Kept {
    heads: [*mut u8; OCTAVES * STEPS],
    bytes: usize,
}

// SAFETY: the blocks belong to the lists alone, and a mutex guards the lists.
unsafe impl Send for Kept {}

impl<A> Recycling<A> {
    /// Wraps `inner` and keeps at most `limit` bytes of free blocks; beyond it all of them are
    /// given back, since their sizes are then likely those of an earlier phase of the program.
    pub const fn new(inner: A, limit: usize) -> Self {
        let kept = Kept {
            heads: [null_mut(); OCTAVES * STEPS],
            bytes: 0,
        };
        Self {
            inner,
            limit,
            kept: Mutex::new(kept),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list and the rounded layout for a request, if its block is one to keep.
fn class(layout: Layout) -> Option<(usize, Layout)> {
    let size = layout.size();
    if size < SMALLEST || layout.align() > ALIGN {
        return None;
    }
    let step = (1usize << size.ilog2()) / STEPS;
    let rounded = size.checked_next_multiple_of(step)?;
    let list = block_list(rounded);
    let layout = Layout::from_size_align(rounded, ALIGN).ok()?;
    (list < OCTAVES * STEPS).then_some((list, layout))
}

/// The list for blocks of a rounded size.
fn block_list(rounded: usize) -> usize {
    let octave = rounded.ilog2();
    let step = (1usize << octave) / STEPS;
    (octave - SMALLEST.ilog2()) as usize * STEPS + (rounded - (1 << octave)) / step
}

/// The rounded size of a list's blocks.
fn block_size(list: usize) -> usize {
    let octave = SMALLEST << (list / STEPS);
    octave + octave / STEPS * (list % STEPS)
}

// SAFETY: every block comes from the inner allocator with the layout of its class, which is a
// function of the requested layout alone, and is handed out to one owner at a time.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recycling<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the inner allocator's; a kept block begins with the
        // address of the next one.
        unsafe {
            let Some((list, rounded)) = class(layout) else {
                return self.inner.alloc(layout);
            };
            let block = self.lock().pop(list);
            if block.is_null() {
                self.inner.alloc(rounded)
            } else {
                block
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; nobody uses a freed block, so its first bytes can hold the list.
        unsafe {
            let Some((list, rounded)) = class(layout) else {
                return self.inner.dealloc(block, layout);
            };
            let mut kept = self.lock();
            if kept.bytes + rounded.size() > self.limit {
                for list in 0..OCTAVES * STEPS {
                    let layout = Layout::from_size_align_unchecked(block_size(list), ALIGN);
                    loop {
                        let block = kept.pop(list);
                        if block.is_null() {
                            break;
                        }
                        self.inner.dealloc(block, layout);
                    }
                }
            }
            if rounded.size() > self.limit {
                drop(kept);
                return self.inner.dealloc(block, rounded);
            }
            block.cast::<*mut u8>().write(kept.heads[list]);
            kept.heads[list] = block;
            kept.bytes += rounded.size();
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe {
            let Some((list, rounded)) = class(layout) else {
                return self.inner.alloc_zeroed(layout);
            };
            let block = self.lock().pop(list);
            if block.is_null() {
                return self.inner.alloc_zeroed(rounded);
            }
            block.write_bytes(0, layout.size());
            block
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid new size; the old block holds the bytes copied.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (class(layout), class(wanted)) {
                (None, None) => self.inner.realloc(block, layout, size),
                (Some(old), Some(new)) if old == new => block,
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

impl Kept {
    /// Takes a block off a list; null if there is none.
    ///
    /// # Safety
    /// The list must hold free blocks, each beginning with the address of the next.
    unsafe fn pop(&mut self, list: usize) -> *mut u8 {
        let block = self.heads[list];
        if !block.is_null() {
            // SAFETY: by the caller's promise.
            self.heads[list] = unsafe { block.cast::<*mut u8>().read() };
            self.bytes -= block_size(list);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[test]
    fn sizes_round_up_by_an_eighth_at_most_and_lists_know_them() {
        for size in (SMALLEST..40 * SMALLEST)
            .step_by(4097)
            .chain([1 << 30, (1 << 30) + 1])
        {
            let (list, rounded) = class(Layout::from_size_align(size, 4).unwrap()).unwrap();
            assert!(rounded.size() >= size && rounded.size() <= size + size / STEPS);
            assert_eq!(block_size(list), rounded.size());
        }
        assert!(class(Layout::from_size_align(SMALLEST - 1, 4).unwrap()).is_none());
        assert!(class(Layout::from_size_align(SMALLEST, 4096).unwrap()).is_none());
    }

    #[test]
    fn a_freed_block_comes_back_and_zeroed_memory_is_zero() {
        let allocator = Recycling::new(System, 1 << 24);
        let layout = Layout::from_size_align(1 << 20, 4).unwrap();
        // SAFETY: layouts match, and the blocks are used within their sizes.
        unsafe {
            let first = allocator.alloc(layout);
            first.write_bytes(7, layout.size());
            allocator.dealloc(first, layout);
            let zeroed = allocator.alloc_zeroed(layout);
            assert_eq!(first, zeroed);
            let bytes = std::slice::from_raw_parts(zeroed, layout.size());
            assert!(bytes.iter().all(|byte| *byte == 0));
            let grown = allocator.realloc(zeroed, layout, 3 << 20);
            assert_ne!(grown, zeroed);
            let grown_layout = Layout::from_size_align(3 << 20, 4).unwrap();
            let shrunk = allocator.realloc(grown, grown_layout, 100);
            assert_eq!(std::slice::from_raw_parts(shrunk, 100), [0; 100]);
            allocator.dealloc(shrunk, Layout::from_size_align(100, 4).unwrap());
        }
        assert!(allocator.lock().bytes > 0);
    }

    #[test]
    fn blocks_beyond_the_limit_are_given_back() {
        let allocator = Recycling::new(System, 3 << 20);
        let layout = Layout::from_size_align(2 << 20, 4).unwrap();
        // SAFETY: layouts match.
        unsafe {
            let blocks = [(); 3].map(|()| allocator.alloc(layout));
            for block in blocks {
                allocator.dealloc(block, layout);
                assert!(allocator.lock().bytes <= 3 << 20);
            }
        }
    }
}
