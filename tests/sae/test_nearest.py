from sae.nearest import did_you_mean


def test_did_you_mean_of_a_near_name_asks() -> None:
    assert did_you_mean("layr", ["layer", "path"]) == ", did you mean 'layer'?"


def test_did_you_mean_of_keys_that_share_their_table_alone_asks_nothing() -> None:
    assert did_you_mean("trainer.adam_beta1", ["trainer.cuda_graph", "trainer"]) == "."


def test_did_you_mean_of_nothing_near_ends_the_sentence() -> None:
    assert did_you_mean("zzz", ["layer", "path"]) == "."
