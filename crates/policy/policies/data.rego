# Data outlives mistakes: where a role is protected, no deployment takes data away, accepted or not.
package towpath.deploy

deny contains {
	"rule": "data/protected",
	"message": sprintf(
		"%s would lose its data (action: %s), and environments of role `%s` are protected",
		[step.node, step.action, input.environment.role],
	),
	"remedy": "copy the data to a resource of another id first, and let the workload use that one",
} if {
	input.environment.protected
	some step in input.plan.resources
	step.holdsData
	step.action in {"remove", "replace"}
}

warn contains {
	"rule": "data/held",
	"message": sprintf("the replacement of `%s` is held, since it would lose its data", [name]),
	"remedy": sprintf(
		"it stays as it is; `towpath resource dump %s --env %s --out %s.dump` keeps a copy, and `--accept %s` accepts the loss",
		[name, input.environment.name, name, name],
	),
} if {
	some name in input.plan.held
}
