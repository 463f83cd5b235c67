//! A key's fingerprint as words that two people compare, by telephone at best.

use simopen_protocol::control::KeyFingerprint;

/// How many words are shown. Each stands for 8 bits: whoever wants another key with the same words
/// has to try 2^96 keys.
const SHOWN: usize = 12;

/// The first bytes of a key's fingerprint as words.
///
/// ```
/// use simopen_peer::key_words::key_words;
/// use simopen_protocol::control::PublicKey;
///
/// let words = key_words(PublicKey(vec![1, 2, 3]).fingerprint());
/// assert_eq!(words.split(' ').count(), 12);
/// assert!(words.starts_with("amber lantern"));
/// ```
#[must_use]
pub fn key_words(fingerprint: KeyFingerprint) -> String {
    let words: Vec<&str> =
        fingerprint.0.iter().take(SHOWN).map(|byte| WORDS[usize::from(*byte)]).collect();
    words.join(" ")
}

/// One for each byte, in alphabetical order.
#[rustfmt::skip]
const WORDS: [&str; 256] = [
    "acorn", "alarm", "album", "amber", "angle", "ankle", "apple", "april",
    "apron", "arrow", "atlas", "attic", "audio", "autumn", "bacon", "badge",
    "balcony", "bamboo", "banana", "banjo", "barrel", "basket", "beacon", "beaver",
    "beetle", "bell", "bicycle", "birch", "bishop", "blanket", "blossom", "boat",
    "bottle", "bridge", "broom", "bubble", "bucket", "buffalo", "butter", "button",
    "cabin", "cactus", "camel", "camera", "candle", "canoe", "canyon", "carpet",
    "carrot", "castle", "cedar", "cello", "chalk", "cherry", "chimney", "circus",
    "clover", "cobalt", "coconut", "coffee", "comet", "compass", "copper", "coral",
    "cotton", "cradle", "crayon", "cricket", "crystal", "cushion", "daisy", "dancer",
    "desert", "diamond", "dolphin", "donkey", "dragon", "drummer", "eagle", "easel",
    "echo", "eclipse", "elbow", "elephant", "ember", "engine", "envelope", "fabric",
    "falcon", "feather", "fence", "ferry", "fiddle", "finger", "flagpole", "flame",
    "flute", "forest", "fossil", "fountain", "freezer", "galaxy", "garden", "garlic",
    "gazelle", "ginger", "giraffe", "glacier", "globe", "goblet", "granite", "grape",
    "guitar", "hammer", "harbor", "harvest", "hazel", "hedgehog", "helmet", "heron",
    "hockey", "honey", "hornet", "husky", "iceberg", "igloo", "indigo", "insect",
    "island", "ivory", "jacket", "jaguar", "jelly", "jigsaw", "jungle", "juniper",
    "kayak", "kernel", "kettle", "kitchen", "kiwi", "knight", "ladder", "lagoon",
    "lantern", "lemon", "leopard", "lettuce", "lilac", "lizard", "lobster", "locket",
    "lotus", "lumber", "magnet", "mango", "maple", "marble", "market", "meadow",
    "melon", "mercury", "mirror", "mitten", "monkey", "mosaic", "muffin", "museum",
    "mustard", "napkin", "needle", "nephew", "nickel", "nutmeg", "oasis", "ocean",
    "october", "olive", "onion", "orange", "orbit", "orchid", "ostrich", "otter",
    "oyster", "paddle", "panda", "paper", "parrot", "peanut", "pebble", "pelican",
    "pencil", "pepper", "piano", "pigeon", "pillow", "planet", "plum", "pocket",
    "pony", "poppy", "potato", "prism", "pumpkin", "puzzle", "quartz", "queen",
    "quilt", "rabbit", "radar", "radish", "raven", "ribbon", "river", "robin",
    "rocket", "rose", "ruby", "saddle", "salmon", "sandal", "sapphire", "saturn",
    "scarf", "shovel", "silver", "spider", "spoon", "squirrel", "summit", "sunset",
    "swan", "teapot", "temple", "thunder", "tiger", "tomato", "trumpet", "tulip",
    "turtle", "umbrella", "unicorn", "valley", "velvet", "violin", "volcano", "waffle",
    "walnut", "whistle", "window", "winter", "yellow", "yogurt", "zebra", "zipper",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_a_word_of_its_own() {
        assert!(WORDS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn another_byte_is_another_word() {
        let mut bytes = [0; 32];
        let words = key_words(KeyFingerprint(bytes));
        bytes[11] = 1;
        assert_ne!(key_words(KeyFingerprint(bytes)), words);
    }
}
