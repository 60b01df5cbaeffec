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
    "test_checkpoint": {
        "test_a_checkpoint_rebuilds_itself_in_a_fresh_process",
        "test_a_replacement_that_is_stopped_midway_leaves_the_old_model",
    },
    "test_cli": {"test_the_demo_finds_more_than_any_method_without_a_network"},
    "test_docs": {"test_code_blocks_run"},
    "test_label": {"test_training_survey_and_evaluate_read_the_voxels_of_label"},
    "test_phantom_verbs": {
        "test_a_brain_is_the_same_however_it_is_cut",
        "test_a_brain_of_processes_is_that_of_one",
        "test_a_killed_brain_is_resumed_to_the_same",
        "test_a_pool_grows_and_each_cube_depends_on_its_index_alone",
        "test_real_morphologies_render",
    },
    "test_predict": {
        "test_a_corrupt_chunk_is_named_the_rest_completes_and_a_resume_mends_it",
        "test_a_full_disk_stops_the_run_and_leaves_nothing_that_looks_whole",
        "test_an_imported_checkpoint_gives_its_numbers",
        "test_blocked_equals_whole_in_mirrored_views",
        "test_ctrl_c_stops_cleanly_and_says_how_to_resume",
        "test_killed_and_resumed_equals_unbroken_byte_for_byte",
        "test_serial_equals_processes_and_every_kind_of_output",
        "test_the_gate_skips_empty_tiles_and_records_them",
        "test_what_the_gate_skips_holds_nothing_the_bundled_model_finds",
    },
    "test_rasterise": {"test_a_real_neuron_is_drawn_whole"},
    "test_select": {"test_budgets_of_voxels_and_minutes"},
    "test_survey": {
        "test_a_cube_is_measured_alike_in_a_volume_and_in_a_pool",
        "test_a_damaged_file_is_told_once",
        "test_a_killed_survey_goes_on",
        "test_a_model_tells_its_uncertainty",
        "test_parquet_holds_the_same",
        "test_two_workers_equal_one",
    },
    "test_trace_blocks": {"test_a_millimetre_of_dim_axon_is_traced_whole"},
}


def is_slow(file, test):
    """Tell whether a test, named without its parameters, is slow."""
    return file in FILES or test in TESTS.get(file, ())
