//! How much stack a call takes: what lies unused below the stack pointer is painted before the call, and
//! what has lost its paint is counted after it.
#![no_std]

use cortex_m::register::msp;

/// Words that are painted: more than any call needs.
const PAINTED: usize = 8192;
/// What unused stack holds.
const PAINT: u32 = 0xC0DE_57AC;

/// Bytes of stack that `call` uses, its own frame included.
#[inline(never)]
pub fn peak(call: impl FnOnce()) -> usize {
    let top = msp::read() as *mut u32;
    let bottom = top.wrapping_sub(PAINTED);
    for depth in 0..PAINTED {
        // SAFETY: these words lie between the stack pointer and the end of RAM's megabytes of
        // unused stack; nothing lives there.
        unsafe { bottom.wrapping_add(depth).write_volatile(PAINT) };
    }
    call();
    let unused = (0..PAINTED).take_while(|depth| {
        // SAFETY: as above.
        unsafe { bottom.wrapping_add(*depth).read_volatile() == PAINT }
    });
    (PAINTED - unused.count()) * 4
}
