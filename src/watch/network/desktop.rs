//! NetworkManager, on the system's bus: the one place that names the crate `dbus`.

use super::Said;
use dbus::Message;
use dbus::arg::Variant;
use dbus::channel::{BusType, Channel};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const SERVICE: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";

/// How long one answer may take, and all of them together with the greeting of the bus.
const ANSWER: Duration = Duration::from_millis(500);
const ALL: Duration = Duration::from_secs(2);

/// `NM_METERED_YES` and `NM_METERED_GUESS_YES`; then those that say no.
const METERED: [u32; 2] = [1, 3];
const UNMETERED: [u32; 2] = [2, 4];

/// `NM_CONNECTIVITY_PORTAL`. What it says of other states is not believed over a route that is there: where it does not
/// manage the network, it knows of none.
const PORTAL: u32 = 2;

/// A question that nobody answered is still waited for.
static ASKING: AtomicBool = AtomicBool::new(false);

/// What it says by this bus, or the system's; nothing where there is none.
pub(super) fn ask(bus: Option<&str>) -> Said {
    // The bus has waits that nothing ends: what hangs in one is left to itself, and nothing hangs beside it.
    if ASKING.swap(true, Ordering::SeqCst) {
        return Said::default();
    }
    let bus = bus.map(str::to_owned);
    let (sender, receiver) = channel();
    let spawned = thread::Builder::new().name("network".into()).spawn(move || {
        let said = said(bus.as_deref()).unwrap_or_default();
        ASKING.store(false, Ordering::SeqCst);
        // Nobody is there to take it once the time was over.
        let _ = sender.send(said);
    });
    if spawned.is_err() {
        ASKING.store(false, Ordering::SeqCst);
    }
    receiver.recv_timeout(ALL).unwrap_or_default()
}

/// Fails where there is no bus, or no NetworkManager on it, which is as good as one that knows nothing.
fn said(bus: Option<&str>) -> Result<Said, dbus::Error> {
    let channel = match bus {
        Some(address) => {
            let mut channel = Channel::open_private(address)?;
            channel.register()?;
            channel
        }
        None => Channel::get_private(BusType::System)?,
    };
    let metered = match property(&channel, "Metered")? {
        Some(value) if METERED.contains(&value) => Some(true),
        Some(value) if UNMETERED.contains(&value) => Some(false),
        _ => None,
    };
    Ok(Said { portal: property(&channel, "Connectivity")? == Some(PORTAL), metered })
}

/// A number among its properties; `None` where it has another type.
fn property(channel: &Channel, name: &str) -> Result<Option<u32>, dbus::Error> {
    let properties = "org.freedesktop.DBus.Properties";
    let mut question = Message::call_with_args(SERVICE, PATH, properties, "Get", (SERVICE, name));
    // A NetworkManager that does not run has no network to tell of.
    question.set_auto_start(false);
    let answer = channel.send_with_reply_and_block(question, ANSWER)?;
    Ok(answer.get1::<Variant<u32>>().map(|value| value.0))
}
