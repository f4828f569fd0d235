"""Which version of this package is at work: what its command lines say, and databases and runs write down.

- `PACKAGE`: its name
- `own_version`: its version
"""

from importlib.metadata import PackageNotFoundError, version

PACKAGE = "binaural-localization"


def own_version() -> str:
    """Of the installed package; "not installed" where it runs from its folder alone."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "not installed"
