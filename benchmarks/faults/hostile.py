"""Hostile HDF5 and SOFA files: refused before their data are read, in bounded memory and time.

Each is a sound file, a head as netCDF stores it, with one thing changed. What a head is refused for, a shard
is too, and for a few things more.

- `hostile_heads`, `hostile_shards`: the scenarios
- `write_head`: a sound head
"""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import sofar

from benchmarks.faults import Outcome, Scenario
from database import isolation
from database.guard import check_hdf5
from database.hrtf import AZIMUTHS, kemar, read_head

SECONDS = 3.0  # after which a head that hangs is given up
IR = "Data.IR"  # (24 directions, 2 ears, 64 taps)


def write_head(path: Path) -> None:
    """KEMAR in steps of 15 degrees, as netCDF stores it."""
    head, sofa = kemar(), sofar.Sofa("SimpleFreeFieldHRIR")
    sofa.Data_IR, sofa.Data_SamplingRate = head.responses[::3, :64].transpose(0, 2, 1), head.fs
    sofa.SourcePosition = np.column_stack([AZIMUTHS[::3], np.zeros(24), np.full(24, 1.4)])
    sofar.write_sofa(str(path), sofa)


def read_filled(path: Path) -> None:
    """Read a head, and fill the azimuths that it lacks."""
    read_head(path, interpolate=True)


def write_plain(path: Path) -> None:
    """An HDF5 file as plain as a shard, with the datasets of a head that are changed."""
    with h5py.File(path, "w") as file:
        file.create_dataset(IR, data=np.ones((24, 2, 64)), chunks=(1, 2, 64), fletcher32=True)
        file["Data.SamplingRate"], file["SourcePosition"] = [44100.0], np.ones((24, 3))


# ---- what is changed

Change = Callable[[h5py.File], None]
STRUCTURES: dict[str, Callable[[Path], None]] = {}  # what no HDF5 file may have
CONTENTS: dict[str, Callable[[Path], None]] = {}  # what no head may have


def _hostile(changes: dict[str, Callable[[Path], None]]) -> Callable[[Change], Change]:
    """Register a change of an open file under its name."""

    def register(change: Change) -> Change:
        def changed(path: Path) -> None:
            with h5py.File(path, "r+") as file:
                change(file)

        changes[change.__name__.replace("_", " ")] = changed
        return change

    return register


def _replace(file: h5py.File, name: str, **options: object) -> h5py.Dataset:
    """A dataset of this name, with the type and the units of the one before it."""
    attributes = {key: file[name].attrs[key] for key in ("Type", "Units") if key in file[name].attrs}
    del file[name]
    dataset = file.create_dataset(name, **options)
    dataset.attrs.update(attributes)
    return dataset


@_hostile(STRUCTURES)
def soft_link(file: h5py.File) -> None:
    file.move(IR, "elsewhere")
    file[IR] = h5py.SoftLink("/elsewhere")


@_hostile(STRUCTURES)
def soft_link_to_itself(file: h5py.File) -> None:
    file["loop"] = h5py.SoftLink("/loop")


@_hostile(STRUCTURES)
def external_link(file: h5py.File) -> None:
    del file[IR]
    file[IR] = h5py.ExternalLink("/etc/passwd", "/")


@_hostile(STRUCTURES)
def external_storage(file: h5py.File) -> None:
    _replace(file, IR, shape=(24, 2, 64), dtype="f8", external=[("/etc/passwd", 0, 24576)])


@_hostile(STRUCTURES)
def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((24, 2, 64), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", IR, (24, 2, 64))
    del file[IR]
    file.create_virtual_dataset(IR, layout)


@_hostile(STRUCTURES)
def terabytes_of_fill_values(file: h5py.File) -> None:
    _replace(file, IR, shape=(2**20, 2, 2**16), dtype="f8", chunks=(1, 2, 2**16), fillvalue=1.0)


@_hostile(STRUCTURES)
def a_chunk_of_gigabytes(file: h5py.File) -> None:
    _replace(file, IR, shape=(24, 2, 64), maxshape=(None, None, None), dtype="f8", chunks=(2**9, 2**9, 2**12))


@_hostile(STRUCTURES)
def a_value_of_gigabytes(file: h5py.File) -> None:
    _replace(file, IR, shape=(24, 2, 64), dtype=np.dtype(("f8", (2**20,))))


@_hostile(STRUCTURES)
def a_chunk_that_unpacks_to_more_than_it_says(file: h5py.File) -> None:
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    chunks = _replace(file, IR, shape=(24, 2, 64), dtype="f8", chunks=(24, 2, 64), compression="gzip")
    chunks.id.write_direct_chunk((0, 0, 0), first + 7 * again)  # 150 kB for 128 MiB


@_hostile(STRUCTURES)
def another_filter_of_hdf5(file: h5py.File) -> None:
    _replace(file, IR, shape=(24, 2, 64), dtype="i4", chunks=(24, 2, 64), scaleoffset=4)


@_hostile(STRUCTURES)
def an_unknown_filter(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((24, 2, 64))
    properties.set_filter(40_000, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    del file[IR]
    space = h5py.h5s.create_simple((24, 2, 64))
    h5py.h5d.create(file.id, IR.encode(), h5py.h5t.IEEE_F64LE, space, properties)


@_hostile(STRUCTURES)
def ten_thousand_groups(file: h5py.File) -> None:
    for number in range(10_001):
        file.create_group(f"groups/{number}")


@_hostile(STRUCTURES)
def a_thousand_levels(file: h5py.File) -> None:
    file.create_group("/deeper" * 1000)


@_hostile(CONTENTS)
def no_numbers(file: h5py.File) -> None:
    _replace(file, "SourcePosition", data=np.full((24, 3), b"north"))


@_hostile(STRUCTURES)
def lists_of_variable_length(file: h5py.File) -> None:
    _replace(file, IR, shape=(24, 2), dtype=h5py.vlen_dtype("f8"))


@_hostile(CONTENTS)
def wrong_number_of_ears(file: h5py.File) -> None:
    _replace(file, IR, data=np.ones((24, 3, 64)))


@_hostile(CONTENTS)
def wrong_number_of_directions(file: h5py.File) -> None:
    _replace(file, "SourcePosition", data=np.ones((23, 3)))


@_hostile(CONTENTS)
def wrong_number_of_axes(file: h5py.File) -> None:
    _replace(file, IR, data=np.ones((24, 2)))


@_hostile(CONTENTS)
def no_values(file: h5py.File) -> None:
    _replace(file, IR, data=h5py.Empty("f8"))


@_hostile(CONTENTS)
def positions_not_a_number(file: h5py.File) -> None:
    file["SourcePosition"][3, 0] = np.nan


@_hostile(CONTENTS)
def positions_infinite(file: h5py.File) -> None:
    file["SourcePosition"][3, 1] = np.inf


@_hostile(CONTENTS)
def responses_not_a_number(file: h5py.File) -> None:
    file[IR][5, 1, 7] = np.nan


@_hostile(CONTENTS)
def ears_swapped(file: h5py.File) -> None:
    file[IR][:] = file[IR][()][:, ::-1]


def _text_of_gigabytes(path: Path) -> None:
    """The length of a text of variable length becomes 2 GiB."""
    heap, content = _with_heap(path)
    place = content.index(struct.pack("<IQ", 4, heap))  # length of the first text, and where it is
    path.write_bytes(content[:place] + struct.pack("<I", 2**31 - 1) + content[place + 4 :])


def _endless_heap(path: Path) -> None:
    """The heap of such texts gets an object that is followed by itself: HDF5 would read it for ever."""
    heap, content = _with_heap(path)
    place = heap + 24  # the size of the first object
    path.write_bytes(content[:place] + struct.pack("<Q", 2**64 - 16) + content[place + 8 :])


def _with_heap(path: Path) -> tuple[int, bytes]:
    """The head in HDF5's old format, which has no checksums, and where the heap of its texts begins."""
    with h5py.File(path) as netcdf:
        datasets = {name: netcdf[name][()] for name in (IR, "Data.SamplingRate", "SourcePosition")}
    with h5py.File(path, "w") as file:
        file.attrs.update(Conventions="SOFA", SOFAConventions="SimpleFreeFieldHRIR")
        for name, values in datasets.items():
            file[name] = values
        file["SourcePosition"].attrs.update(Type="spherical", Units="degree, degree, metre")
    content = path.read_bytes()
    return content.index(b"GCOL"), content


STRUCTURES["a text of gigabytes"] = _text_of_gigabytes
STRUCTURES["an endless heap"] = _endless_heap


# ---- the scenarios


def hostile_heads(folder: Path, n: int) -> Outcome:
    """Heads with hostile structures or contents."""
    return _outcome("heads", "a hostile SOFA file", [*STRUCTURES, *CONTENTS], folder, n)


def hostile_shards(folder: Path, n: int) -> Outcome:
    """Plain HDF5 files, as shards are, with hostile structures."""
    return _outcome("shards", "a hostile HDF5 file", list(STRUCTURES), folder, n)


SCENARIOS: list[tuple[Scenario, int]] = [
    (hostile_heads, len(STRUCTURES) + len(CONTENTS)),
    (hostile_shards, len(STRUCTURES)),
]


def _outcome(kind: str, fault: str, names: list[str], folder: Path, n: int) -> Outcome:
    """Try the first `n` changes in another process, whose memory and whose children's is measured."""
    command = [sys.executable, "-m", "benchmarks.faults.hostile", kind, str(folder), *names[:n]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    *answers, peak = done.stdout.splitlines()
    broken = [answer for answer in answers if not answer.endswith("refused")]
    if int(peak) > isolation.MAX_BYTES:
        broken.append(f"up to {peak} bytes of memory")
    notes = "; ".join([f"at most {int(peak) >> 20} MiB", *broken[:3]])
    promised = f"refused, in less than {isolation.MAX_BYTES >> 20} MiB of memory"
    return Outcome(fault, promised, len(answers), len(answers) - len(broken), notes)


def _try_all(kind: str, folder: str, *names: str) -> None:
    """Print what comes of each change, and the most memory that was taken, in bytes."""
    isolation.SECONDS = SECONDS
    make, read = (write_head, read_filled) if kind == "heads" else (write_plain, check_hdf5)
    path = Path(folder) / "hostile.sofa"
    make(path)
    sound = path.read_bytes()
    for name in names:
        path.write_bytes(sound)
        (STRUCTURES | CONTENTS)[name](path)
        try:
            read(path)
            print(f"{name}: read")
        except (ValueError, OSError):
            print(f"{name}: refused")
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    print(max(resource.getrusage(whose).ru_maxrss for whose in who) * 1024)


if __name__ == "__main__":
    _try_all(*sys.argv[1:])
