//! The list of all cases, with a function for each.

/// Hands `$then` the sections: first those that are compiled for the type of the spawner, then those that are compiled once,
/// for `AnySpawner`. From that a spawner gets nothing but boxes of one type.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_all_cases {
    ($then:path, $($name:ident ($rig:expr))?) => {
        $then! { $($name ($rig))?
        {
            completion {
                o_01_two_children_two_values
                o_02_child_added_later_by_the_body
                o_03_exit_waits_for_children_the_body_forgot
                o_04_grandchildren_spawned_as_siblings
                o_05_counting_while_it_runs
                o_06_group_around_nothing
                o_07_ten_thousand_children
            }
            elsewhere {
                children_on_two_spawners_are_of_one_group
                a_failure_on_either_spawner_cancels_the_other
                a_child_lost_elsewhere_ends_the_group
                a_group_on_any_spawner_is_like_every_other
                groups_on_different_spawners_have_one_type
            }
        }
        {
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
                o_88_cancel_one_child
                o_89_cancel_before_the_first_poll
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
                o_90_two_waiters_then_a_third
                o_91_a_waiter_goes_in_the_step_in_which_the_child_ends
                o_92_the_childs_own_error_beats_a_later_cancel
                o_93_each_waiter_is_woken_once
                o_93_a_waiter_that_panics_does_not_stop_the_others
                o_94_a_name_is_in_the_handle_and_in_reports
                o_94_a_refused_child_has_no_name
                o_95_context_is_carried_into_the_child
                o_99_panic_as_data
                o_107_the_signal_after_a_clean_end
                o_107_whoever_waits_for_the_signal_is_woken_by_a_clean_end
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
                it_has_a_name_and_its_error_tells_it
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
                o_87_a_cancel_inside_lets_the_section_end
                o_87_sections_back_to_back_both_complete
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
                o_87_a_shield_in_a_destructor
                a_scope_in_a_destructor_is_born_cancelled
                a_group_of_no_relation_in_a_destructor
                a_group_that_its_owner_joins_in_its_destructor
            }
            races {
                nothing_starts_once_join_has_returned
                a_cancel_meets_spawning_from_elsewhere
            }
            supervision {
                o_76_two_failing_children
                o_77_failure_does_not_disturb_a_live_sibling
                o_78_body_fails
                o_79_outside_cancel
                a_panic_of_a_child_goes_to_the_hook_only
                a_panic_of_the_hook_disturbs_nobody_and_is_resumed_at_the_end
                a_hook_spawns_into_its_own_group
                a_hook_cancels_its_own_group
            }
            policies {
                the_first_success_wins_a_race_and_the_losers_are_gone
                a_shielded_loser_is_waited_for
                a_race_that_all_lose_ends_with_their_errors_in_order
                a_race_without_racers_has_no_winner
                failures_before_the_win_do_not_count_and_the_hook_saw_them
                a_panic_of_a_racer_ends_the_race_and_is_resumed
                a_failure_of_the_body_ends_the_race
                a_racer_cancelled_by_its_handle_leaves_the_race_to_the_others
                a_race_whose_only_racer_is_cancelled_has_no_winner
                a_race_that_is_cancelled_says_so
                who_succeeds_after_the_race_was_cancelled_has_not_won
                o_23_first_only
                all_failures_are_kept_if_there_is_no_bound
                a_group_that_cannot_fail_can_only_be_cut
                o_56_from_the_body_with_a_value
                a_child_finishes_the_scope_with_a_value
                a_finish_from_outside_of_the_group_counts
                the_bodys_own_value_is_what_counts_if_nobody_finishes
                a_second_finish_is_dropped_once_and_at_once
                a_finish_after_the_end_is_dropped_at_once
                a_failure_outranks_the_value
                a_finish_after_a_failure_does_not_count
                a_finish_after_an_explicit_cancel_does_not_count
            }
            results {
                o_08_a_hundred_children_results_in_spawn_order
                o_09_values_of_failed_children_are_left_out
                o_10_a_panic_of_the_consumer_stops_the_group
                results_come_in_the_order_of_completion
                without_children_they_pend_until_the_group_is_closed
                between_children_they_pend_and_go_on
                a_closed_group_gives_what_is_outstanding_and_then_the_end
                they_are_freed_when_nobody_takes_them_any_more
                values_whose_destructors_panic_are_dropped_with_them
                a_value_that_comes_too_late_and_panics_is_the_childs_panic
                a_child_is_cancelled_by_the_handle_it_was_spawned_with
                a_refused_child_leaves_no_result
                a_cancelled_group_gives_a_result_for_each_child
                o_10_callbacks_in_order_work_in_parallel
                o_10_at_most_the_limit_run
                a_child_without_a_value_has_its_turn
                results_that_wait_for_their_turn_are_outstanding
                results_that_wait_for_their_turn_are_freed_with_the_others
                what_was_taken_before_is_not_waited_for
            }
            keyed {
                replace_cancels_the_child_that_was_there
                spawn_if_absent_starts_one_child_a_key
                a_child_is_cancelled_by_its_key
                a_child_cancels_itself_by_its_key
                a_key_is_there_until_its_child_has_ended
                the_end_of_a_replaced_child_leaves_the_new_one_its_key
                a_hash_that_panics_is_the_callers_and_starts_nothing
                a_child_whose_key_hashes_once_is_started_and_can_be_replaced
                a_closed_group_takes_no_child_and_keeps_no_key
                many_who_replace_one_key_leave_nothing
                children_are_named_after_their_keys
            }
            start {
                it_is_ready_and_goes_on
                it_fails_before_it_is_ready
                it_ends_without_having_been_ready
                it_fails_after_it_was_ready
                it_is_ready_and_fails_in_one_poll
                it_drops_its_ready_and_runs_on
                it_panics_before_it_is_ready
                its_caller_goes_while_it_waits
                its_caller_goes_while_it_is_shielded
                its_error_is_the_groups_when_its_caller_is_gone
                its_group_is_cancelled_before_it_is_ready
                a_sibling_fails_before_it_is_ready
                a_shielded_child_is_ready_after_the_cancel
                a_pending_start_keeps_the_group_open
                a_closed_group_takes_none
                another_task_says_that_it_is_ready
                another_task_says_so_after_it_has_ended
                it_has_a_name_and_may_be_a_background_child
            }
            background {
                o_71_leaving_with_children_alive
                they_end_with_the_others_of_a_free_standing_group
                alone_they_end_at_once
                they_are_neither_counted_nor_waited_for_by_idle
                a_failure_of_one_is_a_failure_of_the_group
                a_panic_of_one_is_resumed
                one_that_ends_by_itself_leaves_its_value
                a_shielded_one_holds_the_group
                a_failure_of_one_that_is_being_ended_is_a_failure
                once_they_are_being_ended_nothing_starts
                a_closed_group_takes_none
                a_child_that_one_of_them_spawns_is_waited_for
            }
            time {
                o_41_a_deadline_is_not_swallowed_by_a_cancel_inside
                o_41_nor_by_a_cancel_of_its_own_group
                o_41_nor_in_a_free_standing_group
                a_deadline_that_is_set_after_an_explicit_cancel_counts
                whoever_keeps_a_deadline_does_not_close_the_group_to_a_clean_up
                o_80_deadline_not_reached
                o_81_deadline_waits_for_children_too
                o_82_already_expired
                o_83_busy_body
                o_84_error_while_timing_out
                o_85_result_in_the_poll_that_ends_the_shield
                o_85_result_past_one_more_await
                o_86_inner_deadline_is_seen_by_its_host
                o_86_nested_deadlines_are_told_apart
                o_106_the_soft_signal_and_an_error_for_it
                o_106_the_same_under_a_deadline
                o_106_done_before
                it_fires_while_only_children_are_left
                it_fires_in_a_free_standing_group_that_nobody_joins
                when_everybody_has_ended_in_time_it_means_nothing
                when_only_clean_ups_are_left_it_means_nothing
                a_cancel_before_it_is_what_counts
                after_a_cancel_clean_ups_alone_do_not_make_it_count
                after_a_cancel_nobody_waits_for_it
                a_failure_before_it_is_what_counts
                a_childs_error_outranks_it_and_the_reason_is_still_readable
                a_shielded_child_is_waited_for
                it_does_not_reach_a_group_opened_under_a_shield
                a_deadline_set_under_a_shield_is_kept
                a_group_inside_says_that_it_was_its_parent
                the_earliest_one_around_is_the_one_that_is_told
                its_timer_is_dropped_however_the_group_ends
                a_deadline_of_a_scope_is_moved_later
                a_deadline_of_a_scope_is_moved_earlier
                a_deadline_of_a_scope_is_taken_away
                a_scope_opened_without_a_deadline_gets_one
                a_deadline_of_a_free_standing_group_is_moved_later
                a_deadline_of_a_free_standing_group_is_moved_earlier
                a_deadline_of_a_free_standing_group_is_taken_away
                a_free_standing_group_opened_without_a_deadline_gets_one
                a_deadline_is_set_on_a_closed_group
                a_deadline_that_is_set_too_late_is_passed_at_once
                a_deadline_that_has_passed_cannot_be_moved
                a_deadline_is_set_by_a_child_of_the_group
                who_keeps_the_deadline_is_not_counted
            }
            shutdown {
                everybody_ends_on_the_soft_signal
                an_empty_group_needs_no_grace
                a_deaf_child_is_forced_and_named
                before_the_grace_is_over_nobody_is_cut
                children_of_groups_inside_are_asked_and_named
                there_is_one_grace_for_the_whole_tree
                a_failure_on_the_way_out_is_reported
                a_shielded_child_outlasts_the_grace_and_is_waited_for
                background_children_end_with_the_others_and_are_not_named
                dropped_it_cancels_at_once
                without_any_grace_everybody_is_forced
                a_report_names_sixty_four_and_counts_the_rest
                a_deadline_may_come_before_the_end_of_the_grace
                stop_reaches_groups_inside
                stop_reaches_groups_opened_later_inside
                a_spawn_after_stop_is_refused_here_and_taken_inside
                a_cancel_asks_groups_under_a_shield_as_well
            }
            cleanup {
                one_that_is_registered_when_its_member_is_gone_begins_at_once
                they_run_when_a_child_returns
                they_run_when_a_child_fails
                they_run_when_a_child_panics
                they_run_when_the_group_is_cancelled
                they_run_when_one_child_is_cancelled
                they_run_when_a_sibling_fails
                they_run_when_the_owner_goes
                one_registered_under_a_shield_after_the_cancel_runs
                one_registered_in_a_destructor_runs
                the_group_waits_for_it_and_does_not_count_it
                a_cancel_does_not_cut_one_that_runs
                its_error_is_suppressed_behind_what_went_before
                its_error_is_primary_where_nothing_else_failed
                its_panic_is_the_groups_and_the_next_one_runs
                one_that_its_runtime_drops_is_lost_and_the_next_one_runs
                one_registered_inside_for_a_group_around_runs_after_the_member_there
                one_that_registers_another_is_followed_by_it
                it_may_spawn_unless_the_group_is_cancelled
                it_may_open_a_group_of_its_own
                registering_one_outside_of_the_group_panics
                in_a_body_that_returns_it_runs_and_the_scope_waits
                in_a_body_that_fails_it_runs
                in_a_body_that_panics_it_runs
                in_a_body_that_is_cut_it_runs
                its_error_outranks_the_value_of_the_body
                in_a_body_whose_host_is_cut_it_runs
                in_a_body_that_ended_before_its_host_was_cut_it_runs
                in_a_body_that_is_cut_after_a_shield_it_runs
                in_a_scope_that_is_given_up_it_runs_and_the_group_around_waits
                one_that_takes_too_long_is_dropped_and_the_next_one_runs
                one_that_never_ends_holds_the_group_until_then
                each_has_so_much_time_from_when_it_begins
                one_that_ends_in_time_drops_its_timer
                a_timeout_is_suppressed_behind_what_went_before
                a_timeout_fails_the_others
            }
            limits {
                o_100_panics_use_up_no_places
                o_101_never_above_the_limit
                o_102_try_spawn_at_the_limit
                o_104_queued_children_under_a_failure
                o_105_cancel_while_queued_by_handle
                children_start_in_the_order_in_which_they_were_spawned
                a_place_is_freed_by_an_end
                a_place_is_freed_by_an_error
                a_place_is_freed_by_a_panic
                a_place_is_freed_by_a_cancel_of_its_child
                a_place_is_kept_while_a_group_inside_lives
                a_lost_child_ends_those_that_are_queued
                a_cancel_leaves_nothing_of_a_thousand_that_are_queued
                background_children_need_no_place
                clean_ups_need_no_place
                adopted_tasks_need_no_place
                groups_inside_have_places_of_their_own
                a_scope_may_have_a_limit_and_its_body_needs_no_place
                spawning_waits_until_there_is_a_place
                there_are_never_more_children_than_places
                without_a_limit_spawning_does_not_wait
                a_place_is_given_in_the_order_in_which_it_was_asked_for
                a_wait_that_is_dropped_loses_no_place
                a_wait_that_is_dropped_with_its_place_gives_it_to_the_next
                one_that_waits_for_its_place_keeps_its_name
                a_wait_ends_when_the_group_is_cancelled
                a_place_in_a_closed_group_is_of_no_use_and_not_lost
                many_wait_at_once_and_all_come_in
                a_queued_child_is_lent_the_place_of_whoever_awaits_it
                a_chain_of_children_is_lent_one_place
                one_that_waits_in_a_group_inside_lends_its_place_too
                a_place_that_was_lent_is_not_there_twice_afterwards
                several_are_awaited_one_after_the_other
                the_body_has_no_place_to_lend
                a_queued_child_that_is_awaited_and_then_cancelled_is_told_of
            }
            matrix {
                every_combination_ends_as_the_model_says
            }
        } }
    };
}

/// Makes a function of every case, so that it is compiled with this crate and not where it is tested.
macro_rules! functions {
    (
        { $($typed:ident { $($generic:ident)* })* }
        { $($section:ident { $($case:ident)* })* }
    ) => {
        $(pub mod $typed {
            $(pub fn $generic<S: taskgroup::Spawner>(rig: fn() -> crate::Rig<S>) {
                crate::run(rig, crate::cases::$typed::$generic);
            })*
        })*

        $(pub mod $section {
            $(pub fn $case(rig: fn() -> crate::Rig) {
                crate::run(rig, crate::cases::$section::$case);
            })*
        })*
    };
}

crate::__for_all_cases! { functions, }
