//! The plan for people: one mark for each thing, its reasons beneath it.

use std::fmt;

use super::{Action, Plan};

impl Action {
    /// The mark of the action in a plan.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Replace => "-/+",
            Self::Remove => "-",
            Self::Keep => "=",
            Self::None => " ",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() && self.warnings.is_empty() {
            return f.write_str("Nothing changes.\n");
        }
        self.resource_lines(f)?;
        self.workload_lines(f)?;
        let routes = self
            .routes_added
            .iter()
            .map(|url| (Action::Add, url))
            .chain(self.routes_removed.iter().map(|url| (Action::Remove, url)));
        let mut title = "Routes\n";
        for (action, url) in routes {
            writeln!(f, "{title}  {:<3} {url}", action.mark())?;
            title = "";
        }
        if title.is_empty() {
            f.write_str("\n")?;
        }
        if !self.warnings.is_empty() {
            f.write_str("Remarks\n")?;
            for warning in &self.warnings {
                writeln!(f, "  {warning}")?;
            }
            f.write_str("\n")?;
        }
        if !self.held.is_empty() {
            f.write_str("Held until accepted\n")?;
            for name in &self.held {
                writeln!(
                    f,
                    "  {name}: accept the loss of its data with `--accept {name}`"
                )?;
            }
            f.write_str("\n")?;
        }
        writeln!(
            f,
            "{} to add, {} to change, {} to replace, {} to remove, {} kept, {} held.",
            self.count(Action::Add),
            self.count(Action::Change),
            self.count(Action::Replace),
            self.count(Action::Remove),
            self.count(Action::Keep),
            self.held.len(),
        )
    }
}

impl Plan {
    fn resource_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = || {
            self.resources
                .iter()
                .filter(|(name, step)| step.action != Action::None || self.held.contains(name))
        };
        let width = shown()
            .map(|(_, step)| step.node.chars().count())
            .max()
            .unwrap_or(0);
        let mut title = "Resources\n";
        for (name, step) in shown() {
            let mark = if self.held.contains(name) {
                "!"
            } else {
                step.action.mark()
            };
            let data = if step.holds_data { "  holds data" } else { "" };
            writeln!(
                f,
                "{title}  {mark:<3} {:<width$}  {}{data}",
                step.node, step.definition
            )?;
            for reason in &step.reasons {
                writeln!(f, "        {reason}")?;
            }
            title = "";
        }
        if title.is_empty() {
            f.write_str("\n")?;
        }
        Ok(())
    }

    fn workload_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut title = "Workloads\n";
        for (name, step) in &self.workloads {
            if step.action == Action::None {
                continue;
            }
            write!(f, "{title}  {:<3} {name}", step.action.mark())?;
            if let Some(url) = &step.url {
                write!(f, "  {url}")?;
            }
            f.write_str("\n")?;
            for change in &step.changes {
                writeln!(f, "        {change}")?;
            }
            title = "";
        }
        if title.is_empty() {
            f.write_str("\n")?;
        }
        Ok(())
    }
}
