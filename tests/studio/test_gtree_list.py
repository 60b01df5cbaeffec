"""The list of what users of GTree do: each row of its page has tests of the studio's page that do it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = {
    "open 8- and 16-bit TIFFs": ["test_tiffs_of_8_and_16_bits_are_opened_by_a_click"],
    "open terabytes": ["test_a_terabyte_opens_with_what_the_screen_needs"],
    "drag and drop": [
        "test_a_file_that_is_dropped_on_the_page_comes_into_the_folder",
        "test_a_folder_that_is_dropped_is_refused_with_what_to_do",
    ],
    "give the voxel size on opening": ["test_the_voxel_size_is_asked_where_the_file_states_none"],
    "read a sub-box at a pyramid level": ["test_a_sub_box_is_read_at_a_pyramid_level"],
    "load a model, run it, see the probability": [
        "test_a_model_of_the_folder_is_loaded_and_run",
        "test_a_prediction_runs_to_its_end_and_lies_over_the_image",
    ],
    "rotate and zoom": ["test_the_projection_is_turned_and_zoomed"],
    "opacity and depth scale": [
        "test_opacity_dims_the_projection",
        "test_the_depth_scale_stretches_z_in_the_slices_and_the_projection",
    ],
    "slabs in three planes": ["test_a_slab_shows_the_maximum_of_its_planes"],
    "image and traces toggled": [
        "test_the_image_is_toggled_by_its_key",
        "test_trees_are_drawn_coloured_and_hidden",
    ],
    "threshold with a binary preview": ["test_the_threshold_acts_at_once_and_is_kept"],
    "find, add and remove somata": ["test_somata_are_found_added_and_removed"],
    "trace all": ["test_all_is_traced_by_a_job_and_then_checked"],
    "trace from a click, and over the next block": [
        "test_a_neurite_is_traced_from_a_click_and_over_all_blocks"
    ],
    "select a branch, a tree, a soma": [
        "test_a_tree_is_split_and_joined_by_a_second_click",
        "test_somata_are_found_added_and_removed",
    ],
    "delete, cut, draw, move, smooth, undo": ["test_each_edit_is_done_by_clicks_and_saved"],
    "merge and separate trees": ["test_a_tree_is_split_and_joined_by_a_second_click"],
    "set the root and the type": ["test_each_edit_is_done_by_clicks_and_saved"],
    "set the radius": ["test_each_edit_is_done_by_clicks_and_saved"],
    "several trees with colours and visibility": [
        "test_a_tree_keeps_its_colour_and_stays_hidden_over_an_edit"
    ],
    "compare two tracings": ["test_two_tracings_are_compared_and_their_difference_is_ringed"],
    "mark errors, list them, go there, tick them off": [
        "test_an_error_is_marked_listed_gone_to_and_checked"
    ],
    "snapshots": [
        "test_the_picture_holds_the_four_views",
        "test_the_movie_shows_the_projection_as_it_turns_once",
    ],
    "a folder in a batch": ["test_all_volumes_of_a_folder_are_enhanced_by_one_order"],
}


def rows():
    """The first column of the table on the page."""
    page = (ROOT / "docs/how-to/from-gtree.md").read_text()
    return re.findall(r"^\| (?!in GTree|---)([^|]+?) \|", page, re.MULTILINE)


def test_the_page_and_this_list_have_the_same_rows():
    assert rows() == list(TESTS)


@pytest.mark.parametrize("row", TESTS)
def test_each_row_is_done_in_the_browser(row):
    files = (ROOT / "studio-page/tests").glob("test_*.py")
    trees = [ast.parse(file.read_text()) for file in files]
    known = {f.name for tree in trees for f in tree.body if isinstance(f, ast.FunctionDef)}
    assert set(TESTS[row]) <= known
