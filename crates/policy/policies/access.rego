# An environment belongs to a team: its members deploy to it, and those who operate the platform.
package towpath.deploy

deny contains {
	"rule": "access/team",
	"message": sprintf(
		"`%s` may not deploy to environment `%s`: it belongs to team `%s`",
		[input.caller.subject, input.environment.name, input.environment.team],
	),
	"remedy": sprintf("ask a member of team `%s` to deploy, or to take you in", [input.environment.team]),
} if {
	not may_deploy
}

may_deploy if input.caller.admin == true

may_deploy if input.environment.team in input.caller.teams
