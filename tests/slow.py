"""The slow tests: `make check` leaves them out, `make test` runs them.

Files that train, predict with the bundled model or start a process in nearly every test; and
single tests that take more than about two CPU seconds.
"""

FILES = frozenset(
    {
        "test_field",
        "test_model",
        "test_notebook",
        "test_terminal",
        "test_testset",
        "test_together",
        "test_train",
    }
)

TESTS = {
    "test_blockwise": {
        "test_a_block_that_always_fails_is_named_and_the_others_complete",
        "test_a_block_that_kills_its_workers_is_named_and_the_others_complete",
        "test_a_second_ctrl_c_ends_the_workers_at_once",
        "test_a_worker_that_is_killed_once_costs_no_block",
        "test_ctrl_c_ends_cleanly_and_can_be_resumed",
        "test_workers_that_all_die_end_the_run",
    },
    "test_channel": {
        "test_a_survey_of_a_channel_is_that_of_the_channel_alone",
        "test_a_volume_of_several_channels_is_cut_into_cubes_of_one",
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
        "test_a_survey_saved_again_by_excel_chooses_the_same",
    },
    "test_db_enhance": {
        "test_a_checkpoint_of_another_network_is_refused",
        "test_a_db_enhance_checkpoint_gives_the_outputs_of_its_network",
    },
    "test_db_enhance_training": {
        "test_all_checkpoints_are_kept",
    },
    "test_docs": {
        "test_code_blocks_run",
    },
    "test_evaluate": {
        "test_blocked_equals_whole",
        "test_memory_does_not_grow_with_the_volume",
    },
    "test_evaluate_hostile": {
        "test_a_report_never_removes_what_it_did_not_make",
    },
    "test_evaluate_traced": {
        "test_every_method_has_trees_and_the_prediction_has_those_of_trace",
    },
    "test_holes": {
        "test_sensitivity_is_tried_on_what_is_there",
        "test_train_reads_them_as_background",
    },
    "test_inverted": {
        "test_a_pool_is_warned_of_in_one_line",
        "test_a_survey_carries_it_to_select_and_train",
        "test_a_training_set_says_it_by_a_column_or_an_option",
        "test_sensitivity_and_adapt_read_it_inverted",
        "test_several_workers_say_it_once",
        "test_trace_and_evaluate_read_the_raw_image_as_the_prediction_did",
    },
    "test_label": {
        "test_a_label_thinned_gives_the_trees_back_within_a_voxel",
        "test_training_survey_and_evaluate_read_the_voxels_of_label",
    },
    "test_label_values": {
        "test_an_inverted_mask_is_found_by_every_verb_in_the_same_words",
        "test_the_command_line_wins_over_a_column_and_says_so",
    },
    "test_masks": {
        "test_a_neurite_that_runs_along_a_mask_is_found",
        "test_masked_voxels_read_as_background_and_the_tissue_as_without",
        "test_nothing_is_detected_in_pure_noise_under_masks",
    },
    "test_noise_units": {
        "test_every_box_has_exactly_the_values_of_the_whole",
    },
    "test_patchwork": {
        "test_blocks_of_patches_and_a_region_have_the_numbers_of_the_whole",
        "test_two_devices_write_what_one_writes",
    },
    "test_phantom_verbs": {
        "test_a_brain_holds_what_its_tree_says",
        "test_a_brain_is_the_same_however_it_is_cut",
        "test_a_brain_of_processes_is_that_of_one",
        "test_a_killed_brain_is_resumed_to_the_same",
        "test_a_pool_grows_and_each_cube_depends_on_its_index_alone",
        "test_real_morphologies_render",
    },
    "test_place": {
        "test_evaluate_places_whole_brain_trees_by_option_translation_and_record",
        "test_exported_cubes_remember_where_they_were_cut",
    },
    "test_predict": {
        "test_a_corrupt_chunk_is_named_the_rest_completes_and_a_resume_mends_it",
        "test_a_full_disk_stops_the_run_and_leaves_nothing_that_looks_whole",
        "test_an_imported_checkpoint_gives_its_numbers",
        "test_blocked_equals_whole_in_mirrored_views",
        "test_blocked_equals_whole_where_the_halo_covers_the_receptive_field",
        "test_ctrl_c_stops_cleanly_and_says_how_to_resume",
        "test_killed_and_resumed_equals_unbroken_byte_for_byte",
        "test_serial_equals_processes_and_every_kind_of_output",
        "test_the_gate_skips_empty_tiles_and_records_them",
        "test_what_the_gate_skips_holds_nothing_the_bundled_model_finds",
    },
    "test_rasterise": {
        "test_a_real_neuron_is_drawn_whole",
    },
    "test_select": {
        "test_a_selection_is_a_training_manifest",
        "test_a_traced_tree_is_exported_drawn",
        "test_boxes_of_a_volume_are_excluded_where_they_overlap",
        "test_budgets_of_voxels_and_minutes",
        "test_copies_constant_and_held_out_cubes_are_left_out",
        "test_cubes_are_exported_with_empty_labels",
        "test_the_same_selection_twice_is_the_same_file",
        "test_what_exists_is_not_overwritten",
        "test_what_is_annotated_already_is_excluded",
        "test_what_was_exported_is_excluded",
    },
    "test_select_db_enhance": {
        "test_its_lists_and_patches_are_read_and_trained_on",
    },
    "test_sensitivity": {
        "test_a_report_is_one_page_with_its_numbers",
        "test_adapting_keeps_only_a_better_model",
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
        "test_degenerate_cubes_are_defined_and_noted",
        "test_parquet_holds_the_same",
        "test_the_order_of_files_changes_nothing",
        "test_two_workers_equal_one",
        "test_what_exists_is_not_overwritten",
        "test_what_lies_outside_tissue_is_left_out",
    },
    "test_swc": {
        "test_an_option_that_contradicts_the_header_wins_and_it_is_said",
    },
    "test_trace_blocks": {
        "test_a_millimetre_of_dim_axon_is_traced_whole",
    },
    "test_trace_verb": {
        "test_a_kill_leaves_nothing_that_looks_whole",
        "test_a_wrong_setting_is_named",
        "test_morphio_and_neurom_read_the_same",
        "test_one_file_and_what_lies_beside_it",
        "test_what_exists_is_not_overwritten",
    },
}


def is_slow(file, test):
    """Tell whether a test, named without its parameters, is slow."""
    return file in FILES or test in TESTS.get(file, ())
