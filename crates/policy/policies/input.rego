# Proof, not its absence: a decision over half an input would let through what it cannot see.
package towpath.deploy

deny contains {
	"rule": "input/incomplete",
	"message": "the decision was asked for without all that it needs: caller, environment, workloads and plan",
	"remedy": "this is a fault of the platform: report it",
} if {
	not complete
}

complete if {
	is_string(input.caller.subject)
	is_boolean(input.caller.admin)
	is_array(input.caller.teams)
	is_string(input.environment.name)
	is_string(input.environment.role)
	is_string(input.environment.team)
	is_boolean(input.environment.protected)
	is_object(input.workloads)
	is_object(input.plan.resources)
	is_object(input.plan.workloads)
	is_array(input.plan.held)
}
