//! Loops compiled for the vector unit that the processor has.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::error::Error;
use crate::error::Result;

/// Vector units that loops are compiled for.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// What every processor of its kind has.
    Plain,
    /// AVX2 with fused products: 16 registers of 8 values.
    Avx2,
    /// AVX-512 (F, VL, DQ, BW): 32 registers of 16 values.
    Avx512,
}

/// The widest unit of this processor, or a narrower one that `LACUNA_VECTORS` names (`avx2`, `plain`): the bits are the same, and
/// what a processor without the wider one takes can be seen on one that has it.
///
/// Large matrix products are crate `gemm`'s, whose unit is the processor's whatever this is. It fuses where the processor does: on
/// x86-64 without FMA (made before 2013, or emulated as such) those, and they alone, round otherwise.
///
/// # Panics
/// If it names another, which [`check`] says in time.
#[cfg(target_arch = "x86_64")]
pub fn unit() -> Unit {
    static UNIT: OnceLock<Unit> = OnceLock::new();
    *UNIT.get_or_init(|| chosen().unwrap_or_else(|error| panic!("{error}")).min(widest()))
}

/// Whether the unit that `LACUNA_VECTORS` names, if it does, is one of those.
///
/// # Errors
/// [`crate::error::Error::Config`] if `LACUNA_VECTORS` names a unit that loops are not compiled for.
pub fn check() -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    chosen()?;
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn chosen() -> Result<Unit> {
    match std::env::var("LACUNA_VECTORS").unwrap_or_default().as_str() {
        "" => Ok(Unit::Avx512),
        "avx2" => Ok(Unit::Avx2),
        "plain" => Ok(Unit::Plain),
        other => Err(Error::config("LACUNA_VECTORS", format!("{other}; known: avx2, plain"))),
    }
}

#[cfg(target_arch = "x86_64")]
fn widest() -> Unit {
    use std::arch::is_x86_feature_detected as has;
    if !(has!("avx2") && has!("fma")) {
        Unit::Plain
    } else if has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw") {
        Unit::Avx512
    } else {
        Unit::Avx2
    }
}

/// Defines a function whose body is compiled three times: for the baseline instruction set, and for AVX2 and AVX-512 where they are
/// found at run time ([`unit()`]). Only what is written as `mul_add` is fused, and that everywhere (in software on processors without
/// the instruction), so the bits are the same.
#[macro_export]
macro_rules! vectorised {
    (
        $(#[$doc:meta])*
        $visibility:vis fn $name:ident $(<$scalar:ident: $bound:path>)? ($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)?
        $body:block
    ) => {
        $(#[$doc])*
        $visibility fn $name $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? {
            #[inline(always)]
            fn plain $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::simd::Unit;
                #[target_feature(enable = "avx2,fma")]
                fn wide $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
                fn widest $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? {
                    plain($($arg),*)
                }
                match $crate::simd::unit() {
                    // SAFETY: the processor has these parts of AVX-512.
                    Unit::Avx512 => return unsafe { widest($($arg),*) },
                    // SAFETY: the processor has AVX2 and FMA.
                    Unit::Avx2 => return unsafe { wide($($arg),*) },
                    Unit::Plain => {}
                }
            }
            plain($($arg),*)
        }
    };
}
pub use vectorised;
