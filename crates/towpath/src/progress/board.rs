//! What people see of a deployment while it goes on.

use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};

use delivery::{
    model::{ResourceInstance, Workload},
    plan::{Action, Plan},
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kernel::{Event, Kind as _, Outcome};

use crate::{
    context::Context,
    render::{events, quantity},
};

/// Between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(100);

/// One line for each resource and workload that changes.
pub(super) struct Board {
    begun: Instant,
    /// What instances are called in the plan: `postgres.default#notes.db`.
    nodes: BTreeMap<String, String>,
    form: Form,
    waiting: Vec<String>,
}

enum Form {
    /// Programs read: nothing.
    Silent,
    /// A line for each event.
    Lines,
    /// A spinner for each resource and workload.
    Live {
        all: MultiProgress,
        bars: BTreeMap<String, ProgressBar>,
    },
}

impl Board {
    pub(super) fn new(context: &Context, plan: &Plan) -> Self {
        let nodes: BTreeMap<String, String> = plan
            .resources
            .iter()
            .map(|(name, step)| (name.clone(), step.node.clone()))
            .collect();
        let form = if !context.is_text() {
            Form::Silent
        } else if context.terminal.live {
            live(plan)
        } else {
            Form::Lines
        };
        Self {
            begun: Instant::now(),
            nodes,
            form,
            waiting: Vec::new(),
        }
    }

    /// Shows what an event says.
    pub(super) fn event(&mut self, event: &Event) {
        if events::is_bookkeeping(event) {
            return;
        }
        let Some(key) = event.subject_key() else {
            return;
        };
        let subject = if key.kind == ResourceInstance::KIND {
            let node = self.nodes.get(&key.name).unwrap_or(&key.name);
            format!("resource {node}")
        } else if key.kind == Workload::KIND {
            format!("workload {}", key.name)
        } else {
            format!("{} {}", key.kind.to_lowercase(), key.name)
        };
        let what = events::short(&event.kind);
        let what = what.split_once('.').map_or(what, |(_, what)| what);
        let words = events::words(event);
        let words = crate::render::status::one_line(&words);
        match &mut self.form {
            Form::Silent => {}
            Form::Lines => {
                let at = quantity::took(self.begun.elapsed());
                let gap = if words.is_empty() { "" } else { ": " };
                // Where standard error is closed, nobody can be told.
                let _ = writeln!(std::io::stderr(), "[{at:>6}] {subject} {what}{gap}{words}");
            }
            Form::Live { bars, .. } => {
                let Some(bar) = bars.get(&subject) else {
                    return;
                };
                bar.set_message(format!("{subject}  {what}  {words}"));
                if what == "ready" && event.outcome == Some(Outcome::Pass) {
                    bar.set_style(style("✓"));
                    bar.abandon();
                }
            }
        }
    }

    /// Shows what the deployment waits for now.
    pub(super) fn waiting(&mut self, waiting: &[String]) {
        if self.waiting == waiting {
            return;
        }
        self.waiting = waiting.to_vec();
        if let Form::Live { bars, .. } = &self.form
            && let Some(bar) = bars.get("")
        {
            bar.set_message(if waiting.is_empty() {
                String::new()
            } else {
                format!("waiting for {}", waiting.join(", "))
            });
        }
    }

    /// Leaves the lines as they are.
    pub(super) fn finish(&mut self) {
        if let Form::Live { all, bars } = &mut self.form {
            if let Some(bar) = bars.remove("") {
                bar.finish_and_clear();
                all.remove(&bar);
            }
            for bar in bars.values().filter(|bar| !bar.is_finished()) {
                bar.set_style(style("·"));
                bar.abandon();
            }
        }
    }
}

fn live(plan: &Plan) -> Form {
    let all = MultiProgress::new();
    let changes = |action| matches!(action, Action::Add | Action::Change | Action::Replace);
    let resources = plan
        .resources
        .values()
        .filter(|step| changes(step.action))
        .map(|step| format!("resource {}", step.node));
    let workloads = plan
        .workloads
        .iter()
        .filter(|(_, step)| changes(step.action))
        .map(|(name, _)| format!("workload {name}"));
    // The last line, without a name, says what the whole waits for.
    let bars = resources
        .chain(workloads)
        .chain([String::new()])
        .map(|subject| {
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner}"));
            bar.set_message(subject.clone());
            bar.enable_steady_tick(TICK);
            (subject, bar)
        })
        .collect();
    Form::Live { all, bars }
}

fn style(mark: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{mark} {{wide_msg}} {{elapsed:>5}}"))
        .expect("the template is one of ours")
}
