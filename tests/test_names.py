"""The code uses the field's words: names that were replaced once do not come back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("common", "examples", "benchmarks", "tools")

ANYWHERE = {  # of functions, classes, arguments, variables, attributes
    # models
    "aim": "total_loss",
    "average_decay": "ema_decay",
    "bare": "strip_joiners",
    "eyes": "image_encoder, or classifier",
    "Eyes": "FeatureClassifier",
    "FrozenEyes": "FeatureGrids",
    "TinyEyes": "SmallConvNet",
    "halvings": "downsample",
    "heard": "the word in `inputs`, with `kept_words`",
    "least_count": "min_count",
    "look": "encode",
    "looking": "auxiliary_loss_weight",
    "made": "fake, or generated",
    "made_logits": "fake_logits",
    "map_sides": "feature_map_sizes",
    "matrix_step": "muon_rms_rate",
    "met": "hidden, the input of the energies",
    "most_words": "max_length",
    "normaliser": "log_z",
    "overview": "global_context, or mean_feature",
    "pick_up": "read_state",
    "plain_gru": "rnn_layer=keras.layers.GRU, in tests and benchmarks only",
    "put_down": "assign_state",
    "question": "query",
    "real_target": "real_label",
    "remember": "prepare_attention",
    "remind": "feed_global_context",
    "right_on_made": "fake_accuracy",
    "right_on_real": "real_accuracy",
    "say": "output_logits",
    "Seen": "Context",
    "seen": "context",
    "shown": "hidden, or visible",
    "spread": "uniform_nll, or deviation",
    "stepper": "make_decode_step",
    "surprise": "nll",
    "tell": "rnn_inputs",
    "told": "rnn_inputs, or requested",
    "verdict": "logit",
    "word_count": "min_count",
    "words_before": "shift_right",
    # common
    "_HOPELESS": "_MAX_CONSECUTIVE_FAILURES",
    "_TRIES": "_MAX_ATTEMPTS",
    "_WATCHED": "IS_INTERACTIVE",
    "_end_at": "_set_total_steps",
    "_is_at_end": "_is_done",
    "_why_finished": "_stop_reason",
    "command_of": "training_command",
    "delete_whole": "delete_atomically",
    "doomed": "trash",
    "FailedTry": "DownloadError",
    "fetch_all": "download_many",
    "in_short": "summary_line",
    "is_part": "is_temporary",
    "most_lines": "max_lines",
    "part_path": "temporary_path",
    "part_stem": "temporary_stem",
    "quick_to_stop": "without_autotuning",
    "require_share": "Fraction",
    "seal": "checksum",
    "sealed": "payload",
    "set_aside": "quarantine",
    "stale_parts": "leftover_temporary_paths",
    "StopSignals": "GracefulShutdown",
    "sweep_parts": "remove_temporary_files",
    "TimePlan": "TimeBudget",
    "training_state": "training_variables",
    "VERBS": "COMMANDS",
    "WarmUpAndDecay": "WarmupCosine",
}
FUNCTIONS_AND_CLASSES = {  # names that a variable may have
    "body": "iter_content",
    "flat": "flatten",
    "Progress": "TrainingState",
    "readable": "format_value",
    "Run": "RunDirectory",
    "shine": "overlay",
    "sweep": "remove_temporary_files",
    "Verb": "Command",
}
IN_COMMON = {"fault": "mismatch, error or problem", "faults": "errors", "pen": "draw", "tries": "attempts"}
PREFIXES = {"MOST_": "MAX_", "LEAST_": "MIN_", "LONGEST_": "MAX_"}  # of constants, with or without an underscore


def defined_names(source: str) -> list[tuple[int, str, bool]]:
    """Return line, name and "is it a function or class" of every name that the source defines.

    Names that it only uses are those of libraries (`file.tell()`), or defined somewhere else.
    """
    names = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.append((node.lineno, node.name, True))
            case ast.arg() | ast.keyword():
                names.append((node.lineno if isinstance(node, ast.arg) else node.value.lineno, node.arg or "", False))
            case ast.Name(ctx=ast.Store()):
                names.append((node.lineno, node.id, False))
            case ast.Attribute(ctx=ast.Store()):
                names.append((node.lineno, node.attr, False))
            case ast.alias():
                names.append((node.lineno, (node.asname or node.name).rpartition(".")[2], False))
    return names


def replacement(name: str, is_function_or_class: bool, path: str) -> str | None:
    """Return the name to use in place of a banned one, None if it is not banned."""
    if path.startswith("common/") and name in IN_COMMON:
        return IN_COMMON[name]
    if is_function_or_class and name in FUNCTIONS_AND_CLASSES:
        return FUNCTIONS_AND_CLASSES[name]
    for prefix, better in PREFIXES.items():
        if name.lstrip("_").startswith(prefix):
            return name.replace(prefix, better, 1)
    return ANYWHERE.get(name)


def banned(source: str, path: str = "") -> list[str]:
    return [
        f"{path}:{line}: {name}: use {better}"
        for line, name, kind in defined_names(source)
        if (better := replacement(name, kind, path))
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_replaced_names_do_not_come_back(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = [line for file in files for line in banned(file.read_text("utf-8"), str(file.relative_to(ROOT)))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "better"),
    [
        ("def look(): pass", "encode"),
        ("class Run: pass", "RunDirectory"),
        ("def f(told=1): pass", "rnn_inputs, or requested"),
        ("f(plain_gru=True)", "rnn_layer=keras.layers.GRU, in tests and benchmarks only"),
        ("for verdict in x: pass", "logit"),
        ("self.eyes = 1", "image_encoder, or classifier"),
        ("with f() as (a, seen): pass", "context"),
        ("[aim for aim in x]", "total_loss"),
        ("if (made := f()): pass", "fake, or generated"),
        ("_MOST_BYTES = 1", "_MAX_BYTES"),
        ("from common.io.files import part_path", "temporary_path"),
    ],
)
def test_every_kind_of_definition_is_found(source, better):
    [line] = banned(source)
    assert line.endswith(f"use {better}")


@pytest.mark.parametrize("source", ["file.tell()", "flat = 1", "x.position", "'look'", "# told", "looks = 1"])
def test_other_uses_of_these_words_are_allowed(source):
    assert banned(source) == []
