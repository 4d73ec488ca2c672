//! Parts of values.

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Several parts, one behind another.
pub(crate) fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) const LO: u32 = 1;
pub(crate) const GROUP4: [u8; 4] = [239, 1, 2, 3];
pub(crate) const GROUP6: [u8; 16] = [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
pub(crate) const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// `struct sockaddr_storage` of an address.
pub(crate) fn storage4(address: [u8; 4]) -> Vec<u8> {
    let mut value = 2_u16.to_ne_bytes().to_vec();
    value.extend([0, 0]);
    value.extend(address);
    value.resize(128, 0);
    value
}

pub(crate) fn storage6(address: [u8; 16]) -> Vec<u8> {
    let mut value = 10_u16.to_ne_bytes().to_vec();
    value.resize(8, 0);
    value.extend(address);
    value.resize(128, 0);
    value
}
