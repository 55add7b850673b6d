//! What reading a bundle leaves behind in the process.

/// Gives back to the system what was freed and the allocator keeps for later. Takes milliseconds, for which whoever
/// allocates may have to wait: for after a change, and never for a pod's start or a question.
///
/// Worth it after work that took much more than it left: glibc gives back by itself only what lies at the end of a heap
/// (`malloc_trim(3)`), and what was left there keeps all before it.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes no pointer, and takes the locks of what it walks through.
        let _was_any = unsafe { libc::malloc_trim(0) };
    }
}
