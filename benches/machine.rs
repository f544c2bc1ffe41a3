//! How fast the machine is: one card payment key by key, and calls by chance with everything they are checked for.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark is no library, and stops when it cannot go on")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use touchtone::flow::{Ended, FetchFailure, NextDocument};
use touchtone::form::Value;
use touchtone::simulate::random::{self, Flows};

#[path = "support/payment.rs"]
mod payment;

use payment::{document, payment};

struct OneFlow(NextDocument);

impl Flows for OneFlow {
    fn flow(&self, _: &str, _: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        Ok(self.0.clone())
    }
}

fn machine(criterion: &mut Criterion) {
    let document = document();
    assert_eq!(payment(&document), Some(Ended::EndOfDocument));
    criterion.bench_function("a card payment", |bench| bench.iter(|| payment(black_box(&document))));
    let flows = OneFlow(document);
    let mut group = criterion.benchmark_group("calls by chance");
    group.throughput(Throughput::Elements(100));
    group.bench_function("a hundred, checked, with their twins", |bench| {
        let mut seed = 0_u64;
        bench.iter(|| {
            for _ in 0..100 {
                seed += 1;
                let (plan, played) = random::call(&flows, "bench", &[], seed);
                assert_eq!(random::violation(&played), None);
                if let Some(twin) = plan.twin(seed) {
                    assert_eq!(random::difference(&played, &twin.play(&flows)), None);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, machine);
criterion_main!(benches);
