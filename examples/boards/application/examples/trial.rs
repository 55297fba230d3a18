//! What the monitor says of the fan that is only computed: the same lines as the firmware
//! `emulator`.

fn main() -> Result<(), flowlet::Error> {
    application::trial(|report| println!("{report:?}"))
}
