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
        failure {
            o_11_failure_cancels_the_sibling
            o_12_failure_cuts_the_body_short
            o_13_failure_after_the_body_has_returned
            o_14_either_order_of_failing
            o_15_three_fail_in_one_step
            o_15_three_fail_in_one_step_and_are_collected
            o_16_each_failure_is_reported_once
            o_17_through_three_levels
            o_18_catching_at_the_handle_does_not_undo_the_failure
            o_18_a_shielded_body_is_told_by_the_handle_and_then_cut
            o_19_errors_as_data
            o_20_an_error_type_with_hostile_trait_impls
            o_21_siblings_may_not_start_new_work_once_failing_has_begun
            o_22_hydra
            o_23_several_errors_are_collected
            o_23_more_failures_than_are_kept
            o_24_cancelled_siblings_are_not_errors
            o_24_an_interrupted_sibling_is_suppressed
            o_25_keep_going
        }
        body_failure {
            o_26_after_an_await
            o_27_before_any_await
            o_28_body_and_two_children
            o_29_child_failed_then_the_clean_up_of_the_body
            o_30_a_stronger_failure_on_either_side
            o_31_body_cancels_and_fails_in_one_poll
        }
    }
    one_thread {
        one_thread {
            o_27_children_of_a_body_that_fails_at_once_are_never_polled
            o_28_body_first_two_children_as_well
        }
    }
}
