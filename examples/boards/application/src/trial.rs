//! A minute and a half of the fan that is only computed: the same on a host and on every core.

use flowlet::Error;

use crate::{Fan, Monitor, RATE, Report};

/// Second at which samples go missing.
const GAP: u32 = 20;

/// Second from which the fan is at fault.
const FAULT: u32 = 45;

/// Second from which it is not any more.
const REPAIR: u32 = 60;

/// The last second.
const END: u32 = 90;

/// Shows the fan to a monitor and tells each report.
///
/// # Errors
///
/// Those of the monitor.
pub fn trial(mut tell: impl FnMut(&Report)) -> Result<(), Error> {
    let mut monitor = Monitor::new()?;
    // Another hour than that of training.
    let mut fan = Fan::new(2);
    for number in 0..END * RATE {
        if number == GAP * RATE {
            monitor.push(None)?;
        }
        fan.is_faulty = (FAULT * RATE..REPAIR * RATE).contains(&number);
        if let Some(report) = monitor.push(Some(fan.sample()))? {
            tell(&report);
        }
    }
    Ok(())
}
