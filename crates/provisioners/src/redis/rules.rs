//! What a user of ours may do, in the words of Redis' access rules.

/// The rules of a user who has the whole server: all commands but the administrator's. What Redis
/// calls dangerous because of the other users is given back, for here there are none.
pub(super) const OWN: [&str; 11] = [
    "~*",
    "&*",
    "nocommands",
    "+@all",
    "-@admin",
    "-@dangerous",
    "+info",
    "+keys",
    "+sort",
    "+flushdb",
    "+flushall",
];

/// The rules of a user who shares the server, for a server of `version`.
///
/// Taken away is what shows or touches what is not below the prefix and names no key by which
/// Redis could tell: lists of keys and channels, scripts and functions of others, and `CLIENT`
/// (whose tracking can broadcast the names of all keys). `INFO` shows counts but no names, and many
/// clients ask it for the version before anything else.
pub(super) fn shared(prefix: &str, version: (u32, u32)) -> Vec<String> {
    let mut rules: Vec<String> = vec![
        "resetkeys".to_owned(),
        format!("~{prefix}*"),
        "resetchannels".to_owned(),
        format!("&{prefix}*"),
    ];
    let mut commands = vec![
        "nocommands",
        "+@all",
        "-@admin",
        "-@dangerous",
        "+info",
        "-scan",
        "-randomkey",
        "-dbsize",
        "-pubsub",
        "-script",
        "+script|load",
        "+script|exists",
        "-memory",
        "+memory|usage",
        "-client",
        "+client|id",
        "+client|getname",
        "+client|setname",
        "+client|reply",
    ];
    if version >= (7, 0) {
        commands.push("-function");
    }
    if version >= (7, 2) {
        commands.push("+client|setinfo");
    }
    rules.extend(commands.into_iter().map(str::to_owned));
    rules
}
