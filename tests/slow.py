"""The slow tests, by measured duration: `make check` leaves them out, `make test` runs them.

From the fifty longest of one whole run (`pytest --durations=50`), and the files that train or
predict with the bundled model in nearly every test.
"""

FILES = frozenset(
    {"test_field", "test_model", "test_notebook", "test_testset", "test_together", "test_train"}
)

TESTS = {
    "test_docs": {"test_code_blocks_run"},
    "test_label": {"test_training_survey_and_evaluate_read_the_voxels_of_label"},
    "test_phantom_verbs": {
        "test_a_brain_of_processes_is_that_of_one",
        "test_a_killed_brain_is_resumed_to_the_same",
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
