//! The same changes to the same bytes, whatever the machine.

/// A stream of numbers (splitmix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(target: &str, index: usize) -> Self {
        let name = target
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(name ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Numbers at which sums wrap, signs change and memory ends.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 36, u64::MAX >> 1, u64::MAX];
/// What stands for a number, a name or a structure in texts.
const WORDS: [&str; 20] = [
    "9223372036854775807",
    "18446744073709551615",
    "4294967296",
    "-1",
    "0",
    "1e308",
    "1e-320",
    "nan",
    "inf",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[[[",
    "\"../../x\"",
    "\"/dev/zero\"",
    "\\u0000",
    "\u{1b}[2J",
    "\n",
];

/// Changes one to eight places.
pub fn bytes(numbers: &mut Numbers, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..1 << numbers.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = numbers.below(bytes.len());
        let len = (1 << numbers.below(8)).min(bytes.len() - at);
        match numbers.below(8) {
            0 | 1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes[at] = *numbers.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            3 | 4 => {
                let edge = numbers.pick(&EDGES).to_le_bytes();
                let width = (1 << numbers.below(4)).min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            5 => drop(bytes.drain(at..at + len)),
            6 => {
                let copy = bytes[at..at + len].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Changes a text: a number or a word becomes another, or its bytes change.
pub fn text(numbers: &mut Numbers, text: Vec<u8>) -> Vec<u8> {
    if numbers.below(3) == 0 {
        return bytes(numbers, text);
    }
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || [b'.', b'-', b'_'].contains(byte);
    let starts: Vec<usize> =
        (0..text.len()).filter(|&at| word(&text[at]) && (at == 0 || !word(&text[at - 1]))).collect();
    let mut text = text;
    if let Some(&start) = starts.get(numbers.below(starts.len().max(1))) {
        let end = (start..text.len()).find(|&at| !word(&text[at])).unwrap_or(text.len());
        text.splice(start..end, numbers.pick(&WORDS).bytes());
    }
    text
}
