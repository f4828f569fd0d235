"""What is refused in a foreign file before anything is read from it."""

import h5py
import numpy as np
import pytest
from sofa_files import pulses, spherical, write_sofa

from benchmarks.faults import hostile
from database.guard import check_hdf5, check_sofa


@pytest.fixture
def path(tmp_path):
    return tmp_path / "foreign.h5"


def test_a_plain_file_passes(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a/b/cues", data=np.zeros((4, 8)), chunks=(1, 8), fletcher32=True)
        file["names"] = np.array([b"one", b"two"])
        file["nothing"] = h5py.Empty("f8")
        file.attrs["nothing"] = h5py.Empty("f8")
        file["unused"] = np.zeros((0, 3))
    check_hdf5(path)


def test_a_second_name_and_a_circle_of_groups_pass(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("group")
        group["itself"] = group
        group["root"] = file["/"]
        file["data"] = np.zeros(100)
        file["again"] = file["data"]
    check_hdf5(path, max_bytes=800)  # the same data counts once


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.h5: no such file"):
        check_hdf5(tmp_path / "gone.h5")
    with pytest.raises(OSError, match="a folder, expected a file"):
        check_hdf5(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF not HDF5 at all", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"foreign\.h5: (not an HDF5 file|damaged or truncated)"):
        check_hdf5(path)


def test_a_truncated_file_is_refused(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(1000)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(OSError, match=r"foreign\.h5: damaged or truncated"):
        check_hdf5(path)


def test_damage_anywhere_in_the_structure_is_refused_or_harmless(path):
    with h5py.File(path, "w") as file:
        file["group/data"] = np.zeros(10)
    sound = path.read_bytes()
    refused = 0
    for start in range(0, 2048, 16):
        path.write_bytes(sound[:start] + b"\xff" * 16 + sound[start + 16 :])
        try:
            check_hdf5(path)
        except (OSError, ValueError) as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    "link",
    [
        h5py.SoftLink("/elsewhere"),
        h5py.ExternalLink("other.h5", "/data"),
        h5py.ExternalLink("/etc/passwd", "/"),
    ],
)
def test_links_that_are_not_plain_are_refused(path, link):
    with h5py.File(path, "w") as file:
        file.create_group("deep/down")["link"] = link
    with pytest.raises(ValueError, match=r"foreign\.h5: refused, /deep/down/link is a link"):
        check_hdf5(path)


def test_external_storage_is_refused(path, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(80))
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (10,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 80)])
    with pytest.raises(ValueError, match="refused, /data takes its data from other files"):
        check_hdf5(path)


def test_virtual_datasets_are_refused(path):
    layout = h5py.VirtualLayout((10,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "data", (10,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("data", layout)
    with pytest.raises(ValueError, match="refused, /data takes its data from other files"):
        check_hdf5(path)


def test_memory_that_a_small_file_claims_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (2**40,), "f8", chunks=(2**20,))
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"up to /data it claims 8796093022208 bytes of memory"):
        check_hdf5(path)


def test_memory_is_added_up_over_all_datasets(path):
    with h5py.File(path, "w") as file:
        for name in "abc":
            file[name] = np.zeros(10)
    check_hdf5(path, max_bytes=240)
    with pytest.raises(ValueError, match="claims 240 bytes of memory, more than 239"):
        check_hdf5(path, max_bytes=239)


def test_a_chunk_larger_than_its_dataset_is_refused(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (4,), "f8", maxshape=(None,), chunks=(2**28,))
    with pytest.raises(ValueError, match="claims 2147483648 bytes"):
        check_hdf5(path)


def test_a_single_value_may_claim_memory_too(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", (), np.dtype("V1000000"))
    with pytest.raises(ValueError, match="claims 1000000 bytes"):
        check_hdf5(path, max_bytes=999_999)


def test_nothing_of_variable_length_passes_but_in_sofa_files(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
        file["data"].attrs["name"] = "of any length"
    with pytest.raises(ValueError, match=r"foreign\.h5: refused, /data holds something of variable length"):
        check_hdf5(path)
    check_sofa(sofa_file(path))  # whose attributes are such texts


def test_no_packed_dataset_passes_but_in_sofa_files(path):
    sofa_file(path)
    with h5py.File(path, "r+") as file:
        packed = file["Data.IR"][()]
        del file["Data.IR"]
        file.create_dataset("Data.IR", data=packed, compression="gzip", shuffle=True)
    with pytest.raises(
        ValueError, match=r"refused, /Data\.IR has the filters \[2, 1\], expected some of \[3\]"
    ):
        check_hdf5(path)
    check_sofa(path)


def test_hostile_heads_are_refused_in_bounded_memory(tmp_path):
    outcome = hostile.hostile_heads(tmp_path, len(hostile.STRUCTURES))  # contents: in test_sofa.py
    assert outcome.kept == outcome.tried == len(hostile.STRUCTURES), outcome.notes


def test_hostile_shards_are_refused_in_bounded_memory(tmp_path):
    outcome = hostile.hostile_shards(tmp_path, len(hostile.STRUCTURES))
    assert outcome.kept == outcome.tried == len(hostile.STRUCTURES), outcome.notes


def test_the_files_that_hostile_ones_are_made_of_are_read(tmp_path):
    hostile.write_head(tmp_path / "head.sofa")
    hostile.read_filled(tmp_path / "head.sofa")
    hostile.write_plain(tmp_path / "plain.h5")
    check_hdf5(tmp_path / "plain.h5")


def sofa_file(path, **attributes):
    write_sofa(path, spherical([0.0, 90.0]), pulses([0.0, 90.0]))
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value
    return path


@pytest.mark.parametrize("text", ["SimpleFreeFieldHRIR", np.bytes_(b"SimpleFreeFieldHRIR")])
def test_a_sofa_file_of_impulse_responses_passes(path, text):
    check_sofa(sofa_file(path, SOFAConventions=text))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Conventions": None}, "Conventions SOFA, found nothing"),
        ({"Conventions": "netCDF"}, "Conventions SOFA, found netCDF"),
        ({"SOFAConventions": "GeneralTF"}, "SOFAConventions SimpleFreeFieldHRIR, found GeneralTF"),
        ({"SOFAConventions": np.zeros(3)}, r"found \[0. 0. 0.\]"),
    ],
)
def test_other_files_are_no_heads(path, attributes, message):
    with pytest.raises(ValueError, match=rf"foreign\.h5: expected a SOFA file with .*{message}"):
        check_sofa(sofa_file(path, **attributes))


def test_a_damaged_attribute_is_damage(path):
    sofa_file(path)
    path.write_bytes(path.read_bytes().replace(b"GCOL", b"XXXX"))  # the heap that holds texts
    with pytest.raises(OSError, match=r"foreign\.h5: damaged or truncated"):
        check_sofa(path)


@pytest.mark.parametrize("name", ["Data.IR", "Data.SamplingRate", "SourcePosition"])
def test_a_sofa_file_without_what_is_read_is_refused(path, name):
    sofa_file(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_group(name)
    with pytest.raises(ValueError, match=rf"foreign\.h5: has no {name}"):
        check_sofa(path)


def test_a_hostile_sofa_file_is_refused(path):
    sofa_file(path)
    with h5py.File(path, "r+") as file:
        del file["Data.IR"]
        file["Data.IR"] = h5py.ExternalLink("other.sofa", "/Data.IR")
    with pytest.raises(ValueError, match=r"/Data\.IR is a link"):
        check_sofa(path)
