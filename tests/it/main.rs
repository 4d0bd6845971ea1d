//! The behaviour suite: every case runs on every runtime, under the number it has in the list of scenarios.
//!
//! A failure reads `tokio_current_thread::body_failure::o_30_a_stronger_failure_on_either_side`.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod api;
mod dropping;
mod ledger;
#[cfg(feature = "async-std")]
mod on_async_std;
#[cfg(feature = "smol")]
mod on_smol;
#[cfg(feature = "tokio")]
mod on_tokio;
mod reentrant;
mod rig;
mod runtimes;
mod slow;
mod spawners;

/// Declares the sections, and expands every case over every runtime.
macro_rules! suite {
    ($($section:ident { $($case:ident)* })*) => {
        $(mod $section;)*

        runtime!(threads = crate::runtimes::Threads; $($section { $($case)* })*);
        runtime!(inline = crate::runtimes::Inline; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_global = crate::runtimes::SmolGlobal; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_executor_1 = crate::runtimes::Executor1; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_executor_4 = crate::runtimes::Executor4; $($section { $($case)* })*);
        #[cfg(feature = "smol")]
        runtime!(smol_static = crate::runtimes::Static; $($section { $($case)* })*);
        #[cfg(feature = "async-std")]
        runtime!(async_std = crate::runtimes::AsyncStd; $($section { $($case)* })*);
        #[cfg(feature = "tokio")]
        runtime!(tokio_current_thread = crate::runtimes::TokioCurrent; $($section { $($case)* })*);
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
        failures_beyond_those_kept_are_counted_by_the_group_around
        idling_that_began_outside_panics_inside
        a_scope_that_its_own_child_awaits_panics_there
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
        a_child_that_was_cancelled_by_itself_does_not_count_as_cut_with_the_group
    }
    bad_input {
        a_destructor_panics_when_its_child_is_cut
        a_destructor_panics_when_its_child_has_returned
        a_destructor_panics_in_the_body
        a_value_that_nobody_takes_panics_when_dropped
        the_value_of_a_scope_that_fails_panics_when_dropped
        the_destructor_of_a_panics_payload_panics
        a_child_never_yields
        a_scope_is_polled_after_it_has_returned
        a_timeout_around_join_cancels
        an_owner_goes_without_joining
        an_owner_goes_after_its_children
        a_hook_panics
        a_join_is_dropped_after_a_poll_and_by_whoever_polled_it_last
        a_closed_or_cancelled_group_is_spawned_on
    }
    adoption {
        its_value_and_its_end_are_the_groups
        its_error_fails_the_group
        a_cancel_asks_for_the_abort_and_waits_for_the_end
        a_cancel_before_the_first_poll_waits_as_well
        one_adopted_task_is_cancelled_by_its_handle
        a_task_that_somebody_else_aborts_is_lost
        a_closed_group_aborts_what_it_does_not_take
        its_panic_is_the_groups
    }
    orphans {
        no_capture_is_alive_after_the_outer_join
    }
    panics {
        o_96_a_panic_reaches_the_host_after_everybody_ended
        o_97_under_collect_the_others_finish
        o_98_of_two_panics_one_goes_on_and_both_reach_the_hook
        a_panic_is_seen_only_when_the_childs_captures_are_gone
        a_child_that_is_cancelled_in_its_last_poll_may_still_panic
        a_child_that_is_cancelled_in_its_last_poll_keeps_its_value
        a_ready_handle_means_that_the_captures_are_gone
        a_panic_of_the_body_waits_for_every_child
        a_panic_in_the_closure_that_makes_the_body_is_the_bodys
        a_waker_that_panics_keeps_nobody_from_ending
        a_group_opened_in_the_destructor_of_a_value_is_the_childs
    }
    shield {
        a_cancel_inside_lets_the_section_end
        sections_back_to_back_both_complete
        a_shield_in_a_shield_holds_until_the_outer_one_ends
        a_shielded_child_is_woken_once_and_not_spun
        code_under_a_shield_can_see_the_cancel
        a_shield_in_the_body_holds_the_scope
        a_body_that_returns_in_the_poll_its_shield_ends_in_counts
        a_shield_in_an_inner_body_holds_the_child_that_polls_it
        a_shield_that_begins_after_the_cut_is_never_polled
        a_shield_that_is_dropped_half_way_lets_the_cancel_through
        a_cancel_of_one_shielded_child_waits_as_well
        spawning_under_a_shield_does_not_shield_the_child
        a_leaked_shield_holds_its_member_only_until_that_ends
        outside_of_any_group_a_shield_only_runs_its_future
        a_group_opened_under_an_earlier_shield_is_reached_under_a_later_one
    }
    blocked {
        a_shield_in_a_destructor
        a_scope_in_a_destructor_is_born_cancelled
        a_group_of_no_relation_in_a_destructor
        a_group_that_its_owner_joins_in_its_destructor
    }
    races {
        nothing_starts_once_join_has_returned
        a_cancel_meets_spawning_from_elsewhere
    }
}
