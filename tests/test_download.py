"""Data sets are fetched from a server on this machine, checked, and unpacked only if they are safe."""

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import soundfile

from database import download as module
from database.download import DATASETS, Dataset, download, unpack
from database.exit_status import is_machines_fault
from database.sources import noise_source, speech_source


def wave() -> bytes:
    """A second of sound, as the bytes of a FLAC file."""
    stream = io.BytesIO()
    soundfile.write(stream, [0.01 * (k * k % 31 - 15) for k in range(16000)], 16000, format="FLAC")
    return stream.getvalue()


def tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return path


def zipped(path: Path, files: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


class Published:
    """A folder whose files a server on this machine offers; it counts the requests."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.requests: list[str] = []
        published = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                published.requests.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def publish(self, name: str, target: str, *files: Path, sums: tuple[str, ...] = ()) -> None:
        """Put files in the place of a data set, with their own sums or others."""
        sums = sums or tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        port = self.server.server_address[1]
        urls = [f"http://127.0.0.1:{port}/{file.name}" for file in files]
        dataset = Dataset(target, dict(zip(urls, sums, strict=True)), "for everybody")
        self._monkeypatch.setitem(DATASETS, name, dataset)


@pytest.fixture
def published(tmp_path, monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "server"
    folder.mkdir()
    published = Published(folder, monkeypatch)
    yield published
    published.server.shutdown()
    published.server.server_close()


@pytest.fixture
def librispeech(published):
    archives = [
        tar(
            published.folder / f"{subset}.tar.gz",
            {
                "LibriSpeech/SPEAKERS.TXT": b";",
                f"LibriSpeech/{subset}/{speaker}/1/{speaker}-1-0000.flac": wave(),
            },
        )
        for subset, speaker in [("dev-clean", 84), ("test-clean", 61)]
    ]
    published.publish("librispeech", "LibriSpeech", *archives)
    return published


class TestDownload:
    def test_librispeech(self, librispeech, tmp_path, capsys):
        folder = download("librispeech", tmp_path / "new/data")
        assert folder == tmp_path / "new/data/LibriSpeech"
        assert {recording.label for recording in speech_source(folder).recordings} == {"84", "61"}
        assert [path.name for path in folder.parent.iterdir()] == ["LibriSpeech"]
        shown = capsys.readouterr()
        assert "for everybody" in shown.out
        assert "unpacking" in shown.err
        assert "100%" in shown.err

    def test_what_is_there_is_not_fetched_again(self, librispeech, tmp_path):
        first = download("librispeech", tmp_path)
        assert len(librispeech.requests) == 2
        assert download("librispeech", tmp_path) == first
        assert len(librispeech.requests) == 2

    def test_after_an_interruption_the_rest_is_done(self, librispeech, tmp_path, monkeypatch):
        def interrupted(archive: Path, folder: Path) -> None:
            if "test-clean" in archive.name:
                raise KeyboardInterrupt
            unpack(archive, folder)

        monkeypatch.setattr(module, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download("librispeech", tmp_path)
        monkeypatch.setattr(module, "unpack", unpack)
        folder = download("librispeech", tmp_path)
        assert {recording.label for recording in speech_source(folder).recordings} == {"84", "61"}
        assert len(librispeech.requests) == 2

    def test_esc50(self, published, tmp_path):
        table = b"filename,fold,target,category,esc10,src_file,take\n1-7-A-0.wav,1,0,dog,True,7,A\n"
        files = {"ESC-50-abc/meta/esc50.csv": table, "ESC-50-abc/audio/1-7-A-0.wav": wave()}
        published.publish(
            "esc50", "ESC-50", zipped(published.folder / "abc.zip", {"ESC-50-abc/": b"", **files})
        )
        folder = download("esc50", tmp_path)
        source = noise_source(folder)
        assert folder.name == "ESC-50"
        assert source.kind == "ESC-50"
        assert len(source.read(source.recordings[0], 16000)) == 16000

    def test_kemar(self, published, tmp_path):
        file = published.folder / "kemar.sofa"
        file.write_bytes(b"a head")
        published.publish("kemar", "mit_kemar_normal_pinna.sofa", file)
        path = download("kemar", tmp_path)
        assert path == tmp_path / "mit_kemar_normal_pinna.sofa"
        assert path.read_bytes() == b"a head"
        path.write_bytes(b"another")
        assert download("kemar", tmp_path).read_bytes() == b"a head"
        assert len(published.requests) == 2

    def test_another_content_is_refused_and_removed(self, published, tmp_path):
        archive = tar(published.folder / "dev-clean.tar.gz", {"LibriSpeech/a.flac": wave()})
        published.publish("librispeech", "LibriSpeech", archive, sums=("0" * 64,))
        with pytest.raises(
            ValueError, match=r"SHA256 hash of downloaded file \(LibriSpeech-dev-clean\.tar\.gz\)"
        ):
            download("librispeech", tmp_path / "data")
        assert list((tmp_path / "data").iterdir()) == []

    def test_a_file_that_is_gone_is_reported(self, published, tmp_path):
        published.publish("kemar", "kemar.sofa", published.folder / "kemar.sofa", sums=("0" * 64,))
        with pytest.raises(OSError, match="404"):
            download("kemar", tmp_path)

    def test_no_network_is_reported(self, published, tmp_path):
        published.publish("kemar", "kemar.sofa", published.folder / "kemar.sofa", sums=("0" * 64,))
        published.server.shutdown()
        published.server.server_close()
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1") as refused:
            download("kemar", tmp_path)
        assert is_machines_fault(refused.value)

    def test_unknown_names_are_refused(self, tmp_path):
        with pytest.raises(
            ValueError, match="no data set 'timit', expected one of librispeech, esc50, kemar"
        ):
            download("timit", tmp_path)

    def test_every_published_file_is_checked_and_licensed(self):
        for dataset in DATASETS.values():
            assert "Cite" in dataset.licence
            for url, checksum in dataset.files.items():
                assert url.startswith("https://")
                assert len(bytes.fromhex(checksum)) == 32


class TestUnpack:
    @pytest.mark.parametrize("name", ["../a", "x/../../a", "/a", "x/..", "x\\..\\a", "C:/a", "x/y:z"])
    @pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
    def test_a_path_that_leads_out_is_refused(self, tmp_path, name, suffix):
        write = tar if suffix == ".tar.gz" else zipped
        (tmp_path / "in").mkdir()
        archive = write(tmp_path / f"in/a{suffix}", {"x/good": b"1", name: b"2"})
        with pytest.raises(ValueError, match=r"leads out of its folder: not unpacked"):
            unpack(archive, tmp_path / "in/out")
        assert [path.name for path in tmp_path.rglob("*")] == ["in", f"a{suffix}"]

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    )
    def test_links_and_devices_are_refused(self, tmp_path, kind):
        member = tarfile.TarInfo("x/special")
        member.type, member.linkname = kind, "good"
        archive = tar(tmp_path / "a.tar.gz", {"x/good": b"1"}, member)
        with pytest.raises(ValueError, match=r"holds 'x/special', which is no plain file"):
            unpack(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
    def test_links_and_devices_in_a_zip_are_refused(self, tmp_path, kind):
        archive = zipped(tmp_path / "a.zip", {"x/link": b"/etc/passwd"}, kind | 0o777)
        with pytest.raises(ValueError, match=r"holds 'x/link', which is no plain file"):
            unpack(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("mode", [0, stat.S_IFREG | 0o777])
    def test_files_take_the_place_of_the_topmost_folder(self, tmp_path, mode):
        archive = zipped(tmp_path / "a.zip", {"top-1.0/sub/a.txt": b"abc"}, mode)
        unpack(archive, tmp_path / "out")
        assert (tmp_path / "out/sub/a.txt").read_bytes() == b"abc"

    @pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
    @pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
    def test_damage_is_reported_by_name(self, tmp_path, suffix, damage):
        write = tar if suffix == ".tar.gz" else zipped
        archive = write(tmp_path / f"a{suffix}", {"x/a": bytes(range(256)) * 200, "x/b": wave()})
        content = bytearray(archive.read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        elif damage == "flipped":
            content[len(content) // 2] ^= 0xFF
        else:
            content = bytearray(b"<html>not found</html>" * 20)
        archive.write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\{suffix} is damaged"):
            unpack(archive, tmp_path / "out")
