//! An allocator that keeps large blocks for the next training step.
//!
//! A training step allocates the same tensors as the last one. General allocators hand blocks of
//! many megabytes back to the operating system, and getting them again costs a page fault and a
//! zeroed page for every 4 KiB, which on memory-bound operations is as long as the operation
//! itself. [`Recycling`] wraps another allocator, takes whole regions from it, and cuts large
//! blocks out of them.
//!
//! Activations are freed in the backward pass in about the reverse of the order in which the
//! forward pass made them, so free neighbors join into stretches that fit anything: the many
//! small activations of the last layers make room for the few large gradients of the first.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Smaller blocks go straight to the inner allocator.
const SMALLEST: usize = 1 << 17;
/// Blocks begin at and are multiples of a page, which is also more than the widest vector needs.
const PAGE: usize = 1 << 12;
/// The smallest region to ask the inner allocator for; its pages cost nothing until they are
/// written.
const SMALLEST_REGION: usize = 1 << 26;
/// Regions double in size up to this one.
const LARGEST_REGION: usize = 1 << 30;

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
    arena: Mutex<Arena>,
}

/// The free stretches of the regions.
///
/// The lists are ordinary collections: their own nodes are small, so that they come from the
/// inner allocator and never from the arena that is being changed.
struct Arena {
    /// Address to size of each region.
    regions: BTreeMap<usize, usize>,
    /// Address to size of each free stretch; no two of one region touch.
    free: BTreeMap<usize, usize>,
    /// The same stretches, by size and then address.
    sizes: BTreeSet<(usize, usize)>,
    /// Sum of the sizes of the free stretches.
    free_bytes: usize,
    /// Sum of the sizes of the regions.
    bytes: usize,
}

impl<A> Recycling<A> {
    /// Wraps `inner` and keeps about `limit` bytes of free memory; beyond it, regions without a
    /// block in use are given back.
    pub const fn new(inner: A, limit: usize) -> Self {
        let arena = Arena {
            regions: BTreeMap::new(),
            free: BTreeMap::new(),
            sizes: BTreeSet::new(),
            free_bytes: 0,
            bytes: 0,
        };
        Self {
            inner,
            limit,
            arena: Mutex::new(arena),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arena> {
        self.arena.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of the block for a request, if it is one for the arena.
fn block_size(layout: Layout) -> Option<usize> {
    if layout.size() < SMALLEST || layout.align() > PAGE {
        return None;
    }
    layout.size().checked_next_multiple_of(PAGE)
}

fn region_layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, PAGE).ok()
}

impl<A: GlobalAlloc> Recycling<A> {
    /// A block of `size` bytes, a multiple of a page; null where there is no memory.
    fn take(&self, size: usize) -> *mut u8 {
        let mut arena = self.lock();
        let address = arena.take(size).or_else(|| {
            let wanted = arena.bytes.clamp(SMALLEST_REGION, LARGEST_REGION);
            // Where there is no room for a generous region, one for this block alone may do.
            [wanted.max(size), size].into_iter().find_map(|region| {
                // SAFETY: no request is for zero bytes.
                let memory = unsafe { self.inner.alloc(region_layout(region)?) };
                if memory.is_null() {
                    return None;
                }
                arena.add_region(memory.expose_provenance(), region);
                arena.take(size)
            })
        });
        address.map_or(null_mut(), with_exposed_provenance_mut)
    }

    /// Takes a block of `size` bytes back.
    ///
    /// # Safety
    /// The block must come from [`Self::take`] with the same size, and nobody may use it anymore.
    unsafe fn put(&self, block: *mut u8, size: usize) {
        let mut arena = self.lock();
        arena.put(block.expose_provenance(), size);
        while arena.free_bytes > self.limit {
            let Some((address, size)) = arena.remove_free_region() else {
                break;
            };
            let layout = region_layout(size).expect("it was allocated with this layout");
            // SAFETY: the region came from the inner allocator with this layout, and no block of
            // it is in use.
            unsafe {
                self.inner
                    .dealloc(with_exposed_provenance_mut(address), layout);
            }
        }
    }
}

// SAFETY: every block is part of a region of the inner allocator, as large and aligned as asked
// for, and is handed out to one owner at a time; whether a request goes to the arena is a
// function of its layout alone.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recycling<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match block_size(layout) {
            Some(size) => self.take(size),
            // SAFETY: the caller's promises are the inner allocator's.
            None => unsafe { self.inner.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promises the block came from `alloc` with this layout.
        unsafe {
            match block_size(layout) {
                Some(size) => self.put(block, size),
                None => self.inner.dealloc(block, layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(size) = block_size(layout) else {
            // SAFETY: the caller's promises are the inner allocator's.
            return unsafe { self.inner.alloc_zeroed(layout) };
        };
        let block = self.take(size);
        if !block.is_null() {
            // SAFETY: the block is that large, and ours until it is returned.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid new size; the old block holds the bytes copied.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (block_size(layout), block_size(wanted)) {
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

impl Arena {
    fn add_region(&mut self, address: usize, size: usize) {
        self.regions.insert(address, size);
        self.bytes += size;
        self.insert_free(address, size);
    }

    fn insert_free(&mut self, address: usize, size: usize) {
        self.free.insert(address, size);
        self.sizes.insert((size, address));
        self.free_bytes += size;
    }

    fn remove_free(&mut self, address: usize, size: usize) {
        self.free.remove(&address);
        self.sizes.remove(&(size, address));
        self.free_bytes -= size;
    }

    /// Cuts a block out of the smallest stretch that holds it.
    fn take(&mut self, size: usize) -> Option<usize> {
        let &(stretch, address) = self.sizes.range((size, 0)..).next()?;
        self.remove_free(address, stretch);
        if stretch > size {
            self.insert_free(address + size, stretch - size);
        }
        Some(address)
    }

    /// Frees a block and joins it with its free neighbors in the region.
    fn put(&mut self, address: usize, size: usize) {
        let (mut start, mut end) = (address, address + size);
        if let Some((&before, &size)) = self.free.range(..address).next_back()
            && before + size == address
            && !self.regions.contains_key(&address)
        {
            self.remove_free(before, size);
            start = before;
        }
        if let Some(&size) = self.free.get(&end)
            && !self.regions.contains_key(&end)
        {
            self.remove_free(end, size);
            end += size;
        }
        self.insert_free(start, end - start);
    }

    /// Forgets a region that is one free stretch.
    fn remove_free_region(&mut self) -> Option<(usize, usize)> {
        let regions = self.regions.iter().map(|(&address, &size)| (address, size));
        let (address, size) = regions
            .into_iter()
            .find(|(address, size)| self.free.get(address) == Some(size))?;
        self.remove_free(address, size);
        self.regions.remove(&address);
        self.bytes -= size;
        Some((address, size))
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    const MIB: usize = 1 << 20;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    /// Free stretches don't touch within a region, and the two lists agree.
    fn check(arena: &Arena) {
        let mut bytes = 0;
        let mut last = None;
        for (&address, &size) in &arena.free {
            assert!(arena.sizes.contains(&(size, address)));
            let (&region, &region_size) = arena.regions.range(..=address).next_back().unwrap();
            assert!(address + size <= region + region_size);
            if let Some((end, its_region)) = last {
                assert!(end < address || (end == address && its_region != region));
            }
            last = Some((address + size, region));
            bytes += size;
        }
        assert_eq!(bytes, arena.free_bytes);
        assert_eq!(arena.sizes.len(), arena.free.len());
        assert_eq!(arena.regions.values().sum::<usize>(), arena.bytes);
    }

    #[test]
    fn large_blocks_are_for_the_arena() {
        assert!(block_size(layout(SMALLEST - 1)).is_none());
        assert_eq!(block_size(layout(SMALLEST + 1)), Some(SMALLEST + PAGE));
        assert!(block_size(Layout::from_size_align(SMALLEST, 2 * PAGE).unwrap()).is_none());
    }

    #[test]
    fn a_freed_block_comes_back_and_zeroed_memory_is_zero() {
        let allocator = Recycling::new(System, 1 << 30);
        // SAFETY: layouts match, and the blocks are used within their sizes.
        unsafe {
            let first = allocator.alloc(layout(MIB));
            first.write_bytes(7, MIB);
            allocator.dealloc(first, layout(MIB));
            let zeroed = allocator.alloc_zeroed(layout(MIB));
            assert_eq!(first, zeroed);
            let bytes = std::slice::from_raw_parts(zeroed, MIB);
            assert!(bytes.iter().all(|byte| *byte == 0));
            zeroed.write_bytes(3, MIB);
            let grown = allocator.realloc(zeroed, layout(MIB), 3 * MIB);
            assert_ne!(grown, zeroed);
            let shrunk = allocator.realloc(grown, layout(3 * MIB), 100);
            assert_eq!(std::slice::from_raw_parts(shrunk, 100), [3; 100]);
            allocator.dealloc(shrunk, layout(100));
        }
        let arena = allocator.lock();
        check(&arena);
        assert_eq!(arena.free_bytes, arena.bytes);
    }

    #[test]
    fn many_small_blocks_make_room_for_a_large_one() {
        let allocator = Recycling::new(System, 1 << 30);
        // SAFETY: layouts match.
        unsafe {
            let blocks = [(); 32].map(|()| allocator.alloc(layout(2 * MIB)));
            assert_eq!(allocator.lock().free_bytes, 0);
            // In an order that joins with the neighbor before, after, both and none.
            for index in (0..32).step_by(2).chain((0..32).skip(1).step_by(2).rev()) {
                allocator.dealloc(blocks[index], layout(2 * MIB));
                check(&allocator.lock());
            }
            let large = allocator.alloc(layout(64 * MIB));
            assert_eq!(large, blocks[0]);
            assert_eq!(allocator.lock().regions.len(), 1);
            allocator.dealloc(large, layout(64 * MIB));
        }
    }

    #[test]
    fn free_regions_beyond_the_limit_are_given_back_and_used_ones_stay() {
        let allocator = Recycling::new(System, 16 * MIB);
        // SAFETY: layouts match, and the blocks are used within their sizes.
        unsafe {
            let blocks = [(); 3].map(|()| allocator.alloc(layout(60 * MIB)));
            blocks[1].write_bytes(5, 60 * MIB);
            allocator.dealloc(blocks[0], layout(60 * MIB));
            allocator.dealloc(blocks[2], layout(60 * MIB));
            check(&allocator.lock());
            assert!(allocator.lock().regions.len() <= 2);
            let kept = std::slice::from_raw_parts(blocks[1], 60 * MIB);
            assert!(kept.iter().all(|byte| *byte == 5));
            allocator.dealloc(blocks[1], layout(60 * MIB));
        }
        let arena = allocator.lock();
        assert_eq!((arena.regions.len(), arena.bytes), (0, 0));
    }

    #[test]
    fn several_threads_never_share_a_block() {
        let allocator = Recycling::new(System, 1 << 30);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let allocator = &allocator;
                scope.spawn(move || {
                    for round in 0..50 {
                        let size = SMALLEST + (usize::from(thread) * 7919 + round * 104_729) % MIB;
                        // SAFETY: the layouts match, and the block is used within its size.
                        unsafe {
                            let block = allocator.alloc(layout(size));
                            block.write_bytes(thread, size);
                            std::thread::yield_now();
                            let bytes = std::slice::from_raw_parts(block, size);
                            assert!(bytes.iter().all(|byte| *byte == thread));
                            allocator.dealloc(block, layout(size));
                        }
                    }
                });
            }
        });
        check(&allocator.lock());
    }
}
