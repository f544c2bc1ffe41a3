//! A call in virtual time, its keys from lines: over in milliseconds, however long the caller waits.

use super::caller::{CallerAction, Hand, InputLine};
use super::hearing;
use super::outside::Local;
use super::printer::Printer;
use crate::flow::{Context, FetchFailure, NextDocument};
use crate::simulate::{Record, Simulation};

/// Calls, does what the lines say, and tells what happens.
pub(super) fn run(
    first: Result<NextDocument, FetchFailure>,
    context: Context,
    outside: Local,
    lines: Vec<InputLine>,
    printer: &mut Printer,
) {
    let mut simulation = Simulation::start(first, context, outside);
    let (mut hand, mut lines, mut told) = (Hand::new(), lines.into_iter(), 0);
    loop {
        let pending = pressed_last(simulation.records());
        told = tell(&simulation, told, printer);
        if simulation.call().is_over() {
            return;
        }
        let now = simulation.now();
        match hand.act(now, hearing(simulation.call(), pending)) {
            CallerAction::Press(key) => simulation.press(key),
            CallerAction::HangUp => {
                simulation.hang_up();
                simulation.run_to_end();
                tell(&simulation, told, printer);
                return;
            }
            CallerAction::Until(then) => simulation.advance_to(then),
            CallerAction::Listen => {
                // A call in which nothing will ever happen again is left.
                if !simulation.step() {
                    simulation.hang_up();
                }
            }
            CallerAction::ReadOn => hand.take(now, lines.next()),
        }
    }
}

/// Whether nothing was said since the last key: it may not have been the last one.
fn pressed_last(records: &[(crate::time::CallTime, Record)]) -> bool {
    let last = records.iter().rev().find(|(_, record)| matches!(record, Record::Pressed(_) | Record::Said(..)));
    matches!(last, Some((_, Record::Pressed(_))))
}

/// Tells what was not told yet; how much has been told then.
fn tell(simulation: &Simulation<Local>, told: usize, printer: &mut Printer) -> usize {
    let records = simulation.records();
    for (at, record) in records.iter().skip(told) {
        printer.tell(*at, record);
    }
    if records.len() > told {
        printer.flush();
    }
    if simulation.call().is_over() {
        printer.tell_keys();
    }
    records.len()
}
