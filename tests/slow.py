"""The slow tests: `make check` leaves them out, `make test` runs them.

Files that train, predict with the bundled model or start a process in nearly every test; and
single tests that took more than about one CPU second in one measured run.
"""

FILES = frozenset(
    {
        "test_cluster",
        "test_engines",
        "test_field",
        "test_model",
        "test_notebook",
        "test_outputs_apart",
        "test_receipts",
        "test_shards",
        "test_terminal",
        "test_testset",
        "test_tiles",
        "test_together",
        "test_trace_partition",
        "test_trace_regions",
        "test_trace_somata",
        "test_train",
        "test_unsized",
    }
)

TESTS = {
    "test_adapt": {
        "test_a_model_that_only_says_more_gains_nothing_and_is_calibrated_back",
        "test_phantoms_of_other_tissues_hold_bodies_and_the_neurites_that_are_asked_for",
        "test_what_finds_more_only_by_detecting_more_elsewhere_is_refused",
    },
    "test_blockwise": {
        "test_a_block_that_always_fails_is_named_and_the_others_complete",
        "test_a_block_that_fails_once_is_tried_again",
        "test_a_block_that_kills_its_workers_is_named_and_the_others_complete",
        "test_a_second_ctrl_c_ends_the_workers_at_once",
        "test_a_worker_that_is_killed_once_costs_no_block",
        "test_blocked_equals_whole_in_this_thread_and_in_processes",
        "test_ctrl_c_ends_cleanly_and_can_be_resumed",
        "test_workers_that_all_die_end_the_run",
    },
    "test_channel": {
        "test_a_survey_of_a_channel_is_that_of_the_channel_alone",
        "test_a_volume_of_several_channels_is_cut_into_cubes_of_one",
        "test_training_on_a_channel_is_training_on_it_alone",
        "test_what_is_exported_has_one_channel_and_trains_as_it_is",
    },
    "test_checkpoint": {
        "test_a_checkpoint_rebuilds_itself_in_a_fresh_process",
        "test_a_replacement_that_is_stopped_midway_leaves_the_old_model",
    },
    "test_cli": {
        "test_the_demo_finds_more_than_any_method_without_a_network",
    },
    "test_csv_tables": {
        "test_a_number_that_became_a_date_is_refused_with_its_cube",
        "test_a_survey_saved_again_by_excel_chooses_the_same",
    },
    "test_db_enhance": {
        "test_a_checkpoint_of_another_network_is_refused",
        "test_a_db_enhance_checkpoint_gives_the_outputs_of_its_network",
    },
    "test_db_enhance_training": {
        "test_all_checkpoints_are_kept",
        "test_tensorboard_shows_patches_and_cubes",
        "test_the_log_has_dice_and_recall_of_training_and_validation",
    },
    "test_docs": {
        "test_code_blocks_run",
    },
    "test_evaluate": {
        "test_a_folder_against_a_folder",
        "test_a_phantom_cube_is_a_truth",
        "test_an_existing_report_is_replaced_only_when_asked",
        "test_blocked_equals_whole",
        "test_memory_does_not_grow_with_the_volume",
        "test_trees_in_another_unit_are_said_and_refused",
        "test_where_no_voxel_size_is_stated_it_is_said",
    },
    "test_evaluate_hostile": {
        "test_a_report_never_removes_what_it_did_not_make",
        "test_folders_of_trace_are_the_trees_of_one_volume",
    },
    "test_evaluate_traced": {
        "test_every_method_has_trees_and_the_prediction_has_those_of_trace",
        "test_without_it_nothing_is_traced",
    },
    "test_holes": {
        "test_a_survey_of_a_volume_notes_cubes_without_a_measurement",
        "test_sensitivity_is_tried_on_what_is_there",
        "test_survey_and_select_take_them_as_masked",
        "test_train_reads_them_as_background",
    },
    "test_inverted": {
        "test_a_pool_is_warned_of_in_one_line",
        "test_a_survey_carries_it_to_select_and_train",
        "test_a_training_set_says_it_by_a_column_or_an_option",
        "test_predict_finds_dark_neurites_and_keeps_that_it_was_asked_to",
        "test_sensitivity_and_adapt_read_it_inverted",
        "test_several_workers_say_it_once",
        "test_trace_and_evaluate_read_the_raw_image_as_the_prediction_did",
    },
    "test_label": {
        "test_a_killed_run_is_resumed",
        "test_a_label_thinned_gives_the_trees_back_within_a_voxel",
        "test_training_survey_and_evaluate_read_the_voxels_of_label",
    },
    "test_label_values": {
        "test_an_inverted_mask_is_found_by_every_verb_in_the_same_words",
        "test_the_command_line_wins_over_a_column_and_says_so",
    },
    "test_laws": {
        "test_no_modules_import_each_other_in_a_circle",
    },
    "test_masks": {
        "test_a_neurite_that_runs_along_a_mask_is_found",
        "test_every_box_of_a_masked_volume_has_exactly_the_values_of_the_whole",
        "test_masked_voxels_read_as_background_and_the_tissue_as_without",
        "test_nothing_is_detected_in_pure_noise_under_masks",
    },
    "test_noise_units": {
        "test_every_box_has_exactly_the_values_of_the_whole",
    },
    "test_patchwork": {
        "test_blocks_of_patches_and_a_region_have_the_numbers_of_the_whole",
        "test_predict_gives_its_numbers_on_a_volume_smaller_than_a_patch",
        "test_two_devices_write_what_one_writes",
    },
    "test_phantom_verbs": {
        "test_a_brain_holds_what_its_tree_says",
        "test_a_brain_is_the_same_however_it_is_cut",
        "test_a_brain_of_processes_is_that_of_one",
        "test_a_killed_brain_is_resumed_to_the_same",
        "test_a_pool_grows_and_each_cube_depends_on_its_index_alone",
        "test_coarser_levels_of_a_label_hold_its_codes_alone",
        "test_real_morphologies_render",
        "test_the_brain_command",
        "test_what_cannot_be_is_refused",
    },
    "test_place": {
        "test_evaluate_places_whole_brain_trees_by_option_translation_and_record",
        "test_exported_cubes_remember_where_they_were_cut",
    },
    "test_predict": {
        "test_a_corrupt_chunk_is_named_the_rest_completes_and_a_resume_mends_it",
        "test_a_full_disk_stops_the_run_and_leaves_nothing_that_looks_whole",
        "test_a_halo_that_is_too_small_shows_a_seam",
        "test_a_region_equals_the_same_part_of_the_whole",
        "test_an_imported_checkpoint_gives_its_numbers",
        "test_another_model_setting_or_input_is_refused",
        "test_bad_input_gets_a_clear_error",
        "test_blocked_equals_whole_in_mirrored_views",
        "test_blocked_equals_whole_where_the_halo_covers_the_receptive_field",
        "test_ctrl_c_stops_cleanly_and_says_how_to_resume",
        "test_killed_and_resumed_equals_unbroken_byte_for_byte",
        "test_picture_and_record_lie_beside_the_output",
        "test_serial_equals_processes_and_every_kind_of_output",
        "test_the_gate_skips_empty_tiles_and_records_them",
        "test_two_processes_never_work_on_one_output",
        "test_what_the_gate_skips_holds_nothing_the_bundled_model_finds",
    },
    "test_rasterise": {
        "test_a_real_neuron_is_drawn_whole",
    },
    "test_select": {
        "test_a_copy_under_another_name_is_excluded",
        "test_a_large_share_that_validates_leaves_one_to_train",
        "test_a_selection_is_a_training_manifest",
        "test_a_traced_tree_is_exported_drawn",
        "test_boxes_of_a_volume_are_excluded_where_they_overlap",
        "test_budgets_of_voxels_and_minutes",
        "test_copies_constant_and_held_out_cubes_are_left_out",
        "test_cubes_are_exported_with_empty_labels",
        "test_dhpr_takes_the_reference_cubes",
        "test_labels_that_exist_are_exported",
        "test_one_cube_is_said_to_be_one",
        "test_rows_of_sample_information_are_excluded_by_position",
        "test_strata_get_their_share",
        "test_the_same_selection_twice_is_the_same_file",
        "test_what_exists_is_not_overwritten",
        "test_what_is_annotated_already_is_excluded",
        "test_what_is_to_be_excluded_and_matches_nothing_is_told",
        "test_what_was_exported_is_excluded",
    },
    "test_select_db_enhance": {
        "test_its_lists_and_patches_are_read_and_trained_on",
        "test_listed_patches_are_asked_for_where_none_are_listed",
    },
    "test_sensitivity": {
        "test_a_report_is_one_page_with_its_numbers",
        "test_adapting_keeps_only_a_better_model",
        "test_recall_rises_with_snr_and_is_right_where_it_is_known",
    },
    "test_survey": {
        "test_a_cube_is_measured_alike_in_a_volume_and_in_a_pool",
        "test_a_damaged_file_is_told_once",
        "test_a_killed_survey_goes_on",
        "test_a_legend_travels_from_the_survey_to_training",
        "test_a_model_tells_its_uncertainty",
        "test_a_resume_does_the_failed_cubes_alone",
        "test_a_volume_is_cut_into_a_grid",
        "test_an_unreadable_cube_is_named_and_the_rest_surveyed",
        "test_damaged_cubes_are_named_and_the_others_surveyed",
        "test_db_enhance_tables_are_matched_by_their_numbers",
        "test_degenerate_cubes_are_defined_and_noted",
        "test_parquet_holds_the_same",
        "test_the_order_of_files_changes_nothing",
        "test_the_same_survey_twice_is_the_same_file",
        "test_two_workers_equal_one",
        "test_what_exists_is_not_overwritten",
        "test_what_lies_outside_tissue_is_left_out",
    },
    "test_swc": {
        "test_an_option_that_contradicts_the_header_wins_and_it_is_said",
    },
    "test_trace_blocks": {
        "test_a_millimetre_of_dim_axon_is_traced_whole",
        "test_blocked_equals_whole",
        "test_blocks_thin_as_the_whole_does",
        "test_middle_lines_are_the_same_in_any_blocks",
        "test_with_a_raw_image_too_blocked_equals_whole",
    },
    "test_trace_verb": {
        "test_a_folder_has_a_file_a_tree",
        "test_a_kill_leaves_nothing_that_looks_whole",
        "test_a_trace_never_removes_what_it_did_not_make",
        "test_a_wrong_setting_is_named",
        "test_morphio_and_neurom_read_the_same",
        "test_one_file_and_what_lies_beside_it",
        "test_processes_find_the_same_trees",
        "test_a_stopped_trace_goes_on_to_the_same_trees",
        "test_what_exists_is_not_overwritten",
        "test_what_predict_left_stays",
    },
    "test_tree_laws": {
        "test_blocks_of_odd_voxels_give_the_very_places_of_the_whole",
        "test_trees_in_voxels_are_read_back_as_those_in_micrometres",
    },
    "test_words": {
        "test_names_of_variables_are_in_plain_words",
        "test_no_private_words_in_the_package",
    },
}


def is_slow(file, test):
    """Tell whether a test, named without its parameters, is slow."""
    return file in FILES or test in TESTS.get(file, ())
