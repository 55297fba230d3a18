//! What the monitor says of the fan that is only computed, of gaps and of dead sensors.

use application::{Fan, IS_SIMULATED, Lamp, Monitor, RATE, Report, trial};
use flowlet::detector::State;

/// Rows of so many samples.
fn reports(monitor: &mut Monitor, samples: impl Iterator<Item = [i16; 3]>) -> Vec<Report> {
    samples.filter_map(|sample| monitor.push(Some(sample)).expect("a report")).collect()
}

#[test]
fn a_fault_is_told_while_it_lasts_and_blamed_on_an_axis_across_the_shaft() {
    const { assert!(IS_SIMULATED, "these tests are of the model that is committed") };
    let mut told = Vec::new();
    trial(|report| told.push(report.clone())).expect("the model is usable");
    let is_alarm = |report: &Report| report.state == State::Alarm;
    // 256 samples a row and 400 a second: the fault starts in row 70, the gap having cost one, and ends
    // in row 93.
    assert_eq!(told.len(), 140);
    let [sound, faulty, repaired] = [0..69, 80..93, 115..140].map(|rows| &told[rows]);
    assert!(!sound.iter().any(is_alarm), "no alarm before the fault");
    assert!(faulty.iter().all(is_alarm), "an alarm while it lasts");
    assert!(!repaired.iter().any(is_alarm), "none long after the repair");
    let blamed: Vec<_> = told.iter().filter_map(|report| report.blame).collect();
    assert_eq!(blamed.len(), 1, "an alarm is blamed once: {blamed:?}");
    assert!(["x", "y"].iter().any(|axis| blamed[0].name.contains(axis)), "{blamed:?}");
}

#[test]
fn a_gap_costs_the_window_it_falls_into_and_is_counted() {
    let mut monitor = Monitor::new().expect("a usable model");
    let mut fan = Fan::new(5);
    let rows = reports(&mut monitor, (0..10 * RATE).map(|_| fan.sample())).len();
    assert_eq!(monitor.push(None), Ok(None));
    assert_eq!(monitor.gaps(), 1);
    let more = reports(&mut monitor, (0..10 * RATE).map(|_| fan.sample())).len();
    assert_eq!(more, rows, "as many as in the first ten seconds");
}

#[test]
fn a_silent_accelerometer_is_told_from_the_machine_and_forgiven() {
    let mut monitor = Monitor::new().expect("a usable model");
    let mut fan = Fan::new(5);
    assert_eq!(monitor.lamp(), Lamp::Normal);
    for _ in 0..3 * RATE {
        assert_eq!(monitor.push(None), Ok(None));
    }
    assert!(monitor.is_silent());
    assert_eq!(monitor.lamp(), Lamp::Sensor);
    reports(&mut monitor, (0..RATE).map(|_| fan.sample()));
    assert_eq!(monitor.lamp(), Lamp::Normal);
}

#[test]
fn a_stuck_accelerometer_is_never_normal_for_long_and_never_gives_a_wrong_number() {
    for sample in [[0, 0, 1000], [0; 3], [i16::MAX; 3], [i16::MIN; 3]] {
        let mut monitor = Monitor::new().expect("a usable model");
        let told = reports(&mut monitor, (0..20 * RATE).map(|_| sample));
        for report in &told {
            assert!(report.row.iter().all(|value| value.is_finite()), "{sample:?}");
            assert!(report.evidence.is_finite());
        }
        let last = told.last().expect("rows");
        assert!(matches!(last.state, State::Alarm | State::Sensor(_)), "{sample:?}: {last:?}");
    }
}
