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
/// Least size of a mapping. What is not touched takes no memory.
const CHUNK: usize = 64 << 20;
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
    fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping overlaps nothing.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        #[cfg(target_os = "linux")]
        {
            use rustix::mm::{Advice, madvise};
            // SAFETY: the range is the mapping just made; the advice does not change what is in it. Where it is
            // refused, memory is slower.
            let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxHugepage) };
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

/// Hands out memory. It is freed with the last slice of each mapping.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// The newest mapping, and the offset from which on it is free.
    current: Option<(Arc<Mapping>, usize)>,
}

impl Arena {
    /// A slice of `len` zeros.
    pub(crate) fn zeros<T: Plain>(&mut self, len: usize) -> io::Result<Slice<T>> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let bytes = bytes.checked_next_multiple_of(ALIGN).ok_or(io::ErrorKind::OutOfMemory)?;
        let (mapping, first) = match self.current.take() {
            Some((mapping, first)) if mapping.len - first >= bytes => (mapping, first),
            _ => {
                let len = bytes.checked_add(HUGE).ok_or(io::ErrorKind::OutOfMemory)?.max(CHUNK);
                let mapping = Mapping::new(len)?;
                let first = mapping.start.align_offset(HUGE);
                (Arc::new(mapping), first)
            }
        };
        // SAFETY: the offset lies within the mapping, or at its end where no bytes are wanted.
        let start = unsafe { mapping.start.add(first) }.cast::<T>();
        self.current = Some((mapping.clone(), first + bytes));
        Ok(Slice { _mapping: mapping, start, len })
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
        let mut arena = Arena::default();
        let lens = [0, 1, 1_000, (HUGE + 8) / 8, CHUNK / 8, 3];
        let mut slices: Vec<Slice<u64>> = lens.iter().map(|len| arena.zeros(*len).unwrap()).collect();
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
        assert!(Arena::default().zeros::<u64>(usize::MAX / 4).is_err());
        assert!(Arena::default().zeros::<u64>(1 << 56).is_err());
    }
}
