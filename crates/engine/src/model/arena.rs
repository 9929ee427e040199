//! Memory for weights: side by side in huge pages, which save most of the address translations of a pass over them.

use std::{
    io,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::Arc,
};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Size of a huge page on the machines that have them.
const HUGE: usize = 2 << 20;
/// Slices begin at multiples of this, a cache line.
const ALIGN: usize = 64;

/// Types for which a run of zero bytes is a value.
///
/// # Safety
/// It must hold, and the alignment must be at most [`ALIGN`].
pub(crate) unsafe trait Plain: Copy {}

/// Zeroed memory of its own.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: memory belongs to no thread; slices hand out references to disjoint parts of it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Of at least `len` bytes from the first huge page on.
    fn new(len: usize) -> io::Result<Self> {
        let len = len.checked_add(HUGE).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping overlaps nothing.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            // A huge page of which little is needed would be memory lost.
            let whole = start.align_offset(HUGE) + (len - HUGE) / HUGE * HUGE;
            let parts = [(0, whole, Advice::LinuxHugepage), (whole, len, Advice::LinuxNoHugepage)];
            for (from, to, advice) in parts {
                // SAFETY: the range lies in the mapping just made and begins with a page; the advice does not change what is
                // in it. Where it is refused, memory is slower.
                let _ = unsafe { madvise(start.as_ptr().add(from).cast(), to - from, advice) };
            }
        }
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and every slice of it holds the mapping. Failing leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Hands out memory. It is freed with the last slice.
#[derive(Debug)]
pub(crate) struct Arena {
    mapping: Arc<Mapping>,
    /// Offset from which on it is free.
    free: usize,
}

impl Arena {
    /// With room for slices of so many bytes, each rounded up to [`ALIGN`]. What is not touched takes no memory.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let mapping = Mapping::new(bytes)?;
        let free = mapping.start.align_offset(HUGE);
        Ok(Self { mapping: Arc::new(mapping), free })
    }

    /// A slice of `len` zeros; an error where there is no room for it.
    pub(crate) fn zeros<T: Plain>(&mut self, len: usize) -> io::Result<Slice<T>> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let bytes = bytes.checked_next_multiple_of(ALIGN).ok_or(io::ErrorKind::OutOfMemory)?;
        if bytes > self.mapping.len - self.free {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: the offset lies within the mapping, or at its end where no bytes are wanted.
        let start = unsafe { self.mapping.start.add(self.free) }.cast::<T>();
        self.free += bytes;
        Ok(Slice { _mapping: self.mapping.clone(), start, len })
    }
}

/// A slice of a mapping, of fixed length.
pub(crate) struct Slice<T: Plain> {
    _mapping: Arc<Mapping>,
    start: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its elements, as a box of a slice does.
unsafe impl<T: Plain + Send> Send for Slice<T> {}
// SAFETY: as above.
unsafe impl<T: Plain + Sync> Sync for Slice<T> {}

impl<T: Plain> Deref for Slice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements lie there, aligned, zero or written since, and no other slice overlaps them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Slice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> std::fmt::Debug for Slice<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slice").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: integers.
    unsafe impl Plain for u64 {}

    #[test]
    fn slices_are_disjoint_and_outlive_their_arena() {
        let lens = [0, 1, 1_000, (HUGE + 8) / 8, HUGE / 8, 3];
        let room = lens.iter().map(|len| (len * 8).next_multiple_of(ALIGN)).sum();
        let mut arena = Arena::new(room).unwrap();
        let mut slices: Vec<Slice<u64>> = lens.iter().map(|len| arena.zeros(*len).unwrap()).collect();
        assert!(arena.zeros::<u64>(HUGE / 8).is_err(), "there is room for alignment at most");
        drop(arena);
        for (s, slice) in slices.iter_mut().enumerate() {
            assert_eq!((slice.len(), slice.as_ptr().addr() % ALIGN), (lens[s], 0));
            for (i, x) in slice.iter_mut().enumerate() {
                assert_eq!(*x, 0);
                *x = (s << 32 | i) as u64;
            }
        }
        for (s, slice) in slices.iter().enumerate() {
            assert!(slice.iter().enumerate().all(|(i, x)| *x == (s << 32 | i) as u64));
        }
        assert!(Arena::new(64).unwrap().zeros::<u64>(usize::MAX / 4).is_err());
        assert!(Arena::new(usize::MAX - 8).is_err());
        assert!(Arena::new(1 << 60).is_err());
    }
}
