//! What people see of a deployment while it goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    render::{control, events, quantity},
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
    /// What workloads have said of themselves while they were waited for.
    told: BTreeSet<String>,
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
            told: BTreeSet::new(),
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
        let words = control::shown(&words);
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
        let at = quantity::took(self.begun.elapsed());
        for said in news(&mut self.told, waiting) {
            let line = format!("[{at:>6}] waiting for {}", control::shown(said));
            match &self.form {
                Form::Silent => {}
                // Where standard error is closed, nobody can be told.
                Form::Lines => drop(writeln!(std::io::stderr(), "{line}")),
                // Above the spinners, whose lines end where the terminal does.
                Form::Live { all, .. } => drop(all.println(line)),
            }
        }
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

/// What workloads say of themselves and have not said before: what is missing is known long before the deadline
/// is over. Resources say theirs by events.
fn news<'a>(told: &mut BTreeSet<String>, waiting: &'a [String]) -> Vec<&'a str> {
    let says = |one: &str| one.starts_with("workload ") && one.contains(": ");
    let said = waiting.iter().filter(|one| says(one.as_str()));
    said.filter(|one| told.insert((*one).clone()))
        .map(String::as_str)
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_workload_says_while_it_is_waited_for_is_told_once() {
        let mut told = BTreeSet::new();
        let listens = "workload hello: nothing listens on port web".to_owned();
        let silent = ["workload hello".to_owned(), "postgres.default#db".into()];
        assert!(news(&mut told, &silent).is_empty());
        let waiting = [listens.clone(), "postgres.default#db: refused".into()];
        assert_eq!(news(&mut told, &waiting), [listens.as_str()]);
        assert!(news(&mut told, &waiting).is_empty());
        let exited = "workload hello: container web: exit code 1".to_owned();
        let changed = [listens, exited.clone()];
        assert_eq!(news(&mut told, &changed), [exited.as_str()]);
    }
}
