"""Heads: what they learn, how sure they are, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genmat.errors import InputError
from genmat.models.property import Likelihood, PropertyDefinition, Transform
from genmat.models.property.model import HeadEnsemble
from genmat.models.property.train import calibrate, feature_scales
from tests.models.property.conftest import CONFIG, DEFINITION, fit, quick, toy


def test_head_learns_a_law_with_noise(head):
    features, targets, is_training, is_validation = toy()
    test = ~(is_training | is_validation)
    error = np.abs(np.log(head.predict(features[test]).value) - np.log(targets[test])).mean()
    assert error < 0.17
    assert error < 0.3 * np.abs(np.log(targets[test]) - np.log(targets[is_training]).mean()).mean()


@pytest.mark.parametrize("likelihood", list(Likelihood))
def test_interval_of_ninety_percent_holds_about_that_share(likelihood):
    features, targets, is_training, is_validation = toy()
    head = fit(replace(CONFIG, likelihood=likelihood))
    test = ~(is_training | is_validation)
    low, high = head.interval(features[test])
    assert 0.82 < np.mean((low <= targets[test]) & (targets[test] <= high)) < 0.98
    assert 0.88 <= head.metrics.validation_coverage <= 0.92


def test_members_disagree_more_away_from_the_data(head):
    near = torch.from_numpy(toy()[0])
    spread = [head.network(near * factor)[0].std(dim=0).mean().item() for factor in (1.0, 4.0)]
    assert spread[1] > 1.5 * spread[0]


def test_noisier_data_give_wider_intervals(head):
    features, targets, is_training, is_validation = toy(noise=0.5)
    noisy = fit(targets=targets, is_training=is_training, is_validation=is_validation)
    assert noisy.predict(features).standard_deviation.mean() > 2 * head.predict(features).standard_deviation.mean()


def test_seed_decides_everything(head):
    features, *_ = toy()
    np.testing.assert_array_equal(fit().predict(features).value, head.predict(features).value)
    assert not np.array_equal(fit(seed=2).predict(features).value, head.predict(features).value)


def test_training_leaves_the_global_random_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit(quick())
    assert torch.equal(torch.rand(1), expected)


def test_prediction_does_not_depend_on_what_stands_beside_it(head):
    features, *_ = toy()
    together = head.predict(features)
    alone = head.predict(features[7:8])
    np.testing.assert_allclose(alone.value, together.value[7:8], rtol=1e-5)
    np.testing.assert_allclose(alone.standard_deviation, together.standard_deviation[7:8], rtol=1e-4)


def test_prediction_of_nothing_is_nothing(head):
    assert head.predict(np.empty((0, 6), dtype=np.float32)).value.shape == (0,)


def test_a_feature_that_never_varied_is_not_heard(head):
    features, *_ = toy()
    changed = features.copy()
    changed[:, 5] = -3.0
    np.testing.assert_allclose(head.predict(changed).value, head.predict(features).value, rtol=1e-3)


def test_latents_get_the_gain_that_the_configuration_says():
    head = fit(quick(latent_gain=0.5, n_latent=2))
    plain = fit(quick(latent_gain=0.5))
    np.testing.assert_allclose(head.feature_scale[:2], 2 * plain.feature_scale[:2], rtol=2e-3)
    np.testing.assert_array_equal(head.feature_scale[2:], plain.feature_scale[2:])


def test_scales_of_features_survive_storage_as_float16():
    mean, scale = feature_scales(toy()[0], np.array([0.3, 1, 1, 1, 1, 1]))
    for values in (mean, scale):
        np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)


def test_predictions_stay_above_the_minimum():
    bounded = PropertyDefinition("gap", "eV", minimum=0.0)
    features, targets, *_ = toy()
    head = fit(quick(definition=bounded), targets=targets - 60.0)
    low, _ = head.interval(features)
    assert head.predict(features).value.min() >= 0
    assert low.min() >= 0


def test_members_start_different_and_share_their_matrices():
    network = HeadEnsemble(CONFIG, 6)
    location, _ = network.eval()(torch.ones(1, 6))
    assert location.shape == (4, 1)
    assert len(torch.unique(location)) == 4
    assert network.matrices[0].shape == (6, 24)


def test_training_stops_when_validation_does_not_improve():
    seen = []
    rng = np.random.default_rng(0)
    features, targets, is_training, is_validation = toy()
    fit(
        replace(CONFIG, patience=2),
        targets=rng.permutation(targets),
        is_training=is_training,
        is_validation=is_validation,
        features=features,
        progress=seen.append,
    )
    assert len(seen) < CONFIG.epochs
    assert [step.epoch for step in seen] == list(range(1, len(seen) + 1))


def test_missing_labels_are_left_out_and_nothing_else_changes():
    features, targets, is_training, is_validation = toy(300)
    gaps = targets.copy()
    gaps[::7] = np.nan
    known = np.isfinite(gaps)
    rows = {"is_training": is_training, "is_validation": is_validation}
    with_gaps = fit(quick(), features=features, targets=gaps, **rows)
    without = fit(
        quick(), features=features[known], targets=gaps[known], **{name: mask[known] for name, mask in rows.items()}
    )
    assert with_gaps.metrics.n_train == (known & is_training).sum()
    np.testing.assert_array_equal(with_gaps.predict(features).value, without.predict(features).value)


def test_only_missing_labels_are_refused():
    with pytest.raises(InputError, match="none of the 900 rows has a value of toughness: a head needs labels"):
        fit(targets=np.full(900, np.nan))


@pytest.mark.parametrize(("mask", "split"), [("is_training", "train"), ("is_validation", "val")])
def test_an_empty_split_is_refused(mask, split):
    with pytest.raises(InputError, match=f"the split '{split}' of toughness holds no labelled row"):
        fit(**{mask: np.zeros(900, dtype=bool)})


def test_values_that_have_no_logarithm_are_refused():
    features, targets, *_ = toy()
    targets[0] = 0.0
    with pytest.raises(InputError, match=r"learnt as a logarithm, but 1 of 540 values are not positive .*'arcsinh'"):
        fit(features=features, targets=targets)


def test_features_of_another_encoder_are_refused(head):
    with pytest.raises(InputError, match=r"have shape \(3, 5\), expected \(n, 6\): another encoder"):
        head.predict(np.zeros((3, 5), dtype=np.float32))


def test_infinite_features_are_refused(head):
    features = np.zeros((3, 6), dtype=np.float32)
    features[1, 2] = np.inf
    with pytest.raises(InputError, match="are infinite in 1 of 3 rows, the first is 1"):
        head.predict(features)


def test_an_unknown_feature_counts_as_its_mean(head):
    features = toy()[0][:3]
    unknown, mean = features.copy(), features.copy()
    unknown[:, 2], mean[:, 2] = np.nan, head.feature_mean[2]
    np.testing.assert_allclose(head.predict(unknown).value, head.predict(mean).value, rtol=1e-5)


def test_a_head_that_saw_genes_judges_genes_better():
    features, targets, is_training, is_validation = toy()
    genes = features.copy()
    genes[:, 0], genes[:, 4] = np.nan, 5.0  # the marker of a gene
    test = ~(is_training | is_validation)
    errors, covered = [], []
    for gene_features in (None, genes):
        head = fit(replace(CONFIG, gene_share=0.4), gene_features=gene_features)
        low, high = head.interval(genes[test])
        covered.append(np.mean((low <= targets[test]) & (targets[test] <= high)))
        errors.append(np.abs(head.predict(genes[test]).value - targets[test]).mean())
    assert errors[1] < 1.02 * errors[0]
    assert covered[1] > covered[0] + 0.1


def test_rows_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="899 rows of features, 900 of toughness"):
        fit(features=toy()[0][:-1])


@pytest.mark.parametrize("transform", list(Transform))
def test_scale_of_a_property_round_trips(transform):
    definition = replace(DEFINITION, transform=transform, width=0.3)
    values = np.array([0.01, 0.3, 5.0, 400.0])
    np.testing.assert_allclose(definition.from_scale(definition.to_scale(values)), values)


def test_calibration_puts_nine_tenths_inside():
    ratios = np.abs(np.random.default_rng(0).standard_t(3, size=2000)) * 0.7
    scale = calibrate(ratios)
    assert np.mean(ratios <= 1.6448536 * scale) == pytest.approx(0.9, abs=0.001)
