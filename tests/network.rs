//! What is asked of NetworkManager: one of the tests' own, on a bus of the tests' own.

#![cfg(feature = "keyring")]

mod support;

use dbus::Message;
use dbus::arg::Variant;
use dbus::channel::Channel;
use mailsync::watch::network::{Said, manager_says};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use support::Keyring;

const SERVICE: &str = "org.freedesktop.NetworkManager";

/// Answers for NetworkManager, until dropped.
struct Manager {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    /// Says this of each property; to what gives nothing it does not answer at all.
    fn start(bus: &Keyring, say: fn(&str, Message) -> Option<Message>) -> Manager {
        let mut channel = Channel::open_private(&bus.address()).expect("a bus");
        channel.register().expect("a name");
        let daemon = "org.freedesktop.DBus";
        let name = Message::call_with_args(daemon, "/", daemon, "RequestName", (SERVICE, 0_u32));
        let owned = channel.send_with_reply_and_block(name, Duration::from_secs(20)).expect("an answer");
        assert_eq!(owned.get1::<u32>(), Some(1), "it is not the owner");
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let serve = move || {
            while !end.load(Ordering::SeqCst) {
                let Ok(Some(asked)) = channel.blocking_pop_message(Duration::from_millis(20)) else {
                    continue;
                };
                let (Some(interface), Some(property)) = asked.get2::<&str, &str>() else {
                    continue;
                };
                assert_eq!(interface, SERVICE);
                let property = property.to_owned();
                if let Some(answer) = say(&property, asked.method_return()) {
                    channel.send(answer).expect("sent");
                    channel.flush();
                }
            }
        };
        Manager { ended, thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic of its thread is told by what the test then misses.
            let _ = thread.join();
        }
    }
}

fn number(value: u32, answer: Message) -> Option<Message> {
    Some(answer.append1(Variant(value)))
}

/// Who asks while somebody asks learns nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Expects this to be understood of what it says.
#[track_caller]
fn says(expected: Said, say: fn(&str, Message) -> Option<Message>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bus = Keyring::without_service();
    assert_eq!(manager_says(Some(&bus.address())), Said::default(), "nobody is there who could know");
    let _manager = Manager::start(&bus, say);
    assert_eq!(manager_says(Some(&bus.address())), expected);
}

#[test]
fn a_network_that_costs_money_is_known_and_so_is_a_guess() {
    let metered = |metered| Said { portal: false, metered };
    says(metered(Some(true)), |property, answer| number(if property == "Metered" { 1 } else { 4 }, answer));
    says(metered(Some(true)), |property, answer| number(if property == "Metered" { 3 } else { 4 }, answer));
    says(metered(Some(false)), |property, answer| number(if property == "Metered" { 2 } else { 4 }, answer));
    says(metered(Some(false)), |_, answer| number(4, answer));
    says(metered(None), |property, answer| number(if property == "Metered" { 0 } else { 4 }, answer));
}

#[test]
fn a_page_to_log_in_at_is_noticed_and_nothing_else_is_believed_of_the_way_out() {
    let said = |portal, metered| Said { portal, metered: Some(metered) };
    says(said(true, false), |property, answer| number(if property == "Connectivity" { 2 } else { 4 }, answer));
    // It knows of no network that it does not manage, and a firewall may hide the page that it looks for.
    says(said(false, true), |_, answer| number(1, answer));
    says(said(false, true), |_, answer| number(3, answer));
}

#[test]
fn answers_of_another_kind_say_nothing() {
    says(Said::default(), |_, answer| Some(answer.append1(Variant("yes"))));
    says(Said::default(), |_, answer| Some(answer.append1(1_u32)));
    says(Said::default(), |_, answer| Some(answer));
    says(Said::default(), |_, answer| number(99, answer));
}

#[test]
fn one_that_never_answers_holds_nobody_up() {
    says(Said::default(), |_, _| None);
}
