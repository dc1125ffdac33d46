//! The law of reviews, tried on reviews that real API servers sent and on thousands of mutations of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

mod law;

use serde_json::{Value, json};

const SEEDS: [&str; 5] = [
    include_str!("../../../../tests/golden/webhook/create-v1.json"),
    include_str!("../../../../tests/golden/webhook/create-dry-run-v1.json"),
    include_str!("../../../../tests/golden/webhook/create-kubernetes-1.20.json"),
    include_str!("../../../../tests/golden/webhook/update-v1.json"),
    include_str!("../../../../tests/golden/webhook/update-kubernetes-1.20.json"),
];

/// A generator of numbers that are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % limit.max(1)
    }
}

#[test]
fn real_reviews_obey_the_law() {
    for seed in SEEDS {
        law::holds(seed.as_bytes());
    }
}

/// Members replaced, dropped and emptied: what is still a review must be handled, whatever it holds.
#[test]
fn mutated_trees_obey_the_law() {
    let mut numbers = Numbers(0x9E37_79B9);
    for seed in SEEDS {
        let whole: Value = serde_json::from_str(seed).unwrap();
        for _ in 0..600 {
            let mut mutant = whole.clone();
            for _ in 0..=numbers.below(3) {
                mutate(&mut mutant, &mut numbers, 0);
            }
            law::holds(mutant.to_string().as_bytes());
        }
    }
}

/// Bytes changed and cut.
#[test]
fn mutated_bytes_obey_the_law() {
    let mut numbers = Numbers(0x1234_5678);
    for seed in SEEDS {
        for _ in 0..300 {
            let mut bytes = seed.as_bytes().to_vec();
            let at = numbers.below(bytes.len());
            match numbers.below(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = b"\"{}[],:0n\\\xff"[numbers.below(11)],
                _ => drop(bytes.remove(at)),
            }
            law::holds(&bytes);
        }
    }
}

/// Walks down at random and changes what it meets. Below `spec` is where the webhook reads.
fn mutate(value: &mut Value, numbers: &mut Numbers, depth: usize) {
    let children = match value {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if children == 0 || (depth > 3 && numbers.below(4) == 0) {
        *value = replacement(numbers);
        return;
    }
    let chosen = numbers.below(children);
    match value {
        Value::Object(fields) => {
            let preferred = ["request", "object", "spec"]
                .iter()
                .find(|key| fields.contains_key(**key));
            let key = match preferred {
                Some(key) if numbers.below(8) > 0 => (*key).to_owned(),
                _ => fields.keys().nth(chosen).unwrap().clone(),
            };
            if depth > 2 && numbers.below(6) == 0 {
                fields.remove(&key);
            } else {
                mutate(&mut fields[&key], numbers, depth + 1);
            }
        }
        Value::Array(items) => match numbers.below(6) {
            0 => drop(items.remove(chosen)),
            1 => items.push(items[chosen].clone()),
            _ => mutate(&mut items[chosen], numbers, depth + 1),
        },
        _ => {}
    }
}

fn replacement(numbers: &mut Numbers) -> Value {
    let choices = [
        json!(null),
        json!([]),
        json!({}),
        json!(""),
        json!("aws-iam-token"),
        json!("/var/run/secrets/eks.amazonaws.com/serviceaccount"),
        json!("AWS_ROLE_ARN"),
        json!(-1),
        json!([null]),
        json!({"name": "AWS_REGION"}),
        json!("\u{0}\u{1b}\u{202e}"),
    ];
    choices[numbers.below(choices.len())].clone()
}
