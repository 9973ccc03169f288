//! How the C library's heap is used.

/// Shares the heap among all threads and gives large pieces back at once. A heap for each thread, which is what the GNU
/// library makes, saves next to no time here, and holds memory for as many threads as ever were at work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() {
    /// Pieces of this size and above are mapped by themselves.
    const LARGE: libc::c_int = 128 << 10;
    const HEAPS: libc::c_int = 2;
    // SAFETY: it sets a parameter of the allocator and touches no memory; an unknown one is refused, which is no harm.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Other libraries' heaps are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}

/// Gives back what is not in use: a process that waits for hours needs little.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim() {
    // SAFETY: it moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim() {}
