//! Loops compiled for the vector unit that the processor has.

/// Defines a function whose body is compiled three times: for the baseline instruction set, and for AVX2 and AVX-512 where they are
/// found at run time. Only what is written as `mul_add` is fused, and that everywhere (in software on processors without the
/// instruction), so the bits are the same.
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
                #[target_feature(enable = "avx2,fma")]
                fn wide $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
                fn widest $(<$scalar: $bound>)? ($($arg: $kind),*) $(-> $out)? {
                    plain($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has these parts of AVX-512, as just tested.
                    return unsafe { widest($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has AVX2 and FMA, as just tested.
                    return unsafe { wide($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use vectorised;
