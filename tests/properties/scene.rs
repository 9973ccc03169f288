//! What happens during a run: other writers, failures, the end of the program. Watches what the run itself does.

use super::acts::*;
use super::model::Model;
use super::support::world::name_of;
use mailsync::state::State;
use mailsync::store::memory::{Action, Fault, Step, When};
use mailsync::store::{Stop, StoreError};
use mailsync::sync::Policy;
use std::sync::Arc;

/// The run that goes on, as the stores see it.
pub struct Scene {
    pub model: Model,
    pub policy: Policy,
    /// Whether it may change anything.
    pub dry: bool,
    pub during: Vec<(usize, During)>,
    /// Steps so far, before and after each thing that was done.
    taken: usize,
    lasting: Vec<(Side, Action, Reach, Kind)>,
    /// What the run is about to take away.
    doomed: Option<String>,
    /// The state as it was when the program was killed.
    pub left: Option<Vec<u8>>,
    /// What a run changed on a side.
    pub changes: Sides<usize>,
    /// Whether anything of what was to happen did happen.
    pub disturbed: bool,
    killed: bool,
    pub state: Arc<State>,
    pub stop: Stop,
}

impl Scene {
    pub fn new(model: Model, policy: Policy, state: Arc<State>) -> Scene {
        Scene {
            model,
            policy,
            dry: false,
            during: Vec::new(),
            taken: 0,
            lasting: Vec::new(),
            doomed: None,
            left: None,
            changes: Sides::default(),
            disturbed: false,
            killed: false,
            state,
            stop: Stop::new(),
        }
    }

    /// Makes ready for a run.
    pub fn begin(&mut self, dry: bool, during: Vec<(usize, During)>, state: Arc<State>, stop: Stop) {
        (self.dry, self.during, self.state, self.stop) = (dry, during, state, stop);
        (self.taken, self.killed, self.disturbed, self.left) = (0, false, false, None);
        self.lasting.clear();
        self.changes = Sides::default();
        self.model.runs += usize::from(!dry);
    }

    /// What is to become of a step of a side.
    pub fn step(&mut self, on: Side, step: &Step) -> Fault {
        if self.killed {
            return Fault::Crash;
        }
        match step.when {
            When::Before => self.may(on, step.action),
            When::After => {
                if let Some(name) = self.doomed.take() {
                    self.model.taken(&name, on);
                }
            }
        }
        let fault = self.disturb(on, step);
        if matches!((&fault, step.when), (Fault::None, When::Before)) {
            self.doomed = self.target(on, step);
        }
        fault
    }

    /// Fails where the policy does not let the run do this.
    fn may(&mut self, on: Side, action: Action) {
        let Policy { copy, flags, delete, create, .. } = self.policy;
        let allowed = match action {
            Action::Mark | Action::List | Action::Open | Action::Changes | Action::Identify => return,
            Action::Fetch | Action::Reserve => return,
            Action::Create => create[on],
            Action::Append => copy[on],
            Action::SetFlags => flags[on],
            Action::Remove => delete[on],
            Action::Move => copy[on] && delete[on],
            Action::Rename | Action::Delete => false,
        };
        assert!(allowed && !self.dry, "{action:?} on {on}, which the policy forbids");
        self.changes[on] += 1;
    }

    /// The message that the step is about to take away.
    fn target(&self, on: Side, step: &Step) -> Option<String> {
        let (Action::Remove | Action::Move, Some(at), Some(key)) = (step.action, &step.folder, &step.key) else {
            return None;
        };
        Some(name_of(&self.model.worlds[on].content_of(at, key)?))
    }

    fn disturb(&mut self, on: Side, step: &Step) -> Fault {
        let now = self.taken;
        self.taken += 1;
        let due: Vec<During> = self.during.iter().filter(|(at, _)| *at == now).map(|(_, what)| what.clone()).collect();
        let mut fault = Fault::None;
        for what in due {
            self.disturbed = true;
            match what {
                Meanwhile(act) => self.model.act(&act),
                Fail { reach, kind } => fault = failure(step, reach, kind),
                FailOn { reach, kind } => self.lasting.push((on, step.action, reach, kind)),
                Killed => {
                    self.killed = true;
                    self.left = Some(self.state.image().expect("the state's image"));
                    self.stop.set();
                    return Fault::Crash;
                }
            }
        }
        let lasting = self.lasting.iter().find(|(side, action, ..)| *side == on && *action == step.action);
        match lasting {
            Some((_, _, reach, kind)) => failure(step, *reach, *kind),
            None => fault,
        }
    }
}

/// A failure as the contract allows it: what is refused of a single message, or for want of room, has no effect, and only
/// what concerns messages one by one is refused of a single one.
fn failure(step: &Step, reach: Reach, kind: Kind) -> Fault {
    use Action::{Append, Fetch, Move, Remove, SetFlags};
    let reach = match (reach, step.action, step.when) {
        (Reach::Folder, Append, When::After) if kind == Kind::Later => return Fault::None,
        (Reach::Message, Append | Move, When::After) => return Fault::None,
        (Reach::Message, Append | Fetch | Move | Remove | SetFlags, _) => Reach::Message,
        (Reach::Message, ..) => Reach::Folder,
        (further, ..) => further,
    };
    Fault::Fail(StoreError::new(reach, kind, step.action.name(), "a fault of the test"))
}
