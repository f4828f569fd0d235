"""The numbers of an evaluation as a page to read.

- `report`: what `judgement.judge` found, in Markdown
- `scale`: what a table multiplies a measure by
"""

from typing import Any

from localization.metrics import SNR_BIN

HEADINGS = {
    "top1": "top-1 (%)",
    "top5": "top-5 (%)",
    "top5_within_10deg": "any of five within 10° (%)",
    "angular_error_deg": "mean error (°)",
    "rms_error_deg": "rms error (°)",
    "within_5deg": "within 5° (%)",
    "within_10deg": "within 10° (%)",
    "front_back_confusion": "front-back (%)",
}

DEFINITIONS = """\
The interval of 95 % comes from a bootstrap over speakers: whole speakers are drawn again, not scenes, since
the scenes of one speaker are not independent. A dash stands where a single speaker leaves it unknown; of few
speakers it is narrower than it should be.

- top-1, top-5: the true azimuth, of 72, is the most probable one; is among the five most probable.
- any of five within 10°: one of the five most probable azimuths lies within 10° of the truth: not top-5.
- mean error, rms error, within 5°, within 10°: of the most probable azimuth, the short way round. The rms
  error is the root of the mean squared error, in which a few large errors weigh most.
- front-back: the most probable azimuth lies within 10° of the truth's mirror image through the axis of the
  ears, and the truth is more than 10° away from that axis; the share is of all scenes.
"""


def scale(measure: str) -> int:
    """What a table multiplies a measure by: shares are given in %.

    Examples
    --------
    >>> scale("top1"), scale("rms_error_deg")
    (100, 1)
    """
    return 1 if measure.endswith("_deg") else 100


def report(metrics: dict[str, Any]) -> str:
    """What an evaluation found, in Markdown.

    Parameters
    ----------
    metrics : dict
        The content of `metrics.json`, as `judgement.judge` returns it.

    Returns
    -------
    str
        A page that shows the figures which lie beside it.
    """
    snr = {_snr_bin(edge): found for edge, found in metrics["by_snr_db"].items()}
    azimuth = {f"{azimuth}°": found for azimuth, found in metrics["by_azimuth"].items()}
    sections = [
        f"# {metrics['system']} on {metrics['database']}",
        f"    {metrics['command']}",
        _origin(metrics),
        "## All scenes",
        _table("split", {metrics["split"]: metrics}),
        DEFINITIONS.strip(),
        "## By SNR",
        "Of the talker over both noises together.",
        _table("SNR", snr),
        "![Accuracy over SNR](accuracy_over_snr.png)",
        "## By type of noise",
        _table("noise", metrics["by_noise_type"]),
        "## By head",
        _table("head", metrics["by_head"]),
        "## By azimuth",
        "![Error over azimuth](error_over_azimuth.png)",
        "![Estimated over true azimuth](confusion.png)",
        _table("azimuth", azimuth),
        "## Order from right to left",
        _order(metrics["order_from_right"]),
        "## Calibration",
        _calibration(metrics["calibration"]),
        "![Accuracy over confidence](reliability.png)",
        *_gradient_norms(metrics["gradient_norms"]),
    ]
    return "\n\n".join(sections) + "\n"


def _origin(metrics: dict[str, Any]) -> str:
    """Where the scenes come from, and what the model knows of them from training."""
    data = metrics["data"]
    facts = [
        f"scenes: {metrics['n_clips']:,}; speakers: {metrics['n_speakers']}",
        *(f"{what}: {kind}" for what, kind in data["sources"].items()),
        f"database: seed {data['recipe'].get('seed', 'unknown')}, digest {data['digest']}",
    ]
    if metrics["known_classes"] is not None:
        facts.append(
            f"known directions: of the {len(metrics['known_classes'])} azimuths that the heads have, one of "
            "the scene's own head; the probabilities of all others were set to zero and the rest divided by "
            "its sum"
        )
    if data["trained_on"] != data["digest"]:
        facts.append(f"trained on another database, digest {data['trained_on']}")
    if data["started_from"] is not None:
        facts.append(f"training went on from a trained model, weights {data['started_from']}")
    if metrics["calibration"]["temperature"] == 1:  # as it is until training ends
        facts.append("training was not finished, and no temperature was fitted")
    facts.append(f"heard in training as well: {_heard(data['heard_in_training'])}")
    return "\n".join(f"- {fact}" for fact in facts)


def _heard(shares: dict[str, list[int]] | None) -> str:
    if shares is None:
        return "unknown"
    return ", ".join(f"{heard} of {number} {kind}" for kind, (heard, number) in shares.items())


def _order(found: dict[str, float | None]) -> str:
    """Whether the scenes are in the order of how far to the left they lie."""
    if found["pair_accuracy"] is None:
        return "All scenes lie as far to the left as each other."
    return (
        f"By the expected sine of the azimuth, {100 * found['pair_accuracy']:.2f} % of the pairs of scenes "
        f"are in order; Kendall's tau-b is {found['kendall_tau']:.4f}, at most {found['highest_tau']:.4f}."
    )


def _calibration(found: dict[str, float]) -> str:
    """How far confidence is from accuracy, before and after the temperature, if there is one."""
    error = f"Expected calibration error {found['error']:.3f}"
    if found["temperature"] == 1:
        return f"{error}, without a temperature."
    return (
        f"{error}; {found['error_before']:.3f} before the logits were divided by "
        f"{found['temperature']:.3f}, the temperature fitted on the validation split."
    )


def _gradient_norms(losses: list[str]) -> list[str]:
    """A section with figures, where the loss harmonized gradient norms."""
    figures = [f"![Gradient norms of {name}](gradient_norms_{name}.png)" for name in losses]
    return ["## Gradient norms in training", *figures] if figures else []


def _table(label: str, groups: dict[str, dict[str, Any]]) -> str:
    """One row for each group: its size, then each measure with its interval."""
    lines = [
        f"| {label} | scenes | {' | '.join(HEADINGS.values())} |",
        "|---|" + "---:|" * (1 + len(HEADINGS)),
    ]
    for name, found in groups.items():
        cells = [_cell(measure, found["measures"][measure]) for measure in HEADINGS]
        lines.append(f"| {name} | {found['n_clips']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(measure: str, interval: dict[str, float | None]) -> str:
    """Value and interval, shares in %."""
    value, low, high = ("–" if x is None else f"{scale(measure) * x:.2f}" for x in interval.values())
    return f"{value} ({low} … {high})"


def _snr_bin(edge: str) -> str:
    return f"{edge} to {float(edge) + SNR_BIN:g} dB"
