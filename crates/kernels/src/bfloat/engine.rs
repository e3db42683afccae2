//! Which instructions multiply bf16 on this machine.

use std::sync::OnceLock;

/// The instructions that multiply and sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// AMX: products of whole tiles.
    #[cfg(target_arch = "x86_64")]
    Tiles,
    /// AVX512-BF16: products of vectors of pairs.
    #[cfg(target_arch = "x86_64")]
    Vectors,
    /// Plain code: slow, and for tests.
    #[cfg_attr(not(test), allow(dead_code))]
    Plain,
}

impl Engine {
    /// The fastest engine of this machine that is faster than `f32`, asked of the machine once.
    pub(crate) fn fastest() -> Option<Self> {
        static FASTEST: OnceLock<Option<Engine>> = OnceLock::new();
        *FASTEST.get_or_init(|| Self::available().first().copied())
    }

    /// The hardware engines of this machine, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut engines = Vec::new();
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512bf16")
            {
                if tiles::permitted() {
                    engines.push(Self::Tiles);
                }
                engines.push(Self::Vectors);
            }
            engines
        }
        #[cfg(not(target_arch = "x86_64"))]
        Vec::new()
    }

    /// What it is called by people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Tiles => "AMX-BF16",
            #[cfg(target_arch = "x86_64")]
            Self::Vectors => "AVX512-BF16",
            Self::Plain => "plain code",
        }
    }

    /// Whether it multiplies only twice as fast as `f32`.
    pub(crate) fn only_halves(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let halves = self == Self::Vectors;
        #[cfg(not(target_arch = "x86_64"))]
        let halves = false;
        halves
    }

    /// Whether the AVX-512 of `Tiles` and `Vectors` is there.
    pub(super) fn vectors(self) -> bool {
        self != Self::Plain
    }
}

#[cfg(target_arch = "x86_64")]
mod tiles {
    /// Whether the processor has tiles of bf16 and the system lets this process use them.
    #[cfg(target_os = "linux")]
    pub(super) fn permitted() -> bool {
        present() && asked()
    }

    /// Other systems keep the tiles' registers from thread to thread in ways of their own.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn permitted() -> bool {
        false
    }

    #[cfg(target_os = "linux")]
    fn present() -> bool {
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        const STATE: u32 = 0b11 << 17;
        let features = core::arch::x86_64::__cpuid_count(7, 0).edx;
        let state: u32;
        // SAFETY: the caller has found AVX-512, which is only reported where the system has
        // enabled XGETBV; it reads register 0 and nothing else.
        unsafe {
            core::arch::asm!(
                "xgetbv",
                in("ecx") 0,
                out("eax") state,
                out("edx") _,
                options(nomem, nostack, preserves_flags),
            );
        }
        features & AMX_BF16 != 0 && features & AMX_TILE != 0 && state & STATE == STATE
    }

    /// Asks the kernel for room to save the tiles in, which it gives to a process that asks.
    #[cfg(target_os = "linux")]
    fn asked() -> bool {
        const ARCH_PRCTL: usize = 158;
        const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
        const XFEATURE_XTILEDATA: usize = 18;
        let answer: usize;
        // SAFETY: the call takes two numbers and changes nothing but the right to use the tiles.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        answer == 0
    }
}
