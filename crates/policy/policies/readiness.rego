# Where a role is protected, a workload says when it is ready, and what it may take.
package towpath.deploy

warn contains {
	"rule": "readiness/probe",
	"message": sprintf("workload `%s` serves ports, and no container has a readiness probe", [name]),
	"remedy": "add `readinessProbe` to the container that serves: traffic then waits until it can be served",
} if {
	input.environment.protected
	some name, workload in input.workloads
	count(workload.service.ports) > 0
	not has_readiness_probe(workload)
}

has_readiness_probe(workload) if {
	some container in workload.containers
	container.readinessProbe
}

warn contains {
	"rule": "limits/memory",
	"message": sprintf("container `%s` of workload `%s` has no memory limit", [container_name, name]),
	"remedy": "add `resources.limits.memory`: without it, one leak takes down its neighbours",
} if {
	input.environment.protected
	some name, workload in input.workloads
	some container_name, container in workload.containers
	not container.resources.limits.memory
}
