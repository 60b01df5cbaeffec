"""What the indicators are called on a page, and what they are."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "WORDS"]

WORDS = {
    "signal_density": "signal density (labels)",
    "noise_variance": "noise, grey levels (labels)",
    "low_snr_ratio": "low-SNR ratio (labels)",
    "units_signal_density": "share of voxels labelled",
    "units_low_snr_ratio": "low-SNR ratio (labels, noise units)",
    "free_signal_density": "signal density",
    "free_noise": "noise, grey levels",
    "free_low_snr_ratio": "low-SNR ratio",
    "unevenness": "unevenness of background, noise",
    "texture": "texture: correlation of neighbours",
    "length_vox": "neurite length, voxels",
    "tortuosity": "tortuosity",
    "crossings": "crossings per 1000 voxels",
    "puncta": "puncta per Mvoxel",
    "entropy": "entropy, bits per voxel",
    "disagreement": "disagreement under flips",
}
"""Indicator -> its title."""

DEFINITIONS = {
    "signal density (labels)": "labelled voxels over 50,000, as DB-Enhance counts them",
    "noise, grey levels (labels)": "standard deviation of the background around the labels",
    "low-SNR ratio (labels)": "share of the labelled voxels that hardly stand out",
    "share of voxels labelled": "labelled voxels over all voxels",
    "low-SNR ratio (labels, noise units)": "the low-SNR ratio with the local noise of this cube",
    "signal density": "share of voxels in provisional neurites: ridges, or a model's detections",
    "noise, grey levels": "standard deviation of the background, by its darker half",
    "low-SNR ratio": "share of the provisional neurites that hardly stand out of the noise",
    "unevenness of background, noise": "how much the background differs within a cube, in noise",
    "texture: correlation of neighbours": "correlation of the noise of neighbouring voxels",
    "neurite length, voxels": "voxels of the middle lines of the provisional neurites",
    "tortuosity": "length over the distance of the ends, a mean over pieces; 1 is straight",
    "crossings per 1000 voxels": "places where middle lines meet or cross, per 1000 voxels of them",
    "puncta per Mvoxel": "bright spots that do not run on, per million voxels",
    "entropy, bits per voxel": "a model's doubt: mean entropy of its probability",
    "disagreement under flips": "a model's doubt: how far its answers to flipped cubes differ",
}
"""Title -> what it is."""
