//! Which command reaches each operation of the API: the command line is a whole client, and one that lacks
//! something is noticed here.

use std::collections::BTreeMap;

use clap::CommandFactory as _;
use serde_json::Value;

use crate::cli::Cli;

const DESCRIPTION: &str = include_str!("../../../openapi/towpath.json");

/// What programs alone ask for: probes, a monitoring system, generators of clients.
const FOR_PROGRAMS: [&str; 4] = ["healthz", "readyz", "metrics", "openapi"];

/// An operation, and the command.
#[rustfmt::skip]
const COMMANDS: &[(&str, &str)] = &[
    ("access_review", "can"),
    ("account", "service-account show"),
    ("account_delete", "service-account delete"),
    ("account_put", "service-account create"),
    ("account_rotate", "service-account key create"),
    ("accounts", "service-account list"),
    ("apply", "apply"),
    ("apply_plan", "apply"),
    ("automation", "identity automation"),
    ("client", "client list"),
    ("client_delete", "client delete"),
    ("client_put", "client set"),
    ("client_secret", "client secret"),
    ("clients", "client list"),
    ("cluster", "cluster show"),
    ("cluster_delete", "cluster delete"),
    ("cluster_put", "cluster set"),
    ("clusters", "cluster list"),
    ("definition_difference", "diff"),
    ("departure", "identity automation"),
    ("deployment", "describe"),
    ("deployment_create", "deploy"),
    ("deployment_decision", "describe"),
    ("deployments", "get"),
    ("environment", "env describe"),
    ("environment_change", "env extend"),
    ("environment_create", "env create"),
    ("environment_delete", "env delete"),
    ("environment_role_delete", "delete"),
    ("environments", "env list"),
    ("explain", "explain"),
    ("graph", "graph"),
    ("group", "group add"),
    ("group_delete", "group delete"),
    ("group_member_delete", "group remove"),
    ("group_member_put", "group add"),
    ("group_put", "apply"),
    ("groups", "group list"),
    ("integration", "integration show"),
    ("integration_delete", "integration delete"),
    ("integration_put", "integration set"),
    ("integration_teams", "integration show"),
    ("integrations", "integration list"),
    ("key_revoke", "service-account key revoke"),
    ("keys", "identity keys list"),
    ("keys_rotate", "identity keys rotate"),
    ("list_events", "events"),
    ("logs", "logs"),
    ("member_add", "team member add"),
    ("member_remove", "team member remove"),
    ("members", "team member list"),
    ("namespace", "namespace show"),
    ("namespace_change", "namespace quota"),
    ("namespace_create", "namespace create"),
    ("namespace_delete", "namespace delete"),
    ("namespaces", "namespace list"),
    ("offboard", "team offboard"),
    ("onboard", "team onboard"),
    ("onboarding", "team onboarding"),
    ("outputs", "resource outputs"),
    ("plan", "plan"),
    ("platform_dead_letter_discard", "subscription discard"),
    ("platform_dead_letter_replay", "subscription replay"),
    ("platform_dead_letters", "subscription dead-letters"),
    ("platform_keys", "rekey"),
    ("platform_subscription", "subscription show"),
    ("platform_subscription_delete", "subscription delete"),
    ("platform_subscription_put", "subscription create"),
    ("platform_subscription_secret", "subscription secret"),
    ("platform_subscriptions", "subscription list"),
    ("policies", "get"),
    ("publish_events", "events publish"),
    ("rekey_begin", "rekey"),
    ("rekey_forget_former", "rekey"),
    ("rekey_new_key", "rekey"),
    ("remnant", "describe"),
    ("remnant_delete", "delete"),
    ("remnants", "get"),
    ("repository_create", "new"),
    ("resource", "describe"),
    ("resource_abandon", "resource abandon"),
    ("resource_definition", "describe"),
    ("resource_definition_delete", "delete"),
    ("resource_definitions", "get"),
    ("resource_delete", "resource delete"),
    ("resource_rotate", "resource rotate"),
    ("resources", "resource list"),
    ("revision", "describe"),
    ("revisions", "get"),
    ("roles", "get"),
    ("rollback", "rollback"),
    ("routes", "get"),
    ("secret", "secret get"),
    ("secret_delete", "secret delete"),
    ("secret_put", "secret set"),
    ("secret_value", "secret get"),
    ("secrets", "secret list"),
    ("secrets_rotate", "secret rotate"),
    ("session_end", "session end"),
    ("sessions", "session list"),
    ("sessions_end", "session end"),
    ("starter_kit", "describe"),
    ("starter_kit_delete", "delete"),
    ("starter_kits", "get"),
    ("summary", "status"),
    ("sync", "team sync"),
    ("team", "team show"),
    ("team_change", "team change"),
    ("team_dead_letter_discard", "subscription discard"),
    ("team_dead_letter_replay", "subscription replay"),
    ("team_dead_letters", "subscription dead-letters"),
    ("team_departure", "team departure"),
    ("team_departure_rotate", "team departure"),
    ("team_onboarding", "team onboarding"),
    ("team_integrations", "integration list"),
    ("team_subscription", "subscription show"),
    ("team_subscription_delete", "subscription delete"),
    ("team_subscription_put", "subscription create"),
    ("team_subscription_secret", "subscription secret"),
    ("team_subscriptions", "subscription list"),
    ("teams", "team list"),
    ("tool", "tool show"),
    ("tool_delete", "tool delete"),
    ("tools", "tool list"),
    ("trust", "trust list"),
    ("trust_delete", "trust delete"),
    ("trust_put", "trust set"),
    ("trusts", "trust list"),
    ("unpin", "env unpin"),
    ("upstream", "upstream list"),
    ("upstream_delete", "upstream delete"),
    ("upstream_put", "upstream set"),
    ("upstreams", "upstream list"),
    ("user", "user list"),
    ("user_delete", "user delete"),
    ("user_put", "user set"),
    ("users", "user list"),
    ("whoami", "whoami"),
    ("workload", "describe"),
    ("workload_delete", "delete"),
    ("workload_release", "describe"),
    ("workloads", "get"),
];

#[test]
fn every_operation_has_its_command() {
    let table: BTreeMap<&str, &str> = COMMANDS.iter().copied().collect();
    assert_eq!(
        table.len(),
        COMMANDS.len(),
        "an operation stands there twice"
    );
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let paths = description["paths"].as_object().unwrap().values();
    let operations: Vec<&str> = paths
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .filter(|operation| !FOR_PROGRAMS.contains(operation))
        .collect();
    let missing: Vec<_> = operations
        .iter()
        .filter(|operation| !table.contains_key(**operation))
        .collect();
    assert!(
        missing.is_empty(),
        "which command is for these? {missing:#?}"
    );
    assert_eq!(
        table.len(),
        operations.len(),
        "the table has rows of no operation"
    );

    let mut root = Cli::command();
    root.build();
    for (operation, words) in table {
        let mut command = &root;
        for word in words.split(' ') {
            command = command
                .find_subcommand(word)
                .unwrap_or_else(|| panic!("{operation}: there is no command `towpath {words}`"));
        }
        assert!(
            !command.is_hide_set(),
            "{operation}: `towpath {words}` is hidden"
        );
    }
}
