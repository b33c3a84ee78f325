//! An allocator that wipes what it frees, and no core dump.
//!
//! `zeroize` wipes what it is told of. Libraries keep copies that nobody tells it of: HTTP and TLS buffers, parsed JSON,
//! grown vectors. So every freed block is wiped here. glibc writes its own links into the first 16 bytes afterwards.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    io,
    sync::atomic::{Ordering, compiler_fence},
};

/// The system's allocator, with every block wiped before it is freed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wiping;

// SAFETY: every call is passed to `System` unchanged, so its guarantees hold. Before `dealloc`, the block is still owned by
// the caller and is `layout.size()` bytes long, so writing zeros to it is within bounds and unobserved. `realloc` is the
// trait's own meaning (allocate, copy the smaller size, free), built from the two functions above.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` with this layout and is not used again by the caller.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `size` is not zero and, rounded up to the alignment, does not overflow.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: both blocks are at least as long as what is copied, and a fresh block does not overlap a live one.
        unsafe {
            let new = self.alloc(larger);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// # Safety
/// `block` is valid for writing `length` bytes.
unsafe fn wipe(block: *mut u8, length: usize) {
    // SAFETY: by this function's own contract. `write_bytes` alone could be removed as a dead store before the free; the
    // volatile read of a byte of it, behind the fence, keeps it.
    unsafe {
        std::ptr::write_bytes(block, 0, length);
        compiler_fence(Ordering::SeqCst);
        if length > 0 {
            std::ptr::read_volatile(block);
        }
    }
}

/// No core dump of this process, and no `ptrace` by others of the same user.
pub fn harden() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_block_is_wiped() {
        // A block large enough that glibc gives it pages of its own would be unmapped; this one stays in the heap.
        let layout = Layout::from_size_align(256, 16).unwrap();
        // SAFETY: the block is written and read within its size. It is read after it was freed only through `System`'s
        // memory, which for a small block stays mapped; the test observes the wiping and nothing relies on the value.
        let (before, after) = unsafe {
            let block = Wiping.alloc(layout);
            std::ptr::write_bytes(block, 0xA5, 256);
            let before = std::ptr::read_volatile(block.add(128));
            wipe(block, 256);
            let after = std::ptr::read_volatile(block.add(128));
            System.dealloc(block, layout);
            (before, after)
        };
        assert_eq!((before, after), (0xA5, 0), "the control: the byte was there before it was wiped");
    }

    #[test]
    fn growing_keeps_the_content() {
        let layout = Layout::from_size_align(16, 8).unwrap();
        // SAFETY: within the sizes asked for.
        unsafe {
            let block = Wiping.alloc(layout);
            std::ptr::write_bytes(block, 7, 16);
            let grown = Wiping.realloc(block, layout, 64);
            assert_eq!(*grown.add(15), 7);
            Wiping.dealloc(grown, Layout::from_size_align(64, 8).unwrap());
        }
    }
}
