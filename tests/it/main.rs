//! The behaviour suite: every case runs on every runtime, under the number it has in the list of scenarios.
//!
//! A failure reads `tokio_current_thread::panics::o_30_a_stronger_failure_on_either_side`.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod ledger;
mod rig;
mod runtimes;
mod slow;
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
        outside {
            o_32_while_waiting_at_the_exit
            o_33_while_the_body_is_still_working
            o_34_group_without_children
            o_35_the_body_turns_cancellation_into_an_error
            o_36_child_fails_while_the_body_cleans_up
            o_37_error_and_outside_cancel_in_the_same_step
            o_38_host_keeps_working_after_a_failed_group
            o_39_second_outside_cancel_during_the_wait
            o_40_a_group_born_cancelled
        }
        nesting {
            o_42_outer_child_fails_inner_group_in_the_body
            o_43_inner_child_fails_outer_has_a_long_child
            o_44_inner_failure_handled
            o_45_both_fail_at_once_inner_handled
            o_46_clean_up_failures_in_two_levels
            o_47_inner_group_value
            o_48_inner_group_given_up_by_its_own_body
            a_group_inside_a_shield_obeys_itself_only
            teardown_is_bottom_up_through_children
            teardown_is_bottom_up_through_bodies
            two_thousand_groups_deep_and_cancelled
            two_thousand_groups_deep_and_done
            a_scope_leaked_in_a_child_is_cancelled_with_it
            a_scope_leaked_in_a_body_is_cancelled_with_it
            a_scope_dropped_in_a_child_is_counted_by_every_group_around
            a_scope_dropped_in_a_body_is_counted_by_every_group_around
            a_scope_moved_to_the_host_ends_with_its_value
            a_scope_moved_to_a_sibling_ends_with_its_value
            a_scope_that_outlives_its_opener_is_cut
            a_shield_moved_to_another_task_lets_go_of_its_opener
            a_group_stored_elsewhere_is_linked_to_its_opener
            a_root_group_outlives_the_child_that_opens_it
            a_group_dropped_inside_its_own_child
            a_linked_group_dropped_inside_its_own_child
            joining_inside_of_the_own_child_panics
            idling_inside_of_an_own_child_panics
            idling_in_the_body_waits_for_the_children
            awaiting_the_own_handle_panics
        }
    }
    one_thread {}
}
