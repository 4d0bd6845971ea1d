//! The behaviour suite: every case runs on every runtime, under the number it has in the list of scenarios.
//!
//! A failure reads `tokio_current_thread::panics::o_30_a_stronger_failure_on_either_side`.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod ledger;
mod rig;
mod runtimes;
mod spawners;

/// Declares the sections, and expands every case over every runtime it makes sense on.
macro_rules! suite {
    (
        everywhere { $($section:ident { $($case:ident)* })* }
        one_thread { $($one:ident { $($one_case:ident)* })* }
    ) => {
        $(mod $section;)*
        $(mod $one;)*

        runtime!(threads = crate::runtimes::Threads; $($section { $($case)* })*);
        runtime!(inline = crate::runtimes::Inline; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_global = crate::runtimes::SmolGlobal; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_executor_1 = crate::runtimes::Executor1;
            $($section { $($case)* })* $($one { $($one_case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_executor_4 = crate::runtimes::Executor4; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_static = crate::runtimes::Static;
            $($section { $($case)* })* $($one { $($one_case)* })*);
        #[cfg(feature = "async-std")]
        runtime!(async_std = crate::runtimes::AsyncStd; $($section { $($case)* })*);
        #[cfg(feature = "tokio")]
        runtime!(tokio_current_thread = crate::runtimes::TokioCurrent;
            $($section { $($case)* })* $($one { $($one_case)* })*);
        #[cfg(feature = "tokio")]
        runtime!(tokio_1_worker = crate::runtimes::TokioMulti<1>; $($section { $($case)* })*);
        #[cfg(feature = "tokio")]
        runtime!(tokio_4_workers = crate::runtimes::TokioMulti<4>; $($section { $($case)* })*);
    };
}

macro_rules! runtime {
    ($runtime:ident = $rig:ty; $($section:ident { $($case:ident)* })*) => {
        mod $runtime {
            $(mod $section {
                $(#[test]
                fn $case() {
                    crate::rig::run::<$rig>(crate::$section::$case);
                })*
            })*
        }
    };
}

suite! {
    everywhere {
        completion {
            o_01_two_children_two_values
            o_02_child_added_later_by_the_body
            o_03_exit_waits_for_children_the_body_forgot
            o_04_grandchildren_spawned_as_siblings
            o_05_counting_while_it_runs
            o_06_group_around_nothing
            o_07_ten_thousand_children
        }
        lifecycle {
            o_49_opening_twice
            o_50_spawning_before_it_is_open
            o_51_spawning_after_the_end
            o_52_group_opened_where_no_executor_runs
            o_52_the_panic_of_a_spawner_goes_through_the_body
            o_53_two_rounds_do_not_mix
            o_54_nothing_is_kept_alive_by_a_finished_group
            o_55_changing_settings_too_late
        }
        cancel {
            o_56_from_the_body
            o_57_from_the_body_then_return
            o_58_from_a_child
            o_58_from_a_child_when_no_body_is_left
            a_child_that_cancels_and_returns_in_one_poll_counts
            o_59_before_it_is_open
            o_60_repeated_and_late
            o_60_after_a_plain_end
            o_61_a_child_that_fails_after_the_cancel
            o_62_cancel_during_spawn
            o_62_cancel_during_spawn_reaches_siblings
            o_63_reason_is_readable
            o_63_no_reason_after_a_plain_end
        }
        origin {
            o_64_control_raw_spawn_is_not_structured
            o_65_same_in_a_group
            o_66_control_finally_cancels_but_does_not_wait
            o_66_a_group_cancels_and_waits
            o_67_one_level_only
            o_68_demo_timeline_fail_fast
            o_69_demo_timeline_collect
            o_70_waiting_for_quiet_without_closing
            o_70_a_child_cannot_wait_for_its_own_group_to_be_quiet
            o_72_failed_child_and_failed_body
            o_73_child_failure_must_wake_the_body
            o_74_spawn_after_close_all
            o_75_the_anyio_program
        }
        handles {
            dropping_a_handle_neither_cancels_nor_detaches
            cancelling_a_child_leaves_group_and_siblings_alone
            cancel_before_the_first_poll
            a_child_that_cancels_itself_runs_up_to_its_next_await
            a_child_that_cancels_itself_and_returns_keeps_its_value
            a_lost_race_loses_nothing
            a_handle_wakes_whoever_awaited_it_last
            value_of_a_failing_child_cuts_the_awaiting_body
            value_of_a_child_that_fails_at_once_cuts_the_sibling_that_awaits_it
            value_outside_of_the_group_panics
            value_of_a_child_cancelled_by_hand_panics
            value_panics_where_the_awaiter_is_not_cut
            a_second_await_after_the_result_panics
            awaiting_ones_own_handle_panics
            join_error_says_why_there_is_no_value
            join_error_of_a_lost_child
            join_error_of_a_refused_child
            a_value_nobody_reads_is_destroyed_before_join_returns
            a_value_stays_with_its_handle
            a_late_cancel_does_nothing
        }
    }
    one_thread {}
}
