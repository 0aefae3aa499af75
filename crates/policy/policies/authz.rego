# Who may do what. The team is the boundary; what no rule here allows is refused. An organization adds
# to `deny`, which is asked as well: it can take away, and not give.
package towpath.authz

default allow := false

allow if {
	complete
	permitted
}

# What all share, everybody who is known may read.
permitted if {
	input.action in {
		"cluster.read",
		"environment-role.read",
		"resource-definition.read",
		"starter-kit.read",
		"policy.read",
		"tool.read",
	}
}

# Those who operate the platform may do everything. They are people: no automation is one of them.
permitted if operator

# A team's members, and its automation, do everything with what is their team's.
permitted if {
	input.caller.kind in {"person", "service-account"}
	member
	input.action in of_teams
	input.action != "identity.change"
}

# Who calls in is people's to say: credentials make no credentials.
permitted if {
	input.caller.kind == "person"
	member
	input.action == "identity.change"
}

# Its leads say what it is, who is in it, what hangs on one of them, how long each took to get going, and when it
# ends: people, of its members.
permitted if {
	lead
	input.action in of_leads
}

# Managers say which teams are customers, and see those that are, and how long they take to get going.
permitted if {
	manager
	input.action in of_managers
	input.resource.team == ""
}

# Service accounts of the keepers, the teams whose automation keeps other tools in step with teams, see which teams
# there are and who is in them, and nothing else of theirs.
permitted if {
	keeper
	input.action == "team.oversee"
	input.resource.team == ""
}

# A deploy credential deploys to its one environment, follows what becomes of it, and says what its pipeline has
# done there.
permitted if {
	input.caller.kind == "deploy-credential"
	member
	input.action in (reads | {"deployment.plan", "deployment.create", "event.publish"})
	input.caller.environment == place
}

# A deploy credential sees which secrets its team has, of deploy credentials those of its own environment.
# Values are for the programs that it deploys, and not for whoever holds it: the next key least of all.
permitted if {
	input.caller.kind == "deploy-credential"
	member
	input.action == "secret.read"
	not startswith(input.resource.name, "deploy-credentials/")
}

permitted if {
	input.caller.kind == "deploy-credential"
	member
	input.action == "secret.read"
	startswith(input.resource.name, concat("", ["deploy-credentials/", input.caller.environment, "/"]))
}

# Everybody sees and ends their own logins.
permitted if {
	input.caller.kind == "person"
	input.action in {"session.end", "session.read"}
	input.resource.scope == input.caller.subject
}

# An agent sees what its team has, and proposes: others decide.
permitted if {
	input.caller.kind == "agent"
	member
	input.action in (reads | {"deployment.plan", "secret.read"})
}

operator if {
	input.caller.admin
	input.caller.kind in {"person", "local-admin"}
}

member if {
	input.resource.team != ""
	input.resource.team in input.caller.teams
}

lead if {
	input.caller.kind == "person"
	member
	input.resource.team in input.caller.leads
}

# The managers' group is configuration. It is one source's: a group of that name elsewhere gives nothing.
manager if {
	input.caller.kind == "person"
	input.settings.managers.group in input.caller.groups
	startswith(input.caller.subject, concat("", [input.settings.managers.source, ":"]))
}

# Which teams are keepers is configuration.
keeper if {
	input.caller.kind == "service-account"
	some team in input.caller.teams
	team in input.settings.keepers
}

reads := {
	"deployment.read",
	"environment.read",
	"event.read",
	"integration.read",
	"namespace.read",
	"resource.read",
	"route.read",
	"subscription.read",
	"team.read",
	"workload.logs",
	"workload.read",
}

of_teams := reads | {
	"deployment.create",
	"deployment.plan",
	"environment.change",
	"environment.create",
	"environment.delete",
	"event.publish",
	"identity.change",
	"identity.read",
	"namespace.change",
	"namespace.create",
	"namespace.delete",
	"namespace.quota",
	"resource.delete",
	"resource.reveal",
	"resource.rotate",
	"secret.delete",
	"secret.read",
	"secret.reveal",
	"secret.rotate",
	"secret.write",
	"subscription.change",
	"subscription.replay",
	"team.sync",
	"tool.change",
	"workload.delete",
}

of_leads := {
	"departure.read",
	"departure.rotate",
	"onboarding.read",
	"team.change",
	"team.members.change",
	"team.offboard",
}

of_managers := {
	"onboarding.read",
	"team.create",
	"team.govern",
	"team.oversee",
}

# The environment that the resource is, or is in. An event says no more of what it is about than where
# that is.
place := input.resource.environment.name

place := input.resource.scope if {
	not input.resource.environment
	input.resource.kind in {"Deployment", "Event", "ResourceInstance", "Workload"}
}

place := input.resource.name if {
	not input.resource.environment
	input.resource.kind in {"Environment", "Namespace"}
}

# Proof, not its absence: half an input decides nothing.
complete if {
	is_string(input.action)
	is_string(input.caller.subject)
	is_string(input.caller.kind)
	is_boolean(input.caller.admin)
	is_array(input.caller.teams)
	is_array(input.caller.leads)
	is_array(input.caller.groups)
	is_string(input.resource.kind)
	is_string(input.resource.name)
	is_string(input.resource.team)
}

deny contains {
	"rule": "authz/incomplete",
	"message": "the decision was asked for without all that it needs: action, caller and resource",
	"remedy": "this is a fault of the platform: report it",
} if {
	not complete
}

# What is no team's, and no member's to do.
of_operators if not input.action in (of_teams | of_leads | of_managers)

of_operators if {
	input.resource.team == ""
	not input.action in of_managers
}

# Why, for whoever is refused.
reasons contains {
	"rule": "authz/team",
	"message": sprintf("it belongs to team `%s`", [input.resource.team]),
	"remedy": sprintf("ask a member of team `%s` to do it, or to take you in", [input.resource.team]),
} if {
	input.resource.team != ""
	not member
}

reasons contains {
	"rule": "authz/platform",
	"message": "only those who operate the platform may",
	"remedy": "ask a platform engineer",
} if {
	not operator
	of_operators
}

reasons contains {
	"rule": "authz/lead",
	"message": sprintf("only those who lead team `%s` may", [input.resource.team]),
	"remedy": sprintf("ask a lead of team `%s`: `towpath team show %s` names them", [input.resource.team, input.resource.team]),
} if {
	member
	not lead
	not operator
	input.action in of_leads
}

reasons contains {
	"rule": "authz/manager",
	"message": sprintf(
		"only those in the group `%s` of source `%s` may, and those who operate the platform",
		[input.settings.managers.group, input.settings.managers.source],
	),
	"remedy": sprintf("ask somebody in the group `%s`", [input.settings.managers.group]),
} if {
	not manager
	not operator
	input.action in of_managers
	input.resource.team == ""
}

reasons contains {
	"rule": "authz/deploy-credential",
	"message": sprintf(
		"a deploy credential deploys to its own environment, `%s`, and reads there; it is told no secret values",
		[object.get(input.caller, "environment", "none")],
	),
	"remedy": "let a member of the team do it, or a service account of kind `service`, or use the credential of that environment",
} if {
	member
	input.action in of_teams
	input.caller.kind == "deploy-credential"
}

reasons contains {
	"rule": "authz/credentials",
	"message": "no automation makes or changes credentials",
	"remedy": "let a member of the team do it",
} if {
	member
	input.action == "identity.change"
	input.caller.kind == "service-account"
}

reasons contains {
	"rule": "authz/agent",
	"message": "an agent reads and plans, and changes nothing",
	"remedy": "let a member of the team do it",
} if {
	member
	input.action in of_teams
	input.caller.kind == "agent"
}
