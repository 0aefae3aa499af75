//! What every engine must do: one suite, run on each.

#![allow(clippy::print_stderr)] // Skips are told.

mod callers;
mod life;
mod logs;
mod places;
mod removal;
mod serving;
#[path = "../support/mod.rs"]
mod support;
mod taking_over;

/// Every test of the suite on every engine.
macro_rules! conformance {
    ($($topic:ident: $($test:ident),+;)+) => {
        mod process_engine {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let subject = crate::support::process(directory.path()).await;
                    crate::$topic::$test(subject).await;
                }
            )+)+
        }

        mod docker_engine {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let directory = tempfile::tempdir().expect("a directory");
                    let Some(subject) = crate::support::docker(directory.path()).await else {
                        return;
                    };
                    let _cleaned = crate::support::Cleaned(subject.platform);
                    crate::$topic::$test(subject).await;
                }
            )+)+
        }
    };
}

conformance!(
    serving: serves_at_its_endpoint, two_releases_run_beside_each_other, port_tells_the_main_port_and_each_has_a_variable, containers_of_a_workload_share_localhost, reaches_servers_of_this_machine;
    places: gives_environment_files_and_working_directory, volumes_keep_their_content, a_file_in_a_volume_is_there_in_each_release, a_volume_cannot_lead_out_of_itself, limits_are_kept, requests_are_kept;
    life: what_ends_is_started_again, what_is_not_alive_is_started_again, gets_ready_and_unready, starts_in_order, what_cannot_start_says_why;
    logs: logs_are_read_and_followed;
    callers: knows_whose_workload_calls, knows_who_is_no_workload;
    removal: nothing_escapes_removal, a_slow_stop_holds_up_no_other, what_is_half_removed_is_found_again;
    taking_over: an_engine_that_starts_again_takes_over, what_was_not_ready_yet_is_not_taken_for_ready, another_replica_takes_over;
);
