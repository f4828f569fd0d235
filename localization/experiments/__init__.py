"""Experiments that anyone can repeat: databases, systems, and what they should reach, from one YAML file.

Conventions: a file names its databases by the options of ``python -m database build``, paths relative to a
folder of data; its systems by the options of ``python train_doa.py train``, or as baselines. Everything lies
in one folder of results, and what is there already is not made again.

    results/
        databases/<name>/                              shared by all experiments
        <experiment>/runs/<system>_seed<n>/            trained networks
        <experiment>/evaluations/<system>_seed<n>/<database>/    a report for each
        <experiment>/report.md, results.json, accuracy_over_snr.png

Modules
-------
configuration : A file, read and checked.
running : Building, training, evaluating what is missing.
tables : The report.
"""

from localization.experiments.configuration import Experiment, SystemConfig, read_experiment
from localization.experiments.running import run_experiment

__all__ = ["Experiment", "SystemConfig", "read_experiment", "run_experiment"]
