"""Binaural sound-source localization: cues, databases, networks."""

from pathlib import Path

from setuptools import find_packages, setup

DISTRIBUTED = ["distributed>=2024.8"]
TEST = ["pytest>=8", "hypothesis>=6.100", "ruff>=0.9", "mypy>=1.11", "sofar>=1.1", *DISTRIBUTED]

setup(
    name="binaural-localization",
    version="0.1.0",
    description="Binaural sound-source localization: auditory cues, noisy databases, and a network",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "THIRD_PARTY.md"],
    python_requires=">=3.11",
    py_modules=["auditory_model", "binaural_feature", "train_doa"],
    packages=find_packages(include=["database", "database.*", "localization", "localization.*"]),
    package_data={"database": ["data/*.npz"], "localization": ["weights/*.safetensors", "weights/*.md"]},
    install_requires=[
        "numpy>=1.26",
        "scipy>=1.14",
        "scikit-learn>=1.4",
        "gammatone>=1.0.3",
        "numba>=0.60",
        "soundfile>=0.12",
        "soxr>=0.4",
        "pyroomacoustics>=0.9",
        "h5py>=3.13",
        "filelock>=3.30",  # from here on, who waits does not empty the file that says who holds it
        "pooch>=1.8",
        "requests>=2.31",
        "tqdm>=4.66",
        "torch>=2.6,<2.14",  # the upper bound lets a CPU build be chosen where one is offered
        "lightning>=2.4",
        "safetensors>=0.4",
        "tensorboard>=2.16",
        "jsonargparse[signatures]>=4.49",
        "pyyaml>=6",
        "matplotlib>=3.8",
    ],
    extras_require={
        "test": TEST,
        "distributed": DISTRIBUTED,
        "bench": ["pyfar>=0.7"],
    },
    entry_points={
        "console_scripts": [
            "binaural-database = database.__main__:main",
            "binaural-localization = train_doa:main",
        ]
    },
)
