//! The system's allocator, which asks Linux for large pages (2 MiB) where an allocation has at least one. Decides nothing else; on other systems it
//! is the system's allocator as it is.
//!
//! Who reads all over a table of 4 KiB pages has the processor look up where most of them are before it can read them. Kernels give large pages by
//! themselves only where an administrator has said so; most ask programs to say it (`madvise` in `/sys/kernel/mm/transparent_hugepage/enabled`).
//!
//! All of gwsim's unsafe code is here: an allocator can't be had without.

use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator, to be a program's `#[global_allocator]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargePages;

/// Bytes of a large page on x86-64, and on ARM with 4 KiB pages. Where they have other sizes, the advice helps less and harms nothing.
const LARGE: usize = 2 << 20;
/// Advice is taken for whole small pages.
const SMALL: usize = 4 << 10;

// SAFETY: every block comes from `System` and goes back to it with the layout that it is known by. `alloc` asks for more alignment than its caller,
// which on Linux `System` need not be told when the block is freed or resized: there it is `free` and `realloc` for blocks of any alignment.
unsafe impl GlobalAlloc for LargePages {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has promised; a block that begins where a large page does is as good as any.
        unsafe { advised(System.alloc(aligned(layout)), layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // Not aligned: the system has pages of zeros already, and would have to write them for a block that it aligns.
        // SAFETY: as the caller has promised.
        unsafe { advised(System.alloc_zeroed(layout), layout.size()) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller has promised; the block is one of `System`.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller has promised; the block is one of `System`.
        unsafe { advised(System.realloc(block, layout, size), size) }
    }
}

/// The layout of a block that begins where a large page does, if it has at least one.
#[inline]
fn aligned(layout: Layout) -> Layout {
    if cfg!(target_os = "linux") && layout.size() >= LARGE { layout.align_to(LARGE).unwrap_or(layout) } else { layout }
}

/// Asks for large pages for a block, if it has at least one.
#[inline]
fn advised(block: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !block.is_null() {
        advise(block, size);
    }
    block
}

#[cfg(target_os = "linux")]
#[cold]
fn advise(block: *mut u8, size: usize) {
    let before = block.addr().next_multiple_of(SMALL) - block.addr();
    let inside = (size - before) / SMALL * SMALL;
    // SAFETY: the pages are within a block that has just been allocated. The advice changes nothing that is read there, and a kernel that doesn't
    // know it says so, which is as well.
    unsafe { libc::madvise(block.wrapping_add(before).cast(), inside, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of all kinds of sizes keep what is written to them, through growing and shrinking over the size of a large page.
    #[test]
    fn blocks_keep_what_stands_in_them() {
        let sizes = [1, SMALL, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE + 77, LARGE, 16];
        for align in [1, 16, 64, SMALL] {
            let mut layout = Layout::from_size_align(sizes[0], align).expect("a layout");
            // SAFETY: each block is written and read within the size that it has, and freed once with its last layout.
            unsafe {
                let mut block = LargePages.alloc(layout);
                block.write(1);
                for size in sizes {
                    block = LargePages.realloc(block, layout, size);
                    layout = Layout::from_size_align(size, align).expect("a layout");
                    assert!(!block.is_null() && block.addr() % align == 0);
                    assert_eq!(block.read(), 1);
                    block.add(size - 1).write(if size == 1 { 1 } else { 2 });
                }
                LargePages.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn large_blocks_begin_where_large_pages_do_and_zeroed_ones_are_zero() {
        let layout = Layout::from_size_align(2 * LARGE, 8).expect("a layout");
        // SAFETY: the blocks are read within their size, and freed once.
        unsafe {
            let (block, zeroed) = (LargePages.alloc(layout), LargePages.alloc_zeroed(layout));
            assert!(!cfg!(target_os = "linux") || block.addr() % LARGE == 0);
            assert!(std::slice::from_raw_parts(zeroed, layout.size()).iter().all(|byte| *byte == 0));
            LargePages.dealloc(block, layout);
            LargePages.dealloc(zeroed, layout);
        }
    }
}
