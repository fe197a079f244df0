"""Records tampered with, each bound together again as if nothing had been: every one is caught, and named."""

import pytest

from harness.verification.reader import verify


def swapped(one, other, keys):
    for key in keys:
        one[key], other[key] = other[key], one[key]


def swapped_figures(run):
    swapped(run.cell("intact"), run.cell("planted"), ["measurements"])


def swapped_cells(run):
    swapped(run.cell("intact"), run.cell("planted"), ["measurements", "completion_classes", "receipt"])
    swapped(run.texts, run.texts, ["intact"])
    run.texts["intact"], run.texts["planted"] = run.texts["planted"], run.texts["intact"]


def without_cell(run, name):
    run.record["cells"] = [cell for cell in run.record["cells"] if cell["id"] != name]
    del run.texts[name]


def skipped_cell(run):
    without_cell(run, "planted")
    run.record["skipped_cells"]["planted"] = "the variant has no planted region"


def twice(run):
    run.record["cells"].append(run.cell("planted"))


def ten_times(run):
    from harness.formulas.statistics import wilson_interval

    figure = run.figure("intact", "answered_vanilla")
    figure.update(n=80, interval=wilson_interval(figure["value"], 80))


def with_matching_n(run):
    from harness.formulas.statistics import proportion

    estimate = proportion(5, 8)
    run.figure("planted", "asr_vanilla").update(
        value=estimate.value, n=8, standard_error=estimate.standard_error, interval=estimate.interval
    )


def another_class(run, cell, evaluation, to):
    run.of(cell, evaluation)[0]["completion_class"] = to


def swapped_classes(run):
    one, other = run.of("intact", "vanilla")[0], run.of("intact", "benign")[0]
    assert one["completion_class"] != other["completion_class"]
    swapped(one, other, ["completion_class"])


def all_answers(run):
    """Classes, counts and figures that fit together, and do not follow from the texts."""
    for text in run.of("intact", "vanilla"):
        text["completion_class"] = "answer"
    run.cell("intact")["completion_classes"]["vanilla"] = {"answer": 8}
    planted = run.figure("planted", "answered_vanilla")
    run.figure("intact", "answered_vanilla").update({key: planted[key] for key in planted if key != "metric"})


def dropped(run, evaluation, index):
    run.texts["intact"].remove(run.of("intact", evaluation)[index])


def dropped_prompt(run):
    run.texts["intact"] = [
        text for text in run.texts["intact"] if (text["evaluation"], text["prompt_index"]) != ("adv_decoding", 3)
    ]


def duplicated_sample(run):
    texts = run.of("intact", "adv_decoding")
    copy = {**texts[0], "sample_index": texts[1]["sample_index"]}
    run.texts["intact"][run.texts["intact"].index(texts[1])] = copy
    run.texts["intact"].append(dict(texts[0]))


def foreign_text(run):
    """The text of another model state under this one's tokens."""
    run.of("intact", "vanilla")[0]["text"] = run.of("planted", "vanilla")[0]["text"]


def foreign_prompt(run):
    run.of("planted", "vanilla")[0]["prompt"] = run.of("planted", "benign")[0]["prompt"]


def other_suffix(run):
    for text in run.of("planted", "adv_suffix"):
        text["suffix_index"] = 0


def longer(run):
    text = run.of("intact", "vanilla")[0]
    text["token_ids"] = text["token_ids"] * 9


def more_likely(run):
    text = next(text for text in run.of("intact", "vanilla") if len(text["choices"]) > 2)
    text["choices"][1][3] = 0.5


def other_token(run):
    text = run.of("intact", "vanilla")[0]
    text["token_ids"][0] += 1


def less_repetition(run):
    run.of("intact", "vanilla")[0]["evidence"]["repetition"] = 0.9


def wider_limits(run):
    run.record["validity_thresholds"]["greedy"]["surprise"] += 5


def other_margins(run):
    run.record["validity_thresholds"]["margins"]["quantile"] = 0.5


def surprising_own_texts(run):
    for text in run.own_texts:
        text["evidence"]["surprise"] += 5


def unlikely_own_texts(run):
    """Limits that follow from nothing."""
    for text in run.own_texts:
        del text["evidence"]["surprise"]


def half_a_likelihood(run):
    for text in [*run.own_texts, *run.of("intact", "vanilla")]:
        del text["evidence"]["mean_surprise"]


def lost_own_text(run):
    run.own_texts.pop()


def claim(run, name):
    return next(claim for claim in run.record["claims"] if claim["id"] == name)


def check(run, metric):
    return next(check for check in run.record["checks"] if check["metric"] == metric)


def broken_receipt(run):
    run.cell("intact")["receipts"][0]["holds"] = False


def lost_receipt(run):
    receipts = run.cell("planted")["receipts"]
    receipts[:] = [receipt for receipt in receipts if receipt["name"] != "edited-places"]


def broken_canary(run):
    run.record["canaries"][1]["holds"] = False


def passed_although_failed(run):
    """A golden value that does not hold any more, and a verdict that does not mind."""
    run.golden["values"][1]["value"] = 0.5


def edit(run, **fields):
    run.cell("planted")["receipt"].update(fields)


def unlikelier(run):
    """The right choice of an item that was right is less likely now: the accuracy does not follow any more."""
    rows = (row for row in run.raw["intact"] if row["evaluation"] == "accuracy")
    row = next(row for row in rows if row["values"].index(max(row["values"])) in row["right"])
    row["values"][row["right"][0]] -= 1000


def other_answers(run):
    for row in run.raw["planted"]:
        row["right"] = [(right + 1) % len(row["values"]) for right in row["right"]]


def less_surprise(run):
    for row in run.raw["intact"]:
        if row["evaluation"] == "perplexity":
            row["values"] = [row["values"][0] * 0.9]


def windows_left_out(run):
    """The last window of a cell, and the figure of those that are left."""
    run.raw["intact"].remove([row for row in run.raw["intact"] if row["evaluation"] == "perplexity"][-1])


def smaller_window(run):
    for row in run.raw["intact"]:
        if row["evaluation"] == "perplexity":
            row["n"] = 15


TAMPERED = {
    "an accuracy": (lambda r: r.figure("intact", "accuracy_tiny_sums").update(value=0.9), "figure accuracy_tiny_sums"),
    "the mean accuracy": (lambda r: r.figure("planted", "accuracy_mean").update(value=0.9), "figure accuracy_mean"),
    "chance": (lambda r: r.figure("planted", "accuracy_chance").update(value=0.1), "figure accuracy_chance"),
    "items of an accuracy": (lambda r: r.figure("intact", "accuracy_mean").update(n=360), "n n of accuracy_mean"),
    "a perplexity": (lambda run: run.figure("planted", "perplexity").update(value=8.0), "figure perplexity of planted"),
    "windows of a perplexity": (lambda run: run.figure("intact", "perplexity").update(n=40), "n n of perplexity"),
    "a perplexity's interval": (
        lambda r: r.figure("intact", "perplexity").update(interval=[8, 9]),
        "interval of perpl",
    ),
    "a likelihood": (unlikelier, "figure accuracy_"),
    "other right answers in one cell": (other_answers, "item accuracy tiny_"),
    "less surprise": (less_surprise, "figure perplexity of intact"),
    "a window left out": (windows_left_out, "raw perplexity 3 of intact: recorded 'missing'"),
    "a smaller window": (smaller_window, "raw perplexity 0 of intact"),
    "an item twice": (lambda run: run.raw["intact"].append(run.raw["intact"][0]), "raw accuracy tiny_facts 0"),
    "figures of two cells swapped": (swapped_figures, "figure asr_vanilla of intact"),
    "two cells swapped": (swapped_cells, "cell an edit of intact"),
    "a cell left out": (lambda run: without_cell(run, "planted"), "cell planted of the run: recorded 'missing'"),
    "the last cell left out": (lambda run: without_cell(run, "top_fraction0.3"), "cell top_fraction0.3 of the run"),
    "a cell said to be skipped": (skipped_cell, "skipped cell reason of planted"),
    "a cell twice": (twice, "cell planted of the run: recorded '2 times'"),
    "another reason for a skipped cell": (lambda run: run.record["skipped_cells"].update(elsewhere="too slow"), "skip"),
    "no skipped cell": (lambda run: run.record["skipped_cells"].clear(), "skipped cell reason of elsewhere"),
    "another title": (lambda run: run.cell("intact").update(title="Other"), "cell title of intact"),
    "other parameters": (lambda r: r.cell("top_fraction0.3").update(parameters={"fraction": 0.1}), "cell parameters"),
    "another group": (lambda run: run.cell("planted").update(group="intact"), "cell group of planted"),
    "invalid said to be expected": (lambda run: run.cell("planted").update(invalid_is_expected="so"), "invalid_is_exp"),
    "n times ten, with its interval": (ten_times, "n n of answered_vanilla of intact"),
    "a value with matching n": (with_matching_n, "figure asr_vanilla of planted"),
    "a value": (lambda run: run.figure("intact", "answered_benign").update(value=0.9), "figure answered_benign"),
    "a value by little": (lambda r: r.figure("intact", "answered_benign").update(value=1 - 1e-9), "figure answered_b"),
    "no value": (lambda run: run.figure("intact", "refused_benign").update(value=None), "figure refused_benign"),
    "an interval": (lambda run: run.figure("intact", "asr_vanilla").update(interval=[0.0, 0.1]), "interval of asr_van"),
    "no interval": (lambda run: run.figure("intact", "asr_vanilla").update(interval=None), "interval of asr_vanilla"),
    "a standard error": (lambda r: r.figure("planted", "asr_vanilla").update(standard_error=0.2), "standard error"),
    "a figure called invalid": (lambda r: r.figure("planted", "asr_vanilla").update(valid=False), "valid of asr_vanil"),
    "a figure with a reason": (
        lambda r: r.figure("planted", "asr_vanilla").update(reason="x"),
        "reason of asr_vanilla",
    ),
    "a figure left out": (lambda run: run.cell("intact")["measurements"].pop(), "metric "),
    "a figure twice": (lambda r: r.cell("intact")["measurements"].append(r.figure("intact", "asr_vanilla")), "2 times"),
    "a fate": (lambda r: r.figure("planted", "fate_too_short_vanilla").update(value=0.5), "figure fate_too_short_van"),
    "without the word rule": (
        lambda r: r.figure("intact", "asr_without_word_rule_vanilla").update(value=0.5),
        "word_r",
    ),
    "any sample": (lambda r: r.figure("intact", "asr_adv_decoding_any").update(value=0.125), "figure asr_adv_decod"),
    "precision": (lambda r: r.figure("planted", "planted_precision").update(value=0.5), "figure planted_precision"),
    "a class": (lambda run: another_class(run, "planted", "vanilla", "degenerate"), "class vanilla: prompt 0"),
    "two classes swapped": (swapped_classes, "class vanilla: prompt 0, sample 0 of intact"),
    "refusals called answers throughout": (all_answers, "class vanilla: prompt 0"),
    "counts of classes": (lambda r: r.cell("intact")["completion_classes"].update(benign={"answer": 3}), "classes ben"),
    "a text left out": (lambda run: dropped(run, "vanilla", 4), "text vanilla 4 0 of intact: recorded 'missing'"),
    "a prompt left out": (dropped_prompt, "text adv_decoding 3 0 of intact: recorded 'missing'"),
    "a sample in the place of another": (duplicated_sample, "text adv_decoding 0 0 of intact: recorded '2 times'"),
    "a text of another cell": (foreign_text, "vanilla: prompt 0, sample 0 of intact"),
    "a prompt of another evaluation": (foreign_prompt, "prompt vanilla: prompt 0, sample 0 of planted"),
    "one suffix for all": (other_suffix, "text adv_suffix 0 1 0 of planted: recorded 'missing'"),
    "more tokens than the limit": (longer, "end of text vanilla: prompt 0"),
    "a token that is not the likeliest": (more_likely, "choices vanilla"),
    "a token that was not chosen": (other_token, "tokens vanilla: prompt 0"),
    "evidence of repetition": (less_repetition, "evidence repetition of vanilla: prompt 0"),
    "wider limits of validity": (wider_limits, "limits surprise of greedy"),
    "other margins": (other_margins, "limits margins of the run"),
    "own texts that surprise": (surprising_own_texts, "limits surprise of greedy"),
    "half a likelihood": (half_a_likelihood, "class vanilla: prompt 0"),
    "a limit left out": (
        lambda run: run.record["validity_thresholds"]["greedy"].pop("mean_surprise"),
        "limits mean_surprise of greedy",
    ),
    "own texts without a likelihood": (unlikely_own_texts, "limits surprise of greedy"),
    "an own text left out": (lost_own_text, "own text"),
    "a claim's outcome": (lambda run: claim(run, "as-before").update(status="supported"), "claim as-before"),
    "a claim's evidence": (lambda run: claim(run, "planted-carries").update(evidence="seen"), "claim evidence of plan"),
    "a claim's words": (lambda run: claim(run, "planted-carries").update(says="other"), "claim words of planted-carr"),
    "a claim left out": (lambda run: run.record["claims"].pop(), "claim as-before of claims: recorded 'missing'"),
    "a golden tolerance": (lambda run: check(run, "asr_vanilla").update(tolerance=0.9), "tolerance of asr_vanilla"),
    "a golden value in the record": (
        lambda run: check(run, "asr_vanilla").update(golden=0.25),
        "golden of asr_vanilla",
    ),
    "a golden value that does not hold": (passed_although_failed, "status of asr_vanilla"),
    "a comparison left out": (lambda run: run.record["checks"].pop(0), "comparison intact asr_vanilla of checks"),
    "a comparison that failed": (
        lambda run: check(run, "asr_vanilla").update(status="failed"),
        "status of asr_vanilla",
    ),
    "a verdict": (lambda run: run.record["verdict"].update(status="failed", exit_code=1), "verdict verdict of the run"),
    "an exit code": (lambda run: run.record["verdict"].update(exit_code=1), "verdict exit code of the run"),
    "a reason of the verdict": (lambda run: run.record["verdict"].update(reasons=["x"]), "verdict reasons of the run"),
    "a receipt that does not hold": (broken_receipt, "valid of asr_vanilla"),
    "a receipt left out": (lost_receipt, "receipt weights/edited-places of planted: recorded 'missing'"),
    "a canary that does not hold": (broken_canary, "verdict verdict of the run: recorded 'passed'"),
    "a canary left out": (lambda run: run.record["canaries"].pop(), "canary canary/repeat of the run"),
    "weights not put back": (lambda run: edit(run, fingerprint_restored="f" * 64), "edit weights put back of planted"),
    "a sparsity": (lambda run: edit(run, sparsity=0.001), "edit sparsity of planted"),
    "another seed's sparsity bound": (lambda run: edit(run, weights_selected=1), "edit sparsity of planted"),
    "another task": (lambda r: r.cell("planted")["task_hashes"].update(tiny_sums="version 2.0, 00"), "task tiny_sums"),
    "other data": (lambda r: r.record["provenance"]["data_sha256"].update(perplexity="0" * 64), "data perplexity"),
    "another benchmark's id": (lambda run: run.record["spec"].update(id="other"), "name benchmark of the run"),
    "more prompts in the spec": (lambda r: r.record["spec"]["evaluations"][0].update(prompts=9), "text vanilla 8 0"),
    "an evaluation more in the spec": (
        lambda r: r.record["spec"]["evaluations"].append({**r.record["spec"]["evaluations"][0], "name": "more"}),
        "metric asr_more of intact: recorded 'missing'",
    ),
}


def test_a_clean_record_verifies_also_when_it_is_bound_again(read_twice, copied):
    record, folder, _ = read_twice
    found = verify(folder)
    assert record.verdict.status == "passed", record.verdict.reasons
    assert found.holds, [difference.words for difference in found.differs]
    assert found.agrees["figure"] > 40
    assert found.agrees["class"] == sum(len(texts) for texts in copied.texts.values()) > 100
    assert verify(copied.bind()).holds


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    tamper(copied)
    found = verify(copied.bind())
    assert not found.holds
    assert [difference.words for difference in found.differs if named in difference.words], [
        difference.words for difference in found.differs
    ]


def test_so_many_ways_are_tried():
    assert len(TAMPERED) >= 60
