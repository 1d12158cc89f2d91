"""`docs/engine.md` says what the built-in engine does and does not; it is written from these tests.

A row of `DOES` names the test that shows it; whether the Pulumi CLI passes the same test is read off the test itself.
What is refused is read off the engine's own tables. IACORCH_REGENERATE=1 writes the page anew.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

from iacorch.infra.engine.builtin.program import monitor
from iacorch.infra.engine.builtin.values import state
from tests.infra.engine import (
    test_bad_input,
    test_command,
    test_conformance,
    test_crashes,
    test_docker_crashes,
    test_locks,
    test_options,
    test_remote,
    test_two_engines,
)

PAGE = Path(__file__).parents[3] / "docs" / "engine.md"
MODULES = (
    test_conformance, test_options, test_remote, test_two_engines, test_crashes, test_locks, test_docker_crashes,
    test_command, test_bad_input,
)  # fmt: skip

DOES = {
    "create once, leave alone what is as wanted, outputs": "up_makes_everything_once_and_again_changes_nothing",
    "preview": "a_preview_makes_nothing",
    "update, and what depends on it": "a_changed_property_is_an_update_and_its_dependents_follow",
    "replace: create before delete": "a_replacement_creates_before_it_deletes",
    "replace: delete before create, with dependents": "delete_before_replace_takes_the_dependents_that_must_go",
    "`delete_before_replace`": "the_program_decides_about_delete_before_replace",
    "delete what the program drops": "what_the_program_drops_is_deleted_after_the_rest",
    "destroy": "destroy_deletes_in_reverse_order",
    "`protect`": "protected_resources_are_neither_deleted_nor_replaced",
    "`ignore_changes`": "ignored_changes_stay_as_they_were",
    "`aliases`, also inherited from parents": "aliases_find_a_resource_under_its_former_name",
    "children and dependents of what was renamed": "children_and_dependents_of_a_renamed_resource_follow_it",
    "`replace_on_changes`": "replace_on_changes_makes_an_update_a_replacement",
    "`retain_on_delete`": "retain_on_delete_forgets_and_leaves",
    "`deleted_with`": "deleted_with_is_not_deleted_where_the_other_goes_too",
    "`import_`": "import_takes_over_what_is_there",
    "`get`": "get_reads_what_belongs_to_others_and_never_touches_it",
    "`custom_timeouts`, for reads too": "a_read_that_takes_longer_than_the_program_allows",
    "components, explicit and inherited providers": "components_and_explicit_providers",
    "functions of providers, plain and with outputs": "functions_of_providers_plain_and_with_outputs",
    "transforms of resources and of the stack": "transforms_change_registrations_from_the_inside_out",
    "transforms of function calls": "transforms_of_function_calls",
    "stack references": "stack_references_show_the_outputs_of_another_stack",
    "components that live in a provider (Construct)": "components_that_live_in_a_provider",
    "methods of resources (Call)": "methods_of_resources",
    "assets and archives, with Pulumi's hashes": "archives_have_the_hashes_that_pulumi_gives_them",
    "dynamic providers": "dynamic_providers_run_the_program_s_own_code",
    "configuration and its secrets": "configuration_and_its_secrets_reach_program_and_provider",
    "`--target`": "targets_limit_what_is_touched",
    "`--exclude`": "excluded_resources_are_left_alone",
    "refresh": "refresh_sees_what_changed_and_what_is_gone_and_up_mends_it",
    "`--refresh`": "up_with_refresh_first_mends_in_one_go",
    "`--expect-no-changes`": "expecting_no_changes_fails_when_there_are_some",
    "`--event-log`": "an_event_log_has_every_event_and_no_secret",
    "half-made resources are resumed": "half_made_resources_keep_their_id_and_are_resumed",
    "history, stacks, outputs": "stacks_history_and_outputs",
    "state that the other engine continues, both ways": "each_engine_finds_the_state_of_the_other_clean",
    "Ctrl-C finishes and records what has begun": "ctrl_c_ends_with_130_and_a_whole_state",
    "`kill -9` of the engine: nothing is lost": "kill_9_at_many_points_never_loses_a_thing",
    "`kill -9` with real containers: nothing is doubled": ("nothing_is_made_twice_however_often_the_engine_is_killed"),
    "plugins that outlive a killed engine": "a_run_waits_for_the_children_of_one_that_was_killed",
    "two writers": "a_lock_that_may_be_held_stops_a_second_writer",
    "a full disk": "a_full_disk_loses_nothing_and_the_next_run_goes_on",
    "a wrong passphrase": "a_wrong_or_missing_passphrase",
}
ELSEWHERE = (
    "backends other than file://", "debugging a plugin", "update plans and policy packs",
    "secrets providers other than a passphrase", "programs in other languages than Python",
    "downloading plugins", *(f"`{name}` in the state" for name in state._FOREIGN),
)  # fmt: skip


def page() -> str:
    functions = {name: f for module in MODULES for name, f in inspect.getmembers(module, inspect.isfunction)}
    rows = []
    for feature, name in DOES.items():
        test = functions[f"test_{name}"]
        both = "engine" in inspect.signature(test).parameters or "each_engine" in name
        rows.append(f"| {feature} | {'yes' if both else ''} |")
    refused = sorted({*monitor._REFUSED.values(), *monitor._RPC_NAMES.values(), *ELSEWHERE}, key=str.lower)
    return "\n".join(
        [
            "# What the built-in engine does, and what it leaves to the Pulumi CLI",
            "",
            "Written from the tests (`tests/infra/engine/test_page.py`); every row is a test. Where the second column",
            "says so, the very same test is run with the Pulumi CLI too, where that is installed (`pytest -m cli`).",
            "",
            "| It does | the CLI too |",
            "|---|---|",
            *rows,
            "",
            "It refuses by name, with a hint at the Pulumi CLI:",
            "",
            *(f"- {words}" for words in refused),
            "",
            "The CLI finds `pulumi-resource-iacorch` on PATH. The small docker provider that comes with the built-in",
            "engine also serves the CLI where pulumi-docker's plugin cannot be downloaded: put a script of the name",
            "`pulumi-resource-docker` on PATH that runs `python -m iacorch.infra.machines.docker_provider \"$@\"`.",
            "",
        ]
    )  # fmt: skip


def test_the_page_says_what_the_tests_show() -> None:
    wanted = page()
    if os.environ.get("IACORCH_REGENERATE"):
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "write it anew: IACORCH_REGENERATE=1 pytest tests/infra/engine/test_page.py"
